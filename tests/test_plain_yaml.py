"""YAML is read as plain data within limits, by recipes, spaces, label texts and protocols."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from tellapart.errors import DataError, RecipeError
from tellapart.plain_yaml import MAX_DEPTH, MAX_SIZE, parse_yaml, read_yaml

ROOT = Path(__file__).parents[1]
BOMB = "\n".join(["a0: &a0 [x]", *(f"a{one}: &a{one} [*a{one - 1}, *a{one - 1}]" for one in range(1, 31))])
REFUSED = {
    "a tag for a date": ("text: !!timestamp 2001-99-99", "has the tag"),
    "a tag for a truth value": ('text: !!bool "x"', "has the tag"),
    "a tag for an integer": ('seed: !!int "x"', "has the tag"),
    "a tag for bytes": ("text: !!binary aGFs", "has the tag"),
    "a tag for an object": ("seed: !!python/object/apply:os.system [ls]", "has the tag"),
    "a list as key": ("? [a, b]\n: c", "a key that is no name"),
    "a mapping as key": ("{{a: 1}: 2}", "a key that is no name"),
    "a duplicate key": ("seed: 1\nseed: 2", 'the key "seed" twice at line 2'),
    "5,000 digits": ("seed: " + "9" * 5_000, "does not fit into 64 bits"),
    "5,000 hexadecimal digits": ("seed: 0x" + "f" * 5_000, "does not fit into 64 bits"),
    "no hexadecimal digits": ("seed: 0x_", "does not fit into 64 bits"),
    "nested mappings": ("\n".join(" " * depth + "a:" for depth in range(1_000)), "levels deep"),
    "nested lists": ("[" * 200 + "]" * 200, "levels deep"),
    "1,000 nested lists": ("[" * 1_000 + "]" * 1_000, "levels deep|not readable YAML"),
    "an alias bomb": (BOMB, "expand without bounds"),
    "an alias bomb below a key": ("data:\n  " + BOMB.replace("\n", "\n  "), "expand without bounds"),
    "a long text repeated": (
        "a: &a " + "x" * 99_999 + "\nb: [" + "*a, " * 99 + "*a]",
        "expand without bounds",
    ),
    "an alias in itself": ("a: &a [*a]", "contains itself"),
    "an alias of nothing": ("a: *a", "not readable YAML at line 1"),
    "too many characters": ("#" * (MAX_SIZE + 1), "more than 1,000,000 characters"),
    "two documents": ("a: 1\n---\nb: 1", "not readable YAML"),
    "a surrogate": ("a: \ud800", "not readable YAML"),
    "a null byte": ("a: \0", "not readable YAML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_yaml_that_is_no_plain_data_is_refused_in_one_sentence(name):
    written, message = REFUSED[name]
    with pytest.raises(RecipeError, match=message) as caught:
        parse_yaml(written, "the recipe")
    assert str(caught.value).startswith("the recipe ")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", [name for name in REFUSED if "digits" not in name])
def test_label_texts_have_the_same_limits(name):
    with pytest.raises(DataError):
        parse_yaml(REFUSED[name][0], "the file", DataError, strings=True)


def test_dates_and_equals_signs_are_strings_and_other_values_have_their_types():
    written = "[2001-99-99, 2001-12-31, =, no, 1, 1.5, .inf, ~, 'no', '1', 1e5]"
    assert parse_yaml(written, "x") == [
        *("2001-99-99", "2001-12-31", "=", False, 1, 1.5, float("inf"), None, "no", "1", "1e5")
    ]
    assert parse_yaml("no: [1, 2001-01-01, 0x1]", "x", strings=True) == {"no": ["1", "2001-01-01", "0x1"]}


def test_aliases_and_merged_keys_within_the_limits_are_read():
    written = "first: &first {epochs: 3, seed: 1}\nstages: [*first, {<<: *first, epochs: 5}]"
    assert parse_yaml(written, "x")["stages"] == [{"epochs": 3, "seed": 1}, {"epochs": 5, "seed": 1}]
    assert parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "x")


@pytest.mark.parametrize("file", sorted(ROOT.rglob("src/tellapart/**/*.yaml")), ids=lambda file: file.stem)
def test_files_of_the_package_have_the_values_that_pyyaml_reads(file):
    assert read_yaml(file) == yaml.safe_load(file.read_text(encoding="utf-8"))


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"method: caf\xe9")
    (tmp_path / "large.yaml").write_text("#" * (MAX_SIZE + 1))
    for name, message in (
        ("latin.yaml", "UTF-8"),
        ("large.yaml", "smaller"),
        ("none.yaml", "cannot be read"),
    ):
        with pytest.raises(RecipeError, match=message):
            read_yaml(tmp_path / name)


def test_only_one_module_parses_yaml():
    modules = (ROOT / "src").rglob("*.py")
    parsing = [
        one.name for one in modules if re.search(r"yaml\.(safe_)?(load|parse)\b", one.read_text("utf-8"))
    ]
    assert parsing == ["plain_yaml.py"]


def test_fuzzed_recipes_are_accepted_or_refused():
    spec = importlib.util.spec_from_file_location("fuzz_recipes", ROOT / "benchmarks" / "fuzz_recipes.py")
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    counts, faults = fuzz.run(60, seed=1)
    assert [fault for fault in faults if fault["message"]] == []
    assert counts["accepted"] > 0
    assert counts["refused"] > 60
