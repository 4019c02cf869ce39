"""Prints survive every encoding of standard output."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tellapart.cli import main
from tellapart.cli.encodings import has_all_characters, print_in_every_encoding
from tellapart.cli.tables import print_json, show_metrics, show_table

ENCODINGS = ["ascii", "cp1252", "cp437", "latin-1", "gbk", "shift_jis", "utf-8", "utf-16"]
# All characters, lone surrogates too, as in the names of files that are not UTF-8.
TEXTS = st.text(st.characters(exclude_characters="\r\n"), max_size=30)
EVERY_TEXT = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def stdout(monkeypatch):
    """Replaces standard output by one with the encoding, and returns a function that reads what was printed."""

    def replace(encoding: str):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict", write_through=True, newline="\n")
        monkeypatch.setattr(sys, "stdout", stream)
        return lambda: raw.getvalue().decode(encoding)

    return replace


@pytest.mark.parametrize("encoding", ENCODINGS)
@EVERY_TEXT
@given(text=TEXTS)
def test_every_text_and_every_table_can_be_printed(stdout, encoding, text):
    printed = stdout(encoding)
    print_in_every_encoding()
    print(text)
    show_table([["class", "−6.6 points"], [text, "1"]])
    assert "6.6 points" in printed()
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return
    assert printed().startswith(text + "\n")


@pytest.mark.parametrize("encoding", ENCODINGS)
@EVERY_TEXT
@given(content=st.dictionaries(TEXTS, TEXTS | st.floats(allow_nan=False, allow_infinity=False), max_size=3))
def test_json_means_the_same_in_every_encoding(stdout, encoding, content):
    printed = stdout(encoding)
    print_in_every_encoding()
    print_json(content)
    assert json.loads(printed()) == content


def test_typography_is_replaced_by_similar_characters_only_where_it_is_missing(stdout):
    for encoding, wanted in (("ascii", '-6.6 -> "a" ... \\u88ab\n'), ("utf-8", "−6.6 → “a” … 被\n")):
        printed = stdout(encoding)
        print_in_every_encoding()
        print("−6.6 → “a” … 被")
        assert printed() == wanted
        assert has_all_characters(sys.stdout) == (encoding == "utf-8")


def test_every_verb_prints_to_ascii(stdout, quick, tickets, tmp_path):
    data = tmp_path / "tickets.csv"
    names = {"lost": "verloren → 丢失", "stolen": "被盗 “é”", "expired": "abgelaufen − ½"}
    lines = ["text,label", *(f"{text} … 卡,{names[label]}" for text, label in tickets[::2])]
    data.write_text("\n".join(lines), encoding="utf-8")
    runs, options = tmp_path / "läufe", [*quick, "--epochs", "2"]
    commands = {
        "train": [data, *options, "--output", runs / "train"],
        "compare": [data, *options, "--trials", "2", "--output", runs / "compare"],
        "evaluate": [runs / "train", data],
        "predict": [runs / "train", data, "--output", runs / "labelled.csv"],
        "check": [data, "--encoder", quick[1]],
        "recipes": [],
        "data": ["list"],
    }
    for verb, arguments in commands.items():
        printed = stdout("ascii")
        with pytest.raises(SystemExit) as end:
            main([verb, *map(str, arguments)])
        assert not end.value.code, verb
        assert printed(), verb


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "cp1252"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_a_process_without_utf8_prints_what_it_can(variables):
    command = [sys.executable, "-m", "tellapart", "recipes", "show", "数−é"]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: there is no method")


def test_metrics_that_are_no_numbers_are_null_and_a_dash(capsys):
    print_json({"test": {"accuracy": float("nan")}})
    assert json.loads(capsys.readouterr().out) == {"test": {"accuracy": None}}
    show_metrics({"test": {"accuracy": None, "macro_f1": 0.5}})
    shown = [line.split()[-1] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert shown[2:] == ["–", "50.00"]


_ESCAPES = "card \x1b]0;title\x07\x1b[2J\x9b1m\r"


def test_no_text_of_the_data_reaches_the_terminal_as_an_escape_sequence(tellapart, tmp_path):
    file = tmp_path / "data.jsonl"
    labels = ["a", "b", "c\x1b[31m"] * 4
    rows = [{"text": f"{_ESCAPES} {number // 2}", "label": label} for number, label in enumerate(labels)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    checked = tellapart("check", file)
    assert "\\x1b]0;title\\x07\\x1b[2J" in checked.out
    as_json = tellapart("check", file, "--json")
    examples = [text for finding in json.loads(as_json.out)["findings"] for text in finding["examples"]]
    assert any("\x1b]0;title\x07\x1b[2J\x9b1m" in text for text in examples)
    refused = tellapart("check", file, "--label", "c\x1b[31m")
    assert refused.code == 2
    renamed = tmp_path / "names.jsonl"
    renamed.write_text(json.dumps({"text": "a", _ESCAPES: "b"}) + "\n")
    named = tellapart("check", renamed, "--label", "missing")
    assert (named.code, "\\x1b]0;title" in named.err) == (2, True)
    for printed in (checked, as_json, refused, named):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", printed.out + printed.err)


def test_tables_show_control_characters(capsys):
    show_table([["class", "f1"], ["\x1b[31mred", "1.0"]])
    assert "\\x1b[31mred" in capsys.readouterr().out
