from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tellapart.classifier import TextClassifier
from tellapart.cli import main
from tellapart.data.examples import SCORE, LabelSpace, TextData, TextSplit
from tellapart.evaluation.abstention import Abstention
from tellapart.evaluation.decision import Decision
from tellapart.fitting.card import model_card
from tellapart.fitting.fitted import Fitted, TransformersScorer
from tellapart.fitting.models import load_model
from tellapart.inspection.markdown import escaped, fenced
from tellapart.recipes import Recipe, with_values
from tellapart.runs.train import train
from tellapart.training.tfidf import TfidfClassifier


@pytest.fixture(scope="module")
def run(tiny_encoder, ticket_file, tmp_path_factory) -> tuple[Path, Recipe, dict]:
    from tellapart.recipes import method_recipe

    chosen = [
        f"data.source={ticket_file}",
        f"encoder.name={tiny_encoder}",
        "encoder.max_length=24",
        "stages.0.epochs=2",
        "stages.0.learning_rate=0.005",
    ]
    recipe = with_values(method_recipe("cross-entropy"), chosen)
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, recipe, train(recipe, folder, quiet=True).metrics


def test_the_metadata_have_the_results_with_their_interval(run):
    folder, _, metrics = run
    card = ModelCard.load(folder / "model" / "README.md")
    data = card.data
    assert (data.library_name, data.pipeline_tag, data.license) == (
        "transformers",
        "text-classification",
        "unknown",
    )
    values = {result.metric_name: result.metric_value for result in data.eval_results}
    assert values["accuracy"] == pytest.approx(metrics["test"]["accuracy"], abs=1e-6)
    assert {result.dataset_split for result in data.eval_results} == {"test"}
    (accuracy,) = [result for result in data.eval_results if result.metric_name == "accuracy"]
    low, high = accuracy.metric_args["interval"]
    rows, share, z = metrics["rows"]["test"], metrics["test"]["accuracy"], 1.959964
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-5)
    assert {result.metric_type for result in data.eval_results} >= {"accuracy", "f1"}


def test_the_text_has_fingerprints_versions_and_the_recipe_but_no_path_and_no_token(run, ticket_file):
    folder, _, _ = run
    text = (folder / "model" / "README.md").read_text(encoding="utf-8")
    fingerprint = json.loads((folder / "fingerprint.json").read_text())
    for what, digest in fingerprint["contents"]["data.source"].items():
        assert f"| {what} | `{digest}` |" in text
    recipe = yaml.safe_load(re.search(r"```yaml\n(.*?)\n```", text, re.DOTALL)[1])
    assert recipe["data"]["source"] == ticket_file.name
    assert recipe["stages"][0]["trainer"] == {}
    assert str(ticket_file.parent) not in text
    assert "| rows |" not in text.split("## Training")[0]
    assert "at most 24 tokens" in text


def test_equal_runs_have_equal_cards_and_the_checkpoint_stays_plain(run, tmp_path):
    folder, recipe, _ = run
    train(recipe, tmp_path / "again", quiet=True)
    assert (folder / "model" / "README.md").read_bytes() == (tmp_path / "again/model/README.md").read_bytes()
    from transformers import pipeline

    (answer,) = pipeline("text-classification", str(folder / "model"))("my card was stolen")
    assert answer["label"] in ("lost", "stolen", "expired")


def test_a_saved_estimator_has_a_card_without_metrics_also_after_loading(tickets, tmp_path):
    texts, labels = zip(*tickets, strict=True)
    TextClassifier("tfidf").fit(list(texts), list(labels)).save(tmp_path / "one")
    TextClassifier.load(tmp_path / "one").save(tmp_path / "two")
    cards = [(tmp_path / name / "README.md").read_text() for name in ("one", "two")]
    assert cards[0] == cards[1]
    assert "No metrics are known." in cards[0]
    data = ModelCard(cards[0]).data
    assert (data.library_name, data.license, data.eval_results) == ("tellapart", "unknown", None)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\nlicense: [mit, gpl]\n---\n", "unknown"),
        ("no metadata", "unknown"),
        ("---\n- a\n---\n", "unknown"),
        ("---\na: [\n---\n", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_licence_is_that_of_the_encoders_card_or_unknown(card, licence, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    recipe = with_values(Recipe(), [f"encoder.name={tmp_path}"])
    assert ModelCard(_card(["a", "b"], recipe)).data.license == licence


def _shared(recipe: Recipe) -> dict:
    return yaml.safe_load(re.search(r"```yaml\n(.*?)\n```", _card(["a", "b"], recipe), re.DOTALL)[1])


def test_no_folder_no_text_and_no_secret_of_the_recipe_is_in_the_card():
    chosen = [
        "data.source=clients/acme/tickets.csv",
        "data.out_of_scope=/home/me/acme/others.csv",
        "data.unlabelled='C:\\\\Users\\\\me\\\\inbox.jsonl'",
        "data.order=[a, /b/c]",
        "encoder.name=tfidf",
        "encoder.embeddings=~/acme/words.vec",
        "stages.0.trainer={accelerator_config: /home/acme/own.json, average_tokens_across_devices: false}",
    ]
    recipe = with_values(Recipe(), chosen)
    texts = {"a": "our private words", "b": ["more of them", "and more"]}
    recipe.data.label_texts = texts
    recipe.stages[0].trainer |= {"hub_token": "hf_secret", "hub_model_id": "me/acme"}  # of an earlier version
    text, shared = _card(["a", "b"], recipe), _shared(recipe)
    assert not [word for word in ("acme", "private", "more", "secret", "Users") if word in text]
    data = shared["data"]
    assert data["label_texts"] == "3 texts of 2 classes, not shown"
    named = [data["source"], data["out_of_scope"], data["unlabelled"], shared["encoder"]["embeddings"]]
    assert named == ["tickets.csv", "others.csv", "inbox.jsonl", "words.vec"]
    assert data["order"] == ["a", "/b/c"]
    assert shared["stages"][0]["trainer"] == {
        "accelerator_config": "own.json",
        "average_tokens_across_devices": False,
    }
    assert ModelCard(text).data.datasets is None


def test_names_of_the_hub_are_in_the_metadata_and_folders_are_not(tmp_path):
    recipe = with_values(Recipe(), ["encoder.name=org/encoder", "data.source=org/set/config"])
    data = ModelCard(_card(["a", "b"], recipe)).data
    assert (data.base_model, data.datasets) == (["org/encoder"], ["org/set"])
    data = ModelCard(_card(["a", "b"], with_values(Recipe(), [f"encoder.name={tmp_path}"]))).data
    assert (data.base_model, data.datasets) == (None, None)


def _fitted(encoder: str, data: TextData) -> Fitted:
    """A classifier with random weights."""
    recipe = with_values(Recipe(), [f"encoder.name={encoder}"])
    model, tokenizer, _ = load_model(recipe.encoder, data, 0)
    return Fitted(TransformersScorer(model.eval(), tokenizer, 24), data.labels, recipe)


def _example(text: str, folder: Path) -> Any:
    """Runs the example of a card, and returns what it prints."""
    (code,) = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code.replace('"MODEL"', repr(str(folder))), "card", "exec"), {})
    return ast.literal_eval(printed.getvalue())


_PROBLEMS = {"several labels": "multi_label_classification", "numbers": "regression"}


@pytest.mark.parametrize("kind", ["one label", "pairs", "several labels", "numbers", "textcnn"])
def test_the_example_of_a_card_runs_and_gives_the_models_answer(kind, tiny_encoder, tickets, tmp_path):
    names = (SCORE,) if kind == "numbers" else ("lost", "stolen", "expired")
    labels = LabelSpace(names, _PROBLEMS.get(kind, "single_label_classification"))
    texts = [text for text, _ in tickets]
    split = TextSplit(texts, texts[::-1] if kind == "pairs" else None)
    data = TextData(split, split, None, labels)
    fitted = _fitted("textcnn" if kind == "textcnn" else tiny_encoder, data)
    fitted.save(tmp_path / "model")
    text = model_card(fitted, data, {}, {})
    answer = _example(text, tmp_path / "model")
    asked = TextSplit(["a text"], ["another text"] if kind == "pairs" else None)
    (logits,) = fitted.scores(asked)
    assert ("a pair of texts" in text) == (kind == "pairs")
    words = "`tokenizer.json` holds words of the training texts"
    assert (words in text) == (kind == "textcnn")
    if kind == "several labels":
        assert set(answer) == {name for name, one in zip(names, logits, strict=True) if one >= 0}
        return
    (answer,) = answer if isinstance(answer, list) else [answer]
    probability = np.exp(logits).max() / np.exp(logits).sum()
    assert answer["score"] == pytest.approx(logits[0] if kind == "numbers" else probability, abs=1e-4)
    assert answer["label"] == names[int(logits.argmax())]


def test_the_command_in_the_card_of_a_tfidf_model_runs(tickets, tmp_path, monkeypatch):
    texts, labels = zip(*tickets, strict=True)
    TextClassifier("tfidf").fit(list(texts), list(labels)).save(tmp_path / "MODEL")
    (tmp_path / "texts.csv").write_text("text\nmy card was lost\n")
    card = (tmp_path / "MODEL" / "README.md").read_text()
    (command,) = re.findall(r"```bash\n(.*?)\n```", card, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([*shlex.split(command)[1:], "--quiet"])
    assert not end.value.code
    assert "lost" in (tmp_path / "labelled.csv").read_text().splitlines()[1]
    assert "`tfidf.json` holds words of the training texts" in card


def test_what_predict_does_and_the_pipeline_does_not_is_said(tiny_encoder):
    plain = _fitted(tiny_encoder, TextData(TextSplit(["a"]), None, None, LabelSpace(("a", "b", "c"))))
    rule = Decision(abstention=Abstention("probability", 0.7), temperature=2.0)
    abstaining = dataclasses.replace(plain, decision=rule)
    measured = {"accuracy": 0.5, "coverage": 0.25, "selective_risk": 0.1, "out_of_scope_auroc": 0.9}
    text = model_card(abstaining, None, {}, {"rows": {"test": 8}, "test": measured})
    assert "also applies the temperature and the rule for abstaining in `tellapart.json`" in text
    assert "marks the texts on which the model abstains" in text
    assert "Coverage and selective risk are those of abstaining" in text
    assert {one.metric_type for one in ModelCard(text).data.eval_results} >= {"accuracy", "roc_auc"}
    for decision in (Decision(), Decision(temperature=2.0, folded=True)):
        text = model_card(dataclasses.replace(plain, decision=decision), None, {}, {})
        assert "also applies" not in text
        assert "marks the texts" not in text
    numbers = dataclasses.replace(plain, labels=LabelSpace((SCORE,), "regression"))
    assert "Wilson" not in model_card(
        numbers, None, {}, {"rows": {"test": 8}, "test": {"pearson_correlation": 0.5}}
    )


def _card(names: list[str], recipe: Recipe | None = None, source: str = "tickets") -> str:
    """The card of a classifier that predicts the first class for every text."""
    labels = LabelSpace(tuple(names))
    texts = [f"text {number}" for number in range(len(names))]
    split = TextSplit(texts, None, list(names))
    recipe = recipe or with_values(Recipe(), [f"data.source={json.dumps(source)}", "encoder.name=tfidf"])
    fitted = Fitted(
        TfidfClassifier(
            labels, "word", {"a": 0}, np.ones(1), np.zeros((len(names), 1)), np.zeros(len(names))
        ),
        labels,
        recipe,
    )
    logits = np.tile(np.eye(len(names))[0], (len(names), 1))
    metrics = {"rows": {"test": len(names)}, "test": {"accuracy": 1 / len(names)}}
    return model_card(fitted, TextData(split, None, split, labels), {"test": logits}, metrics)


_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
_NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30) | st.sampled_from(
    [
        "a|b",
        "`x`",
        "<script>alert(1)</script>",
        "**bold**",
        "[link](http://x.y)",
        "---",
        "# head",
        "\\",
        "{{ 1 }}",
        "&lt;",
    ]
)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(_NAMES, min_size=2, max_size=5, unique=True))
def test_class_names_of_any_characters_leave_the_card_whole(names):
    text = _card(names)
    assert ModelCard(text).data.eval_results is not None
    body = _MARKDOWN.parse(ModelCard(text).text)
    before = body[: next(i for i, token in enumerate(body) if "details" in token.content)]
    inline = [child for token in before for child in token.children or ()]
    assert not [one for one in [*before, *inline] if one.type.startswith("html")]
    assert {one.type for one in inline} <= {"text", "code_inline", "softbreak", "text_special"}
    headings = [token.tag for token in body if token.type == "heading_open"]
    assert headings.count("h1") == 1
    assert headings.count("h2") == 4


@settings(max_examples=100, derandomize=True, deadline=None)
@given(_NAMES)
def test_an_escaped_text_renders_as_itself(name):
    parser = _MARKDOWN
    (inline,) = [token for token in parser.parse(f"x {escaped(name)} y") if token.type == "inline"]
    assert all(child.type in ("text", "text_special") for child in inline.children)
    plain = "".join(child.content for child in inline.children)
    kept = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", "�", " ".join(name.split()))
    assert plain.strip() == f"x {kept} y".replace("  ", " ").strip() or kept in plain


def test_a_fence_is_longer_than_any_in_the_text():
    assert fenced("a ```` b", "yaml") == "`````yaml\na ```` b\n`````"


def test_a_file_name_of_any_bytes_leaves_the_card_whole():
    recipe = with_values(Recipe(), ["encoder.name=tfidf"])
    named = recipe.data.model_copy(update={"source": "/private/a\udc80|`<b>\n---\n.csv"})
    text = _card(["a", "b"], recipe.model_copy(update={"data": named}))
    text.encode("utf-8")
    assert "<b>" not in ModelCard(text).text.split("<details>")[0]
    assert "/private" not in text
