"""Decision rule from logits to labels, stored beside the model: thresholds, temperature, abstention, sets."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from tellapart.data.examples import LabelSpace
from tellapart.data.reading.columns import ColumnNames
from tellapart.errors import DataError, ModelError
from tellapart.evaluation.abstention import Abstention
from tellapart.evaluation.conformal import ConformalSets
from tellapart.files import write_json
from tellapart.recipes.decision import AbstainBy

DECISION_FILE = "tellapart.json"
DEFAULT_THRESHOLD = 0.5

_REMEDY = (
    "copy it again from the trained model, or delete it to predict without its thresholds and temperature"
)


@dataclass(frozen=True)
class Decision:
    """How logits become labels.

    Args:
        thresholds: Multi-label only: the probability threshold of each label, K of them; None for 0.5
            throughout.
        temperature: Divisor of the logits before they become probabilities.
        folded: Whether the weights of the last layer are already divided by the temperature.
        abstention: Single-label only: when the model abstains; None for never.
        conformal: Single-label only: the rule for prediction sets; None for none.
    """

    thresholds: tuple[float, ...] | None = None
    temperature: float = 1.0
    folded: bool = False
    abstention: Abstention | None = None
    conformal: ConformalSets | None = None

    @property
    def applied_thresholds(self) -> float | np.ndarray:
        """The thresholds as metrics take them: one number for all labels, or (K,)."""
        return DEFAULT_THRESHOLD if self.thresholds is None else np.array(self.thresholds)

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Divides the model's logits (N, K) by the temperature, unless it is folded into the weights."""
        return logits if self.folded or self.temperature == 1 else logits / self.temperature

    def uncalibrated(self, logits: np.ndarray) -> np.ndarray:
        """Recovers the logits of the model as trained from calibrated ones."""
        return logits if self.temperature == 1 else logits * self.temperature

    def to_dict(self, labels: LabelSpace) -> dict[str, Any]:
        """Returns the JSON form, with thresholds by label name."""
        content: dict[str, Any] = {"temperature": self.temperature, "temperature_folded": self.folded}
        if self.thresholds is not None:
            content["thresholds"] = dict(zip(labels.names, self.thresholds, strict=True))
        if self.abstention is not None:
            content["abstain"] = asdict(self.abstention)
        if self.conformal is not None:
            content["conformal"] = asdict(self.conformal)
        return content


def threshold_values(thresholds: Mapping[str, float], labels: LabelSpace) -> tuple[float, ...]:
    """Orders thresholds given by name like the labels; missing ones are 0.5.

    Raises:
        DataError: A label is unknown, the task is not multi-label, or a threshold is not between 0 and 1.
    """
    if labels.regression:
        raise DataError("thresholds apply to labels, but the rows have numeric targets", "leave them out")
    if not labels.multi_label:
        raise DataError(
            "thresholds apply to multi-label tasks, but the rows have one class each",
            "leave them out: the most probable class is predicted",
        )
    labels.check_names(thresholds, "a threshold is given for")
    for name, value in thresholds.items():
        if not 0 < value <= 1:
            raise DataError(
                f'the threshold of "{name}" is {value}', "give a probability above 0, such as 0.3"
            )
    return tuple(float(thresholds.get(name, DEFAULT_THRESHOLD)) for name in labels.names)


def write_decision(
    folder: str | Path, decision: Decision, labels: LabelSpace, columns: ColumnNames | None = None
) -> None:
    """Writes `tellapart.json` beside a model if there is anything to say; else removes a stale file.

    It holds `temperature`, `temperature_folded`, `thresholds` (label to probability), `abstain` (`by`, `threshold`)
    and `conformal` (`coverage`, `threshold`) if they differ from the defaults, the `order` of ordered classes, and
    the `columns` that the training rows were read from.

    Raises:
        OutputError: The file cannot be written.
    """
    content = decision.to_dict(labels) if decision != Decision() else {}
    if labels.order is not None:
        content["order"] = list(labels.order)
    if columns is not None:
        content["columns"] = {role: name for role, name in vars(columns).items() if name is not None}
    path = Path(folder) / DECISION_FILE
    if not content:
        path.unlink(missing_ok=True)
        return
    write_json(path, content)


def read_decision(path: str | Path, labels: LabelSpace) -> tuple[Decision, LabelSpace]:
    """Reads the file of `write_decision`.

    Args:
        path: The file.
        labels: The model's classes.

    Returns:
        The decision, and the labels with their order.

    Raises:
        ModelError: The file cannot be read, or names labels that the model lacks.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content.get("order") is not None:
            labels = labels.in_order(content["order"])
        thresholds = content.get("thresholds")
        decision = Decision(
            None if thresholds is None else threshold_values(thresholds, labels),
            float(content.get("temperature", 1.0)),
            content.get("temperature_folded", False),
            _abstention(content.get("abstain")),
            _conformal(content.get("conformal")),
        )
        _check(decision, labels)
    except DataError as error:
        raise ModelError(f"{path} does not fit the model: {error.cause}", error.remedy) from error
    except KeyError as error:
        raise ModelError(f"{path} cannot be read (it has no {error})", _REMEDY) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, OverflowError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read ({error})", _REMEDY) from error
    return decision, labels


def _unreadable(path: str | Path, error: OSError) -> ModelError:
    return ModelError(f"{path} cannot be read ({error.strerror or error})", "check its permissions")


def _abstention(content: Mapping[str, Any] | None) -> Abstention | None:
    if content is None:
        return None
    return Abstention(content["by"], float(content["threshold"]))


def _conformal(content: Mapping[str, Any] | None) -> ConformalSets | None:
    return None if content is None else ConformalSets(float(content["coverage"]), float(content["threshold"]))


def _check(decision: Decision, labels: LabelSpace) -> None:
    """Checks values that were read from a file.

    Raises:
        ValueError: One of them is not possible, or not for these labels.
    """
    abstention, conformal = decision.abstention, decision.conformal
    if not 0 < decision.temperature < math.inf:
        raise ValueError(f"the temperature is {decision.temperature}")
    if not isinstance(decision.folded, bool):
        raise ValueError(f"temperature_folded is {decision.folded}, not true or false")
    if (abstention or conformal) and (labels.multi_label or labels.regression):
        raise ValueError("abstention and prediction sets are for models with one class per text")
    if abstention is not None and not (
        abstention.by in get_args(AbstainBy) and math.isfinite(abstention.threshold)
    ):
        raise ValueError(f"the model abstains by {abstention.by} below {abstention.threshold}")
    if conformal is not None and not (0 < conformal.coverage < 1 and math.isfinite(conformal.threshold)):
        raise ValueError(
            f"prediction sets have a coverage of {conformal.coverage} and a threshold of {conformal.threshold}"
        )


def read_columns(path: str | Path) -> ColumnNames | None:
    """Reads the columns of the training rows from the file of `write_decision`; None if it does not tell.

    Raises:
        ModelError: The file cannot be read.
    """
    try:
        columns = json.loads(Path(path).read_text(encoding="utf-8")).get("columns")
        if columns is None:
            return None
        known = vars(ColumnNames())  # later versions may write more
        labels = columns.get("label_names")
        names = ColumnNames(
            **{role: columns.get(role) for role in known}
            | {"label_names": None if labels is None else tuple(labels)}
        )
        written = [*(names.label_names or ()), *vars(replace(names, label_names=None)).values()]
        if not all(isinstance(name, str | None) for name in written):
            raise ValueError("the columns are not names")
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} cannot be read ({error})", "delete it to find columns by their usual names"
        ) from error
    return names


def tuned_thresholds(gold: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Finds the threshold with the highest F1 for each label.

    Candidates lie between adjacent probabilities: 0.5 if it separates them, else their middle. Ties go to the
    candidate nearest to 0.5. Labels without a positive row keep 0.5. Lipton et al. 2014 (arXiv 1402.1892) explain why
    0.5 does not maximise F1.

    Args:
        gold: Multi-hot (N, K).
        probabilities: (N, K), 0 to 1.

    Returns:
        float64 (K,), above 0 and at most 1; a label is predicted if its probability is at least its threshold.
    """
    columns = zip(np.asarray(gold).T, np.asarray(probabilities, dtype=np.float64).T, strict=True)
    return np.array([_best_threshold(positive > 0.5, column) for positive, column in columns])


def _best_threshold(positive: np.ndarray, probability: np.ndarray) -> float:
    if not positive.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-probability, kind="stable")
    descending = probability[order]
    hits = np.cumsum(positive[order])
    predicted = np.arange(1, len(probability) + 1)
    f1 = 2 * hits / (predicted + positive.sum())
    # A threshold below row n predicts the first n rows; rows with equal probabilities stay together.
    below = np.append(descending[1:], 0.0)
    possible = descending > below
    if not possible.any() or f1[possible].max() == 0:  # no threshold finds a positive row
        return DEFAULT_THRESHOLD
    best = np.flatnonzero(possible & (f1 >= f1[possible].max() - 1e-12))
    thresholds = [_between(below[row], descending[row]) for row in best]
    return min(thresholds, key=lambda threshold: abs(threshold - DEFAULT_THRESHOLD))


def _between(low: float, high: float) -> float:
    """Returns a threshold above `low` and at most `high`."""
    if low < DEFAULT_THRESHOLD <= high:
        return DEFAULT_THRESHOLD
    middle = float((low + high) / 2)
    return middle if middle > low else float(high)
