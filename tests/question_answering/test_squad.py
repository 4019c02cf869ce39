from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest

from tellapart.errors import DataError
from tellapart.question_answering.squad import SquadAnswer, SquadExample, read_squad

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


ROWS = [
    {
        "id": "q1",
        "title": "Super Bowl",
        "context": CONTEXT,
        "question": "Who won?",
        "answers": {"text": ["Denver Broncos", "the Denver Broncos"], "answer_start": [29, 25]},
    },
    {"id": "q2", "context": CONTEXT, "question": "Who lost?", "answers": {"text": [], "answer_start": []}},
]
EXAMPLES = [
    SquadExample(
        "q1", "Who won?", CONTEXT, (SquadAnswer("Denver Broncos", 29), SquadAnswer("the Denver Broncos", 25))
    ),
    SquadExample("q2", "Who lost?", CONTEXT, ()),
]


@pytest.mark.parametrize("name", ["dev.json", "dev.jsonl", "dev.parquet"])
def test_a_table_in_the_shape_of_datasets_has_the_same_questions(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        pyarrow.parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif name.endswith("jsonl"):
        path.write_text("\n".join(map(json.dumps, ROWS)))
    else:
        write(path, ROWS)
    assert read_squad(path) == EXAMPLES
    assert read_squad(path, split="train") == EXAMPLES  # a file has no splits
    assert read_squad(path, with_answers=False) == [replace(example, answers=()) for example in EXAMPLES]


def test_a_split_is_read_of_a_saved_or_a_hub_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = datasets.Features(
        {name: datasets.Value("string") for name in ("id", "title", "context", "question")}
        | {
            "answers": datasets.Sequence(
                {"text": datasets.Value("string"), "answer_start": datasets.Value("int32")}
            )
        }
    )
    splits = datasets.DatasetDict(
        train=datasets.Dataset.from_list([ROWS[0]], features=features),
        validation=datasets.Dataset.from_list([{"title": ""} | ROWS[1]], features=features),
    )
    splits.save_to_disk(tmp_path / "squad")
    monkeypatch.setattr(
        datasets, "load_dataset", lambda name, config: {("some/squad", None): splits}[name, config]
    )
    for source in (tmp_path / "squad", "some/squad"):
        assert read_squad(source, split="train") == EXAMPLES[:1]
        assert read_squad(source, split="validation") == EXAMPLES[1:]
        assert read_squad(source) == EXAMPLES[1:]  # what is evaluated on, where nothing is said
        with pytest.raises(DataError, match="has no test split, only train, validation"):
            read_squad(source, split="test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers": {"text": ["Denver"], "answer_start": []}}, "row 1 has 1 answers and 0 places"),
        ({"answers": ["Denver"]}, '"answers" of .*row 1 is a list, not an object'),
        ({"answers": {"text": ["Denver"], "answer_start": [99]}}, "row 1, answers 1 is .* from character 99"),
        ({"question": None}, '"question" of .*row 1 is missing, not a text'),
    ],
)
def test_a_table_that_is_none_of_questions_is_refused_with_its_row(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_squad(write(tmp_path / "dev.json", [ROWS[0] | changes]))


def test_a_table_without_questions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text("text,label\nhello,a\n")
    with pytest.raises(DataError, match=r'"context" of .*row 1 is missing'):
        read_squad(tmp_path / "dev.csv")
