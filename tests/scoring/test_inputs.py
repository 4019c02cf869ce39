"""Which files a folder or a pattern names, and which outputs are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tellapart.errors import DataError, UserError
from tellapart.scoring.inputs import check_apart, list_inputs, writes_parts


@pytest.fixture
def place(tmp_path):
    for name in (
        "b.csv",
        "a.parquet",
        "_SUCCESS",
        "_meta.json",
        ".a.csv",
        "notes.txt",
        "sub/c.csv",
        "sub/_d.csv",
    ):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("text\na\n")
    return tmp_path / "in"


def test_a_folder_is_its_files_of_known_formats_in_order(place):
    found = list_inputs(place)
    assert (found.root, found.names) == (place, ("a.parquet", "b.csv"))
    assert found.notes == (
        "3 file(s) are hidden or of another format and not read, such as _SUCCESS.",
        f"The 1 sub-folder(s) of {place} are not read; '{place}/**/*' matches them.",
    )


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("*.csv", ["b.csv"]), ("**/*.csv", ["b.csv", "sub/c.csv"]), ("[ab].*", ["a.parquet", "b.csv"])],
)
def test_a_pattern_is_the_files_that_it_matches(place, monkeypatch, pattern, names):
    assert [Path(name) for name in list_inputs(place / pattern).names] == [place / name for name in names]
    monkeypatch.chdir(place)
    assert [*list_inputs(pattern).names] == names


def test_a_file_with_a_bracket_in_its_name_is_a_file(tmp_path):
    file = tmp_path / "a[1].csv"
    file.write_text("text\na\n")
    assert list_inputs(file).names == ("a[1].csv",)
    assert not writes_parts(file, tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("*.tsv", "no file of a known format matches the pattern .*tsv"),
        ("sub*", "no file of a known format matches"),
        ("b.cvs", r'there is no file or folder .*b.cvs \(did you mean "b.csv"\?\)'),
        (
            "empty",
            r"the folder .*empty holds no file of a known format: .*sub-folder\(s\) match '.*empty/\*\*/\*'",
        ),
        ("saved", "saved is a data set that datasets.save_to_disk wrote: write it as Parquet"),
    ],
)
def test_what_names_no_file_is_refused(place, name, message):
    (place / "empty" / "deeper").mkdir(parents=True)
    (place / "saved").mkdir()
    (place / "saved" / "state.json").write_text("{}")
    with pytest.raises(DataError, match=message):
        list_inputs(place / name)


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("in", "in", "files in .* are read, and the output folder is"),
        ("in", "in/out", "lies in the input folder"),
        ("in", ".", "files in .* are read, and the output folder is"),
        ("in/sub/c.csv", "in/sub", "files in .* are read"),
        ("in/*.csv", "in", "files in .* are read"),
        ("in/**/*", "in/out", "also matches the parts in"),
        ("in/*/*.*", "in/out", "also matches the parts in"),
        ("in", "out.csv", "is named like a file, but several files are written: name a folder, such as out"),
    ],
)
def test_parts_among_the_files_that_are_read_are_refused(place, monkeypatch, source, output, message):
    monkeypatch.chdir(place.parent)
    with pytest.raises(UserError, match=message):
        check_apart(list_inputs(source), output)


@pytest.mark.parametrize(
    ("source", "output"),
    [("in", "out"), ("in/*.csv", "in/out"), ("in/**/*.csv", "in/out"), ("in/b.csv", "in/out")],
)
def test_parts_beside_the_files_are_allowed(place, monkeypatch, source, output):
    monkeypatch.chdir(place.parent)
    check_apart(list_inputs(source), output)


def test_parts_are_written_for_many_files_and_for_folders(place):
    for source, output, parts in [
        (place, "out", True),
        (place / "*.csv", "out.csv", True),
        (place / "b.csv", "out.csv", False),
        (place / "b.csv", "out", True),
        (place / "b.csv", place, True),
        (place / "b.csv", "out.xlsx", False),
        (place / "missing.csv", "out", False),
    ]:
        assert writes_parts(source, output) is parts


def test_a_file_that_a_pattern_matches_in_several_ways_is_read_once(place):
    (place / "sub" / "deep").mkdir()
    (place / "sub" / "deep" / "e.csv").write_text("text\na\n")
    found = list_inputs(place / "**" / "**" / "*.csv")
    assert [Path(name) for name in found.names] == [
        place / name for name in ("b.csv", "sub/c.csv", "sub/deep/e.csv")
    ]
    assert not any("further name" in note for note in found.notes)


def test_folders_under_several_names_are_read_once_and_links_to_files_are_files(place):
    (place / "again").symlink_to(place / "sub")
    (place / "sub" / "z.csv").symlink_to(place / "b.csv")
    found = list_inputs(place / "**" / "*.csv")
    assert [Path(name) for name in found.names] == [
        place / name for name in ("again/c.csv", "again/z.csv", "b.csv")
    ]
    assert any("further name(s) of the same files are left out" in note for note in found.notes)
    assert len(list_inputs(place / "*" / ".." / "*.csv").names) == 1


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_a_file_whose_name_is_not_unicode_is_refused_in_one_sentence(place):
    Path(os.fsdecode(os.fsencode(place) + b"/notes\xe9.txt")).touch()
    assert any(r"such as _SUCCESS" in note for note in list_inputs(place).notes)
    odd = Path(os.fsdecode(os.fsencode(place) + b"/caf\xe9.csv"))
    odd.write_text("text\na\n")
    for source in (place, place / "*.csv", odd):
        with pytest.raises(DataError, match=r"the name of the file .*caf\\xe9.csv is not UTF-8: rename it"):
            list_inputs(source)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("link/**/*", "in/out"),
        ("link/**/*", "in/sub/deep/out"),
        ("link/*/*.parquet", "in/out"),
        ("in/**/*", "link/out"),
        ("*/sub/**/*.*", "elsewhere/out"),
        ("li*/**/*", "in/out"),
        ("link/../in/**/*", "in/out"),
    ],
)
def test_parts_that_a_pattern_matches_through_a_link_are_refused(place, monkeypatch, source, output):
    monkeypatch.chdir(place.parent)
    (place / "a1").mkdir()
    (place / "a1" / "d.parquet").write_text("x")
    Path("link").symlink_to("in")
    Path("elsewhere").mkdir()
    Path("elsewhere/f.csv").write_text("text\na\n")
    (place / "sub" / "linked").symlink_to(Path("elsewhere").resolve())
    with pytest.raises(UserError, match="also matches the parts in"):
        check_apart(list_inputs(source), output)
    check_apart(list_inputs("link/**/*.csv"), output)
    check_apart(list_inputs(source), "out")


def test_a_link_to_a_file_in_the_output_folder_is_refused(place, monkeypatch):
    monkeypatch.chdir(place.parent)
    Path("out").mkdir()
    Path("out/x.csv").write_text("text\na\n")
    (place / "x.csv").symlink_to(Path("out/x.csv").resolve())
    with pytest.raises(UserError, match=r"the files in .*out are read, and the output folder is out"):
        check_apart(list_inputs("in"), "out")
