"""The files that GLUE's server scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tellapart.data.benchmarks.registry import registered
from tellapart.data.examples import LabelSpace
from tellapart.errors import DataError
from tellapart.reproduction.glue_submission import FILES, is_submitted, submission_rows, write_submission


@dataclass
class _Known:
    """A classifier with given logits."""

    labels: LabelSpace
    logits: list[list[float]]

    def scores(self, rows):
        assert rows.labels is None
        return np.array(self.logits[: len(rows)], dtype=np.float32)


@pytest.fixture
def glue(tmp_path, monkeypatch):
    """Writes a file of GLUE into the user's data folder."""
    monkeypatch.setenv("TELLAPART_DATA", str(tmp_path / "data"))

    def write(task: str, name: str, *lines: str) -> None:
        file = tmp_path / "data" / task / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    return write


def test_every_task_is_a_registered_set():
    assert set(FILES) <= set(registered())
    assert FILES.keys() == {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"}


def test_numbers_stay_between_0_and_5(glue, tmp_path):
    glue("stsb", "test.tsv", "index\tgenre\tsentence1\tsentence2", "0\tg\ta\tb", "1\tg\tc\td", "2\tg\te\tf")
    write_submission(
        "stsb", _Known(LabelSpace(("score",), "regression"), [[5.5], [-0.2], [3.14159]]), tmp_path
    )
    assert (tmp_path / "STS-B.tsv").read_text() == "index\tprediction\n0\t5.000\n1\t0.000\n2\t3.142\n"


def test_both_files_of_mnli_are_written_with_the_names_of_the_classes(glue, tmp_path):
    head = "index\tgenre\tsentence1\tsentence2"
    glue("mnli", "test_matched.tsv", head, "0\tg\ta\tb", "1\tg\tc\td")
    glue("mnli", "test_mismatched.tsv", head, "0\tg\ta\tb")
    labels = LabelSpace(("contradiction", "entailment", "neutral"))
    write_submission("mnli", _Known(labels, [[0, 0, 1], [0, 1, 0]]), tmp_path)
    assert (tmp_path / "MNLI-m.tsv").read_text() == "index\tprediction\n0\tneutral\n1\tentailment\n"
    assert (tmp_path / "MNLI-mm.tsv").read_text() == "index\tprediction\n0\tneutral\n"
    assert is_submitted("mnli", tmp_path)
    (tmp_path / "MNLI-mm.tsv").unlink()
    assert not is_submitted("mnli", tmp_path)


def test_binary_tasks_have_the_numbers_of_the_published_files(glue, tmp_path):
    glue("mrpc", "test.tsv", "index\t#1 ID\t#2 ID\t#1 String\t#2 String", '0\t1\t2\t"a\tb', "1\t3\t4\tc\td")
    labels = LabelSpace(("equivalent", "not_equivalent"))
    write_submission("mrpc", _Known(labels, [[1, 0], [0, 1]]), tmp_path)
    assert (tmp_path / "MRPC.tsv").read_text() == "index\tprediction\n0\t1\n1\t0\n"


def test_a_short_line_is_refused_since_it_would_move_the_others(glue):
    glue("qqp", "test.tsv", "id\tquestion1\tquestion2", "0\ta\tb", "1\ta", "2\tc\td")
    with pytest.raises(DataError, match="line 3"):
        submission_rows("qqp")


def test_classes_that_the_server_does_not_know_are_refused(glue, tmp_path):
    glue("rte", "test.tsv", "index\tsentence1\tsentence2", "0\ta\tb")
    with pytest.raises(DataError, match='no class "yes" of rte'):
        write_submission("rte", _Known(LabelSpace(("entailment", "yes")), [[0, 1]]), tmp_path)
    assert not is_submitted("rte", tmp_path)


def test_a_missing_file_is_named(glue):
    glue("rte", "train.tsv", "index\tsentence1\tsentence2\tlabel", "0\ta\tb\tentailment")
    with pytest.raises(DataError, match=r"has no test\.tsv"):
        submission_rows("rte")
