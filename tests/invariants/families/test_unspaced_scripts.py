"""Japanese and Chinese, from files to predictions, where rows have several labels or none."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tellapart.recipes import Recipe, method_recipe, with_values
from tellapart.runs.evaluate import evaluate
from tellapart.runs.predict import predict
from tellapart.runs.train import train

# What is said of each label, and what is said of none; any beginning may stand before it.
SAID = {
    "japanese": (
        ("今朝から", "昨日の夜、", "妹が", "仕事中に", "会社で", "学校で"),
        {"発熱": "熱が出た", "咳": "咳が止まらない", "頭痛": "頭が痛い"},
        ("天気がいい", "ラーメンを食べた", "映画を見た", "電車が遅れた"),
    ),
    "chinese": (
        ("昨天", "我觉得", "这一次", "他们说", "上个月", "真的是"),
        {"物流": "快递太慢了", "质量": "东西一用就坏", "客服": "没有人回答问题"},
        ("天气很好", "我们去吃饭", "电影不错", "没什么要说的"),
    ),
}


def _rows(beginning: str, said: dict[str, str], nothing: tuple[str, ...]) -> list[dict[str, object]]:
    """One row of each label, one of each two, and as many of none."""
    labelled = [*itertools.combinations(said, 1), *itertools.combinations(said, 2)]
    rows = [(beginning + "，".join(said[name] for name in names), names) for names in labelled]
    rows += [(beginning + text + end, ()) for text in nothing for end in ("。", "！")][: len(labelled)]
    return [{"text": text, "labels": sorted(names)} for text, names in rows]


@pytest.fixture(params=SAID)
def folder(request, tmp_path) -> Path:
    """Splits of one language, each with beginnings of its own, as JSON Lines."""
    beginnings, said, nothing = SAID[request.param]
    data = tmp_path / "data"
    data.mkdir()
    for split, its in {
        "train": beginnings[:4],
        "validation": beginnings[4:5],
        "test": beginnings[5:],
    }.items():
        rows = [row for beginning in its for row in _rows(beginning, said, nothing)]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (data / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return data


def _read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("encoder", ["textcnn", "han", "bert"])
def test_rows_without_a_label_are_learned_predicted_and_scored_as_such(
    folder, encoder_from, tmp_path, encoder
):
    settings = [f"data.source={folder}", "stages.0.learning_rate=0.01", "stages.0.epochs=30"]
    settings += ["stages.0.batch_size=12", "stages.0.evaluations=3", "stages.0.precision=fp32"]
    if encoder == "bert":
        texts = [row["text"] for row in _read(folder / "train.jsonl")]
        settings += [f"encoder.name={encoder_from('bert', texts)}", "encoder.max_length=40"]
    else:
        settings += [f"encoder.name={encoder}", "encoder.embedding_size=24", "encoder.tokens=characters"]
    recipe = with_values(method_recipe("cross-entropy", Recipe()), settings)
    metrics = train(recipe, tmp_path / "run", quiet=True).metrics
    output = tmp_path / "predicted.jsonl"
    assert predict(tmp_path / "run", folder / "test.jsonl", output, quiet=True) == 12
    rows = _read(output)
    without = [row for row in rows if not row["labels"]]
    assert len(without) == 6
    assert sum(row["predicted_label"] == [] for row in without) >= 5
    assert all(row["probability"] == [] for row in rows if row["predicted_label"] == [])
    right = sum(row["predicted_label"] == row["labels"] for row in rows)
    assert right >= 9
    assert {len(row["predicted_label"]) for row in rows} >= {0, 1, 2}
    measured = evaluate(tmp_path / "run", folder, quiet=True)
    assert measured["exact_match"] == metrics["test"]["exact_match"] == pytest.approx(right / 12)
    shares = [_overlap(row["predicted_label"], row["labels"]) for row in rows]
    assert measured["samples_f1"] == pytest.approx(sum(shares) / 12)


def _overlap(predicted: list[str], gold: list[str]) -> float:
    """F1 of two label sets; of two empty ones 1, since nothing was the right answer."""
    both = len(set(predicted) & set(gold))
    return 2 * both / (len(predicted) + len(gold)) if predicted or gold else 1.0
