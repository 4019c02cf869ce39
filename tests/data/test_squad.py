from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tellapart.data.squad import SquadAnswer, SquadExample, read_squad
from tellapart.errors import DataError

CONTEXT = "Super Bowl 50 was won by the Denver Broncos."


def question(**changes: Any) -> dict[str, Any]:
    whole = {"id": "q1", "question": "Who won?", "answers": [{"text": "Denver Broncos", "answer_start": 29}]}
    return whole | changes


def squad(*questions: Any) -> dict[str, Any]:
    paragraph = {"context": CONTEXT, "qas": list(questions)}
    return {"version": "v2.0", "data": [{"title": "Super Bowl", "paragraphs": [paragraph]}]}


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_questions_come_with_their_text_and_their_answers(tmp_path: Path) -> None:
    impossible = question(id="q2", question="Who lost?", answers=[], is_impossible=True, plausible_answers=[])
    examples = read_squad(write(tmp_path / "dev.json", squad(question(), impossible)))
    assert examples == [
        SquadExample("q1", "Who won?", CONTEXT, (SquadAnswer("Denver Broncos", 29),)),
        SquadExample("q2", "Who lost?", CONTEXT, ()),
    ]
    answer = examples[0].answers[0]
    assert CONTEXT[answer.start : answer.start + len(answer.text)] == answer.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], '"data" of .* is not there, since .* is a list'),
        ({"data": []}, "has no questions"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, '"context" of .*, data 1, paragraphs 1 is missing, not a text'),
        (squad(question(id=7)), '"id" of .*, data 1, paragraphs 1, qas 1 is a number, not a text'),
        (squad(question(answers=None)), '"answers" of .* is missing, not a list'),
        (squad(question(answers=[{"text": "a", "answer_start": True}])), "is true or false, not a number"),
        (squad(question(answers=[{"text": "a", "answer_start": 99}])), "from character 99 on, .* has 44"),
        (squad(question(), question()), 'two questions with the id "q1"'),
        (squad("Who won?"), "is not there, since .*qas 1 is a text"),
    ],
)  # fmt: skip
def test_what_is_not_in_the_format_is_refused_with_its_place(
    tmp_path: Path, content: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_squad(write(tmp_path / "dev.json", content))


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text('{"data": [')
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_squad(tmp_path / "dev.json")
    with pytest.raises(DataError, match=r"no file .*test.json"):
        read_squad(tmp_path / "test.json")
