"""Train text classifiers that tell look-alike texts apart.

Names are imported when they are first used: `import tellapart` alone imports neither torch nor scikit-learn. It sets
OpenMP's variables so that waiting threads sleep, see `tellapart.threads`, which counts if torch is imported later.
Model classes of its own are made known to Transformers' Auto classes as soon as both packages are in use; where
tellapart is imported first and none of its names used, call `tellapart.register()`.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from tellapart.moved import keep_old_paths
from tellapart.threads import share_the_machine

__version__ = "0.2.0"

if TYPE_CHECKING:  # the same names as below, for editors and type checkers
    from tellapart.classifier import TextClassifier as TextClassifier
    from tellapart.data.benchmarks.registry import fetch as fetch
    from tellapart.data.examples import LabelSpace as LabelSpace
    from tellapart.data.examples import TextData as TextData
    from tellapart.data.examples import TextSplit as TextSplit
    from tellapart.data.reading.rows import read_data as read_data
    from tellapart.data.relabel import relabel as relabel
    from tellapart.errors import TellapartError as TellapartError
    from tellapart.errors import TellapartWarning as TellapartWarning
    from tellapart.objectives import AuxiliaryLabels as AuxiliaryLabels
    from tellapart.objectives import CrossEntropy as CrossEntropy
    from tellapart.objectives import LabelDistance as LabelDistance
    from tellapart.objectives import MeanSquaredError as MeanSquaredError
    from tellapart.objectives import NegativeSupervision as NegativeSupervision
    from tellapart.objectives import NegativeSupervisionCrossEntropy as NegativeSupervisionCrossEntropy
    from tellapart.objectives import NegativeSupervisionMargin as NegativeSupervisionMargin
    from tellapart.objectives import Objective as Objective
    from tellapart.objectives import RDrop as RDrop
    from tellapart.objectives import SupervisedContrastive as SupervisedContrastive
    from tellapart.recipes import Recipe as Recipe
    from tellapart.recipes import load_recipe as load_recipe
    from tellapart.recipes import method_recipe as method_recipe
    from tellapart.runs.audit import audit as audit
    from tellapart.runs.check import check as check
    from tellapart.runs.compare import compare as compare
    from tellapart.runs.evaluate import evaluate as evaluate
    from tellapart.runs.explain import explain as explain
    from tellapart.runs.export import export as export
    from tellapart.runs.predict import predict as predict
    from tellapart.runs.suggest import suggest as suggest
    from tellapart.runs.sweep import sweep as sweep
    from tellapart.runs.train import train as train
    from tellapart.training.arguments import TrainingArguments as TrainingArguments
    from tellapart.training.trainer import Trainer as Trainer

_NAMES = {
    "classifier": "TextClassifier",
    "data.benchmarks.registry": "fetch",
    "data.examples": "LabelSpace TextData TextSplit",
    "data.reading.rows": "read_data",
    "data.relabel": "relabel",
    "errors": "TellapartError TellapartWarning",
    "objectives": "AuxiliaryLabels CrossEntropy LabelDistance MeanSquaredError NegativeSupervision "
    "NegativeSupervisionCrossEntropy NegativeSupervisionMargin Objective RDrop SupervisedContrastive",
    "recipes": "Recipe load_recipe method_recipe",
    "runs.audit": "audit",
    "runs.check": "check",
    "runs.compare": "compare",
    "runs.evaluate": "evaluate",
    "runs.explain": "explain",
    "runs.export": "export",
    "runs.predict": "predict",
    "runs.suggest": "suggest",
    "runs.sweep": "sweep",
    "runs.train": "train",
    "training.trainer": "Trainer",
    "training.arguments": "TrainingArguments",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", "register", *_HOMES]

# The modules whose import registers a model class.
_MODELS = ("encoders.fused", "encoders.windowed", "encoders.textcnn", "encoders.han")


def register() -> None:
    """Makes tellapart's own model classes known to Transformers' Auto classes.

    `AutoModelForSequenceClassification.from_pretrained` then loads them like stock ones. This imports torch and
    Transformers; whatever loads models by tellapart has called it.
    """
    for module in _MODELS:
        importlib.import_module(f"tellapart.{module}")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tellapart' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tellapart.{_HOMES[name]}"), name)
    globals()[name] = value
    _register_if_in_use()
    return value


def _register_if_in_use() -> None:
    if "transformers" in sys.modules:
        register()


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


keep_old_paths()
share_the_machine()
_register_if_in_use()
