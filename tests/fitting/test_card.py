from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tellapart.classifier import TextClassifier
from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.fitting.card import model_card
from tellapart.fitting.fitted import Fitted
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


def test_names_of_the_hub_are_in_the_metadata_and_folders_are_not(tmp_path):
    recipe = with_values(Recipe(), ["encoder.name=org/encoder", "data.source=org/set/config"])
    data = ModelCard(_card(["a", "b"], recipe)).data
    assert (data.base_model, data.datasets) == (["org/encoder"], ["org/set"])
    data = ModelCard(_card(["a", "b"], with_values(Recipe(), [f"encoder.name={tmp_path}"]))).data
    assert (data.base_model, data.datasets) == (None, None)


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
