from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tellapart.errors import OutputError, TellapartWarning
from tellapart.files import (
    file_stem,
    finite_json,
    left_by_a_kill,
    path_component,
    read_kept,
    replacing,
    write_json,
    write_text,
)


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


def _write_folder(target: Path) -> None:
    with replacing(target) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()


@pytest.fixture
def earlier(tmp_path):
    (tmp_path / "model" / "old").mkdir(parents=True)
    return tmp_path / "model"


@pytest.mark.parametrize("place", ["the earlier folder", "the new folder"])
def test_a_folder_that_cannot_be_replaced_stays(earlier, monkeypatch, place):
    rename = Path.rename

    def busy(self, target):
        if (self == earlier) == (place == "the earlier folder") and not self.name.endswith(".old"):
            raise OSError(errno.EBUSY, "Device or resource busy")  # as of a mount point
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(OutputError, match=r"\(Device or resource busy\): choose a folder or file in it"):
        _write_folder(earlier)
    assert [path.name for path in earlier.iterdir()] == ["old"]
    assert list(earlier.parent.iterdir()) == [earlier]


def test_an_earlier_folder_that_cannot_be_deleted_is_named(earlier, monkeypatch):
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # as for a folder in it without permission
    with pytest.warns(
        TellapartWarning, match=r"\.model\.\d+\.old, the earlier content of .*delete it by hand"
    ):
        _write_folder(earlier)
    assert [path.name for path in earlier.iterdir()] == ["new"]
    (left,) = (path.name for path in earlier.parent.iterdir() if path != earlier)
    assert left_by_a_kill(left) == "model"


def test_what_a_killed_process_leaves_is_known_by_its_name(earlier, monkeypatch):
    left = []

    def killed(self, target):
        rename(self, target)
        left.extend(path.name for path in earlier.parent.iterdir())
        raise KeyboardInterrupt

    rename = Path.rename
    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        _write_folder(earlier)
    assert {left_by_a_kill(name) for name in left[:2]} == {"model"}
    assert [left_by_a_kill(name) for name in ("model", ".model.tmp", "model.1.tmp", ".a.b.12.tmp")] == [
        None,
        None,
        None,
        "a.b",
    ]


posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_a_file_keeps_its_permissions(tmp_path, mode):
    target = tmp_path / "private.csv"
    target.write_text("old")
    target.chmod(mode)
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert _mode(temporary) & ~mode & ~stat.S_IWUSR == 0
    assert (_mode(target), target.read_text()) == (mode, "new")


@posix
def test_a_folder_keeps_its_permissions(earlier):
    earlier.chmod(0o700)
    _write_folder(earlier)
    assert _mode(earlier) == 0o700


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_weights_have_the_permissions_of_other_new_files(tmp_path, umask):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "model") as temporary:
            temporary.mkdir()
            save_file({"a": np.zeros(1)}, temporary / "model.safetensors")
            (temporary / "config.json").touch()
        with replacing(tmp_path / "tokens.safetensors") as temporary:
            save_file({"a": np.zeros(1)}, temporary)
    finally:
        assert os.umask(before) == umask
    wanted = _mode(tmp_path / "model" / "config.json")
    assert _mode(tmp_path / "model" / "model.safetensors") == wanted == 0o666 & ~umask
    assert _mode(tmp_path / "tokens.safetensors") == wanted


def test_what_a_killed_process_with_the_same_number_left_is_no_obstacle(tmp_path):
    left = tmp_path / f".model.{os.getpid()}.tmp"
    left.mkdir()
    (left / "old").touch()
    _write_folder(tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["new"]


@pytest.mark.parametrize("name", ["cross-entropy", "my recipe (2)", "größe", "a.b_c+d"])
def test_a_plain_name_is_the_name_of_its_file(name):
    assert file_stem(name) == name


def test_other_names_keep_their_plain_characters():
    assert file_stem("cross-entropy label_texts=names") == "cross-entropy-label_texts-names-edabf9dd"
    assert file_stem("a name=/etc/passwd").startswith("a-name-etc-passwd-")


@given(st.lists(st.text(), min_size=2, max_size=5, unique=True))
def test_different_names_have_different_files_that_every_system_allows(names):
    named = [f"x={name}" for name in names]
    stems = [file_stem(name) for name in named]
    assert len(set(stems)) == len(names)
    assert all(re.fullmatch(r"x[A-Za-z0-9._-]{1,80}", stem) for stem in stems)


HOSTILE = [
    "",
    ".",
    "..",
    "../../../escaped/x",
    "a/b",
    "a\\b",
    "a\0b",
    "a\n",
    "C:x",
    "NUL",
    "con.txt",
    "LPT0",
    "CONIN$",
    "conout$.log",
    "lpt1 .a",
    "a.",
    "a ",
]
HOSTILE += ["x" * 256, "あ" * 100, "\ud800", "/etc/passwd", "a:b", "*?", "~/x/../y"]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_one_component_of_a_path(name, tmp_path):
    for component in (path_component(name), file_stem(name), path_component(f"data-{name}")):
        assert component not in ("", ".", "..")
        assert len(component.encode()) <= 220
        (tmp_path / component).write_text("here")
        assert (tmp_path / component).parent == tmp_path
        assert len((tmp_path / component).relative_to(tmp_path).parts) == 1
    assert path_component(name) != name


@given(st.text(max_size=300))
def test_components_are_stable_and_safe_ones_keep_their_spelling(name):
    component = path_component(name)
    assert path_component(component) == component
    if re.fullmatch(r"[A-Za-z0-9_-]{5,100}", name):  # the names of devices, such as LPT0, are shorter
        assert component == name


@pytest.mark.parametrize(
    "name", ["tickets-supcon", "größe", "a=b", ".hidden", "~x", "console", "nulls.csv", "x" * 200]
)
def test_safe_names_are_not_respelled(name):
    assert path_component(name) == name


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_a_link_stays_and_its_target_is_replaced(tmp_path, relative, exists):
    target, link = tmp_path / "a" / "target.txt", tmp_path / "b" / "link.txt"
    link.parent.mkdir()
    if exists:
        target.parent.mkdir()
        target.write_text("old")
    link.symlink_to("../a/target.txt" if relative else target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == link.read_text() == "new"
    assert [path.name for path in (*target.parent.iterdir(), *link.parent.iterdir())] == [
        "target.txt",
        "link.txt",
    ]


def test_a_link_to_a_folder_stays_and_the_folder_is_replaced(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with replacing(tmp_path / "link") as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["new"]


def test_json_has_null_for_numbers_that_it_lacks():
    content = {"a": [1, float("nan"), (float("-inf"), 0.5)], "b": {"c": float("inf"), "d": "NaN", "e": None}}
    assert finite_json(content) == {"a": [1, None, [None, 0.5]], "b": {"c": None, "d": "NaN", "e": None}}


def test_what_an_earlier_run_kept_is_read_or_named_as_damaged(tmp_path):
    file = tmp_path / "kept.json"
    assert read_kept(file) is None
    write_json(file, {"a": ["ü"]})
    assert read_kept(file) == {"a": ["ü"]}
    for content in (b"", b'{"a": ', b"[1]", b"null", b"\xff\xfe", b"{\x00}"):
        file.write_bytes(content)
        with pytest.warns(TellapartWarning, match=r"kept\.json is damaged"):
            assert read_kept(file) is None
