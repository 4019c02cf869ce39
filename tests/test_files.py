from __future__ import annotations

import pytest

from tellapart.errors import OutputError
from tellapart.files import replacing


def test_a_file_appears_whole_and_takes_the_place_of_the_old_one(tmp_path):
    target = tmp_path / "new" / "file.txt"
    for content in ("first", "second"):
        with replacing(target) as temporary:
            temporary.write_text(content)
            assert not target.exists() or target.read_text() != content
        assert target.read_text() == content
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "model"
    for name in ("old", "new"):
        with replacing(target) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")

    def half_written(error: Exception) -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(KeyError):
        half_written(KeyError())
    with pytest.raises(OutputError, match=r"No space left.*free some disk space"):
        half_written(OSError(28, "No space left on device"))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
