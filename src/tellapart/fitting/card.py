"""Model cards: `README.md` beside a checkpoint, with the metadata that the Hugging Face Hub reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData, try_to_load_from_cache
from jinja2 import Environment
from scipy.stats import binomtest

from tellapart.data.examples import TextData
from tellapart.encoders.resolve import FROM_SCRATCH, resolve_encoder
from tellapart.encoders.scratch import learns_from_scratch
from tellapart.errors import UserError
from tellapart.evaluation.decision import DECISION_FILE
from tellapart.evaluation.metrics import METRICS, metric_label
from tellapart.evaluation.task import seen_note
from tellapart.files import write_text
from tellapart.fitting.environment import environment
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.shared_recipe import hub_set, is_path, shared_name, shared_recipe
from tellapart.inspection.confusion import most_confused_pairs
from tellapart.inspection.markdown import escaped, fenced, pairs_table, table
from tellapart.inspection.page import markdown_list
from tellapart.recipes import Recipe
from tellapart.training.tfidf import CONFIG_FILE as TFIDF_CONFIG

CARD = "README.md"

_TEMPLATE = "inspection/templates/model-card.md"
_CONFIDENCE = 0.95
_CLASSES_NAMED, _PAIRS = 30, 10
_UNKNOWN = "unknown"  # a licence identifier of the Hub

_HUB_NAMES = {
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
    "mpnet": "sentence-transformers/all-mpnet-base-v2",
}
# The Hub's identifiers of metrics, where they differ from ours.
_METRIC_TYPES = {
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "pearson_correlation": "pearsonr",
    "spearman_correlation": "spearmanr",
    "out_of_scope_auroc": "roc_auc",
}
_SHARES_OF_ROWS = ("accuracy", "exact_match")


def write_card(
    folder: Path,
    fitted: Fitted,
    data: TextData | None = None,
    logits: Mapping[str, np.ndarray] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> None:
    """Writes the card of a trained classifier into its model folder.

    Equal runs have equal cards: there are no dates, durations or paths in it.

    Args:
        folder: The model folder.
        fitted: The classifier.
        data: Its data; None if they are unknown.
        logits: Split name to logits (N, K), for the scored splits.
        metrics: The content of `metrics.json`.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(folder / CARD, model_card(fitted, data, logits or {}, metrics or {}))


def model_card(
    fitted: Fitted, data: TextData | None, logits: Mapping[str, np.ndarray], metrics: Mapping[str, Any]
) -> str:
    """Returns the card as Markdown; arguments as for `write_card`."""
    assert fitted.recipe is not None
    shown = next((name for name in ("test", "validation") if name in metrics), None)
    measured = _measured(metrics[shown], metrics["rows"][shown]) if shown is not None else []
    confusion = None
    if data is not None and shown is not None and shown in logits:
        confusion = fitted.confusion(data.splits[shown], logits[shown])
    pairs = [] if confusion is None else most_confused_pairs(confusion, fitted.labels.names, _PAIRS)
    content = _template().render(
        card_data=_metadata(fitted, measured, shown).to_yaml(),
        title=f"{escaped(fitted.recipe.method)} on {escaped(_source(fitted.recipe))}",
        summary=_summary(fitted, pairs=_reads_pairs(fitted, data)),
        usage=_usage(fitted, pairs=_reads_pairs(fitted, data)),
        uses=_decision_sentences(fitted),
        limits=markdown_list(_limits(fitted, metrics)),
        scores=_score_table(measured),
        scores_note=_scores_note(shown, measured, metrics),
        pairs=pairs_table(pairs) if pairs else "",
        training=_training(fitted.recipe, metrics),
        fingerprints=_fingerprints(data),
        versions=_versions(),
        recipe=fenced(shared_recipe(fitted.recipe), "yaml"),
    )
    return str(ModelCard(content)).rstrip() + "\n"  # parsed again: raises if the Hub could not read it


def _template() -> Any:
    text = (files("tellapart") / _TEMPLATE).read_text(encoding="utf-8")
    return Environment(trim_blocks=True, lstrip_blocks=True).from_string(text)  # values are escaped already


# ---- Metadata ----


def _metadata(
    fitted: Fitted, measured: Sequence[tuple[str, float, list[float] | None]], shown: str | None
) -> ModelCardData:
    recipe = fitted.recipe
    assert recipe is not None
    source = _source(recipe)
    data_set = hub_set(recipe.data.source)
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_name=source,
            dataset_type=data_set or re.sub(r"[^\w.-]+", "-", source).strip("-") or "data",
            dataset_split=shown,
            metric_type=_metric_type(name),
            metric_name=name.replace("_", " "),
            metric_value=value,
            metric_args=None if interval is None else {"confidence": _CONFIDENCE, "interval": interval},
        )
        for name, value, interval in measured
    ]
    tfidf = recipe.encoder.name == "tfidf"
    return ModelCardData(
        license=_licence(recipe),
        library_name="tellapart" if tfidf else "transformers",
        pipeline_tag="text-classification",
        tags=["tellapart", "text-classification"],
        base_model=_base_models(recipe) or None,
        datasets=[data_set] if data_set else None,
        metrics=list(dict.fromkeys(_metric_type(name) for name, *_ in measured)) or None,
        model_name=f"{recipe.method} on {source}" if results else None,
        eval_results=results or None,
    )


def _metric_type(name: str) -> str:
    for kind in ("f1", "precision", "recall"):
        if name == kind or name.endswith(f"_{kind}"):
            return kind
    return _METRIC_TYPES.get(name, name)


def _measured(metrics: Mapping[str, float], rows: int) -> list[tuple[str, float, list[float] | None]]:
    """Returns name, value and interval of each metric; Wilson's interval for shares of rows, else None."""
    found: list[tuple[str, float, list[float] | None]] = []
    for name, value in metrics.items():
        if name not in METRICS:
            continue
        interval = None
        if name in _SHARES_OF_ROWS:
            bounds = binomtest(round(value * rows), rows).proportion_ci(_CONFIDENCE, method="wilson")
            interval = [round(float(bounds.low), 6), round(float(bounds.high), 6)]
        found.append((name, round(float(value), 6), interval))
    return found


def _base_models(recipe: Recipe) -> list[str]:
    """The names on the Hub of the encoders that were trained further."""
    names = [name for name in (recipe.encoder.name, recipe.encoder.second) if name is not None]
    known = [_HUB_NAMES.get(name, name) for name in names if name not in (*FROM_SCRATCH, "tfidf")]
    return [name for name in known if not is_path(name)]


def _licence(recipe: Recipe) -> str:
    """The licence that the cards of the encoders state; `unknown` if one states none or they differ."""
    names = [name for name in (recipe.encoder.name, recipe.encoder.second) if name is not None]
    found = {_stated_licence(name) for name in names}
    return found.pop() if len(found) == 1 else _UNKNOWN


def _stated_licence(encoder: str) -> str:
    if encoder in (*FROM_SCRATCH, "tfidf"):
        return _UNKNOWN
    try:
        place = resolve_encoder(encoder)
        card = Path(place) / CARD
        if not Path(place).is_dir():
            cached = try_to_load_from_cache(place, CARD)
            card = Path(cached) if isinstance(cached, str) else card
        stated = ModelCard(card.read_text(encoding="utf-8")).data.get("license")
    except (OSError, ValueError, UserError, yaml.YAMLError):
        return _UNKNOWN
    return stated if isinstance(stated, str) else _UNKNOWN


# ---- Text ----


def _source(recipe: Recipe) -> str:
    """The data as named by the user; of a path its last part."""
    source = recipe.data.source
    if source is None:
        return "data in memory"
    name = shared_name(source) if hub_set(source) is None else source
    # A file name may hold bytes that are no UTF-8.
    return " ".join(name.encode("utf-8", "replace").decode().split()) or "data"


def _reads_pairs(fitted: Fitted, data: TextData | None) -> bool:
    if data is not None:
        return data.train.text_pairs is not None
    return fitted.columns is not None and fitted.columns.text_pair is not None


def _summary(fitted: Fitted, *, pairs: bool) -> str:
    labels, rows = fitted.labels, "a pair of texts" if pairs else "a text"
    if labels.regression:
        return f"A text regression model: it predicts one number for {rows}."
    names = ", ".join(escaped(name) for name in labels.names[:_CLASSES_NAMED])
    more = len(labels) - _CLASSES_NAMED
    names += f" and {more} more" if more > 0 else ""
    kind = "any number of" if labels.multi_label else "one of"
    return f"A text classifier: it assigns {kind} {len(labels)} classes to {rows}.\n\nClasses: {names}."


def _usage(fitted: Fitted, *, pairs: bool) -> str:
    """An example that runs, with the model's place for MODEL; of several labels all that reach 0.5."""
    if fitted.tokenizer is None:
        return fenced("tellapart predict MODEL texts.csv --output labelled.csv", "bash")
    own = fitted.model.config.model_type.startswith("tellapart")
    lines = [
        "from transformers import pipeline",
        *(["import tellapart", "", "tellapart.register()"] if own else []),
    ]
    lines += ["", 'classify = pipeline("text-classification", "MODEL")']
    text = '{"text": "a text", "text_pair": "another text"}' if pairs else '"a text"'
    if fitted.labels.multi_label:
        lines.append(f"scores = classify({text}, top_k=None, truncation=True)")
        lines.append('print([one["label"] for one in scores if one["score"] >= 0.5])')
    else:
        lines.append(f"print(classify({text}, truncation=True))")
    return fenced("\n".join(lines), "python")


def _decision_sentences(fitted: Fitted) -> list[str]:
    """What `tellapart predict` does and the pipeline does not."""
    decision = fitted.decision
    parts = {
        "the thresholds": decision.thresholds is not None,
        "the temperature": decision.temperature != 1 and not decision.folded,
        "the rule for abstaining": decision.abstention is not None,
        "the rule for prediction sets": decision.conformal is not None,
    }
    applied = [part for part, used in parts.items() if used]
    if not applied:
        return []
    listed = " and ".join(filter(None, [", ".join(applied[:-1]), applied[-1]]))
    pipeline = "" if fitted.tokenizer is None else "; the pipeline does not"
    return [f"`tellapart predict` also applies {listed} in `{DECISION_FILE}`{pipeline}."]


def _limits(fitted: Fitted, metrics: Mapping[str, Any]) -> list[str]:
    labels = fitted.labels
    sentences = [
        "Intended for texts like those it was trained on; nothing is known about other kinds of text."
    ]
    if fitted.decision.abstention is not None:
        sentences.append(
            "`tellapart predict` marks the texts on which the model abstains. Used otherwise, it always answers with "
            "one of its classes, also for texts that belong to none of them."
        )
    elif not labels.regression and not labels.multi_label:
        sentences.append(
            "It always answers with one of its classes, also for texts that belong to none of them."
        )
    if fitted.tokenizer is None:
        sentences.append(f"`{TFIDF_CONFIG}` holds words of the training texts.")
    elif learns_from_scratch(fitted.model.config):
        sentences.append("`tokenizer.json` holds words of the training texts.")
    if fitted.tokenizer is not None:
        sentences.append(f"It reads at most {fitted.max_length} tokens of a text; the rest is ignored.")
    if not labels.regression and fitted.decision.temperature == 1:
        sentences.append("Its probabilities are not calibrated on held-out rows.")
    if "validation_in_training" in metrics:
        sentences.append(
            "It was trained on the validation rows too; metrics on them are of a model that was not."
        )
    sentences.append(
        "The licence in the metadata is that of the encoder as its card states it; the terms of the training data "
        "are not known to tellapart."
    )
    return sentences


def _score_table(measured: Sequence[tuple[str, float, list[float] | None]]) -> str:
    if not measured:
        return ""
    rows = [
        [
            metric_label(name),
            METRICS[name].display(value),
            METRICS[name].display_interval(None if interval is None else (interval[0], interval[1])),
        ]
        for name, value, interval in measured
    ]
    return table(["metric", "value", f"{100 * _CONFIDENCE:g} % interval"], rows)


def _scores_note(
    shown: str | None,
    measured: Sequence[tuple[str, float, list[float] | None]],
    metrics: Mapping[str, Any],
) -> str:
    if shown is None:
        return ""
    rows = metrics["rows"][shown]
    note = f"On {rows} {shown} rows."
    if any(interval is not None for *_, interval in measured):
        note += " Intervals are Wilson's, over these rows; they leave out how seeds differ."
    if "coverage" in metrics[shown]:
        note += " Coverage and selective risk are those of abstaining, other metrics those of an answer to every row."
    if "out_of_scope_auroc" in metrics[shown]:
        note += " Rows of no class count for the out-of-scope metrics alone."
    if shown == "test" and "test_unseen" in metrics:
        note += " " + seen_note(rows, metrics["test_unseen"])
    return note


def _training(recipe: Recipe, metrics: Mapping[str, Any]) -> str:
    rows = [
        ["method", escaped(recipe.method)],
        ["data", escaped(_source(recipe))],
        ["encoder", escaped(shared_name(recipe.encoder.name))],
    ]
    if recipe.encoder.second is not None:
        rows.append(["second encoder", escaped(shared_name(recipe.encoder.second))])
    rows += [[f"{name} rows", str(count)] for name, count in metrics.get("rows", {}).items()]
    rows.append(["seed", str(recipe.seed)])
    return table(["", ""], rows)


def _fingerprints(data: TextData | None) -> str:
    rows = [
        [what, f"`{digest}`"]
        for named in (data.fingerprints.values() if data is not None else ())
        for what, digest in named.items()
    ]
    return table(["rows", "SHA-256"], rows) if rows else ""


def _versions() -> str:
    found = environment()
    return table(
        ["package", "version"],
        [[name, found[name]] for name in ("tellapart", "torch", "transformers", "python")],
    )
