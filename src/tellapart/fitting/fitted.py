"""A trained classifier: scoring, precision and saving, whatever kind of model it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

import numpy as np
import torch

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.data.reading.columns import ColumnNames
from tellapart.encoders.precision import Precision, bf16_copy, use_bf16
from tellapart.encoders.scoring import TextModel, score
from tellapart.encoders.scratch import learns_from_scratch
from tellapart.encoders.transformer import final_linear, save_classifier
from tellapart.errors import UserError
from tellapart.evaluation.decision import Decision, write_decision
from tellapart.evaluation.metrics import predicted_ids
from tellapart.files import replacing
from tellapart.fitting.models import check_readable
from tellapart.objectives import Objective
from tellapart.recipes import Recipe
from tellapart.training.progress import Progress, rows_bar
from tellapart.training.tfidf import CONFIG_FILE as TFIDF_CONFIG

if TYPE_CHECKING:
    from tellapart.evaluation.confusions import Confusions  # not needed to score texts


class Scorer(TextModel, Protocol):
    """A model that scores texts: `TransformersScorer`, `TfidfClassifier` or `ExportedScorer`."""

    @property
    def kind(self) -> str:
        """The kind of model for messages, with its article."""

    def scores(
        self, split: TextSplit, rows: TokenisedDataset | None = None, *, progress: Progress = None
    ) -> np.ndarray:
        """Computes the logits of a split, float32 (N, K); `rows` is the same split tokenised, if it has been."""

    def in_precision(self, precision: Precision, *, regression: bool) -> Scorer:
        """Returns the scorer in a precision; itself if nothing changes."""

    def save(self, folder: str | Path) -> None:
        """Writes the model files into an existing folder."""

    def divide_by_temperature(self, temperature: float) -> None:
        """Divides all logits by a temperature, in place in the last layer."""

    def add_to_logits(self, shifts: np.ndarray) -> None:
        """Adds a number per class (K,) to the logits, in place in the last layer's bias."""


@dataclass(frozen=True)
class TransformersScorer:
    """A Transformers sequence classifier as a `Scorer`.

    Args:
        model: The classifier in training form.
        tokenizer: Its tokeniser.
        max_length: Longest input in tokens.
    """

    model: Any
    tokenizer: Any
    max_length: int
    kind: str = "a Transformers model"

    def tokenised(self, split: TextSplit) -> TokenisedDataset:
        """Tokenises a split.

        Raises:
            DataError: The rows are pairs and the model cannot read pairs.
        """
        check_readable(self.model, split)
        return tokenise(split, self.tokenizer, max_length=self.max_length)

    def scores(
        self, split: TextSplit, rows: TokenisedDataset | None = None, *, progress: Progress = None
    ) -> np.ndarray:
        """Computes logits, float32 (N, K)."""
        rows = self.tokenised(split) if rows is None else rows
        return score(self.model, rows, progress=progress)

    def in_precision(self, precision: Precision, *, regression: bool) -> TransformersScorer:
        """Returns the scorer with bf16 weights if requested, or if `auto` and it is faster without losing accuracy.

        With `auto`, encoders trained from scratch and regression models stay in float32.
        """
        exact = regression or learns_from_scratch(self.model.config)
        if precision == "auto" and (exact or not use_bf16(precision, self.model.device)):
            return self
        return self if precision == "fp32" else replace(self, model=bf16_copy(self.model))

    def save(self, folder: str | Path) -> None:
        """Writes a plain checkpoint; the tokeniser truncates at the training length, as pipelines then do too."""
        self.tokenizer.model_max_length = self.max_length
        save_classifier(self.model, Path(folder), self.tokenizer)

    def divide_by_temperature(self, temperature: float) -> None:
        """Divides the last layer's weight and bias in place."""
        linear = final_linear(self.model)
        with torch.no_grad():
            linear.weight.div_(temperature)
            if linear.bias is not None:
                linear.bias.div_(temperature)

    def add_to_logits(self, shifts: np.ndarray) -> None:
        """Adds a number per class (K,) to the last layer's bias, in place."""
        linear = final_linear(self.model)
        assert linear.bias is not None
        with torch.no_grad():
            linear.bias.add_(torch.as_tensor(shifts, dtype=linear.bias.dtype, device=linear.bias.device))


@dataclass
class Fitted:
    """A trained classifier and the run that produced it.

    Args:
        scorer: The model.
        labels: The classes.
        recipe: The run with every default filled in; None for a model that was loaded.
        history: Logged losses and metrics.
        objective: The last stage's objective.
        decision: How logits become labels.
        notes: Remarks from building the encoder and tokenising the rows.
        truncated: Split name to the share of its rows that were longer than `max_length`, for the splits that the
            stages read.
        self_training: Report on the unlabelled texts that were used, see `tellapart.fitting.self_training`; None
            for a run without.
        remarks: Remarks on what the metrics mean, for the log and the report.
        shares: Share of the schedule after which each stage's weights were reached, 0 to 1.
        validation_logits: If the model was trained on the validation rows too: their logits by a model that was not,
            float32 (N, K); if it expects the class frequencies of unlabelled texts: those of the model before; else
            None.
        outside_logits: The logits of the out-of-scope validation rows by the same model, float32 (M, K); None without
            any, and if `validation_logits` is None.
        columns: The columns that the training rows were read from; None if unknown.
    """

    scorer: Scorer
    labels: LabelSpace
    recipe: Recipe | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    objective: Objective | None = None
    decision: Decision = field(default_factory=Decision)
    notes: tuple[str, ...] = ()
    truncated: dict[str, float] = field(default_factory=dict)
    self_training: dict[str, Any] | None = None
    remarks: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    validation_logits: np.ndarray | None = None
    outside_logits: np.ndarray | None = None
    columns: ColumnNames | None = None

    @property
    def model(self) -> Any:
        """The Transformers model, `TfidfClassifier` or `OnnxClassifier`."""
        return self.scorer.model

    @property
    def tokenizer(self) -> Any:
        """The tokeniser; None for TF-IDF."""
        return self.scorer.tokenizer

    @property
    def max_length(self) -> int:
        """Longest input in tokens."""
        return self.scorer.max_length

    @property
    def label_distances(self) -> np.ndarray | None:
        """The final label distances (K, K) of the last stage; None for an objective without."""
        from tellapart.objectives import LabelDistance  # not needed to score texts

        for module in self.objective.modules() if self.objective is not None else ():
            if isinstance(module, LabelDistance) and module.distances is not None:
                return module.distances.detach().cpu().numpy()
        return None

    def tokenised(self, split: TextSplit) -> TokenisedDataset | None:
        """Tokenises a split as the model reads it; None for TF-IDF.

        Raises:
            DataError: The rows are pairs and the model cannot read pairs.
        """
        return self.scorer.tokenised(split)

    def in_precision(self, precision: Precision) -> Fitted:
        """Returns the classifier with the weights cast for scoring.

        Args:
            precision: `fp32`, `bf16`, or `auto` for bf16 where the device gains from it; encoders trained from
                scratch and regression models stay in float32 then.

        Raises:
            UserError: The precision is unknown, or the model has no bf16 form.
        """
        if precision not in get_args(Precision):
            raise UserError(f'"{precision}" is no precision', f"choose {', '.join(get_args(Precision))}")
        scorer = self.scorer.in_precision(precision, regression=self.labels.regression)
        return self if scorer is self.scorer else replace(self, scorer=scorer)

    def scores(
        self,
        split: TextSplit,
        *,
        rows: TokenisedDataset | None = None,
        quiet: bool = True,
        progress: Progress = None,
    ) -> np.ndarray:
        """Computes calibrated logits, float32 (N, K); for regression the predicted values (N, 1) in the label's unit.

        Args:
            split: The rows.
            rows: The same rows from `tokenised`, if already tokenised.
            quiet: Whether to hide the progress bar.
            progress: Called with the number of rows done, instead of a bar.
        """
        rows = self.tokenised(split) if rows is None else rows
        hidden = quiet or progress is not None or rows is None
        with rows_bar(len(split), quiet=hidden) as bar:
            logits = self.scorer.scores(split, rows, progress=progress or bar)
        return self.decision.calibrated(logits)

    def validation_scores(self, split: TextSplit, **options: Any) -> np.ndarray:
        """As `scores`, for the validation rows: never those of a model that was trained on them."""
        return self.scores(split, **options) if self.validation_logits is None else self.validation_logits

    def outside_scores(self, split: TextSplit | None, name: str) -> np.ndarray | None:
        """As `scores`, for out-of-scope rows: by the model that scores the other rows of their split.

        Args:
            split: The out-of-scope rows; None without any.
            name: The name of their split: those of `validation` are scored as by `validation_scores`.
        """
        if split is None:
            return None
        kept = self.outside_logits if name == "validation" else None
        return self.scores(split) if kept is None else kept

    def confusion(self, split: TextSplit, logits: np.ndarray) -> Confusions | None:
        """Counts the rows of each gold class by predicted class.

        Args:
            split: Labelled rows.
            logits: Their logits (N, K).

        Returns:
            Sparse int64 (K, K) as of `tellapart.inspection.confusion.confusion_matrix`; None for numeric targets.
        """
        if self.labels.regression:
            return None
        from tellapart.inspection.confusion import confusion_matrix  # not needed to score texts

        assert split.labels is not None
        predicted = predicted_ids(self.labels, logits, self.decision.applied_thresholds)
        return confusion_matrix(self.labels, self.labels.encode(split.labels), predicted)

    def save(self, folder: str | Path) -> None:
        """Writes a plain checkpoint atomically.

        Raises:
            ModelError: The model is an export.
            UserError: The folder holds other files than a model.
            OutputError: The folder cannot be written.
        """
        _check_replaceable(Path(folder))
        with replacing(folder) as temporary:
            self.scorer.save(temporary)
            write_decision(temporary, self.decision, self.labels, self.columns)


def _check_replaceable(folder: Path) -> None:
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not any((folder / name).is_file() for name in ("config.json", TFIDF_CONFIG)):
        raise UserError(f"the folder {folder} holds files that are no model", "save to another folder")
