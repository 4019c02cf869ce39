"""Objectives: losses over logits, representations and labels, one idea per file.

Names are imported when they are first used, so that `tellapart.objectives.options` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names as below, for editors and type checkers
    from tellapart.objectives.auxiliary_labels import AuxiliaryLabels as AuxiliaryLabels
    from tellapart.objectives.auxiliary_labels import entropy as entropy
    from tellapart.objectives.base import EncodedBatch as EncodedBatch
    from tellapart.objectives.base import Objective as Objective
    from tellapart.objectives.base import Requirements as Requirements
    from tellapart.objectives.base import RunFacts as RunFacts
    from tellapart.objectives.base import WeightedSum as WeightedSum
    from tellapart.objectives.cross_entropy import CrossEntropy as CrossEntropy
    from tellapart.objectives.distance_matrices import counted_distance as counted_distance
    from tellapart.objectives.distance_matrices import hierarchy_distance as hierarchy_distance
    from tellapart.objectives.distance_matrices import ordinal_distance as ordinal_distance
    from tellapart.objectives.distance_matrices import static_distance as static_distance
    from tellapart.objectives.distance_matrices import updated_distance as updated_distance
    from tellapart.objectives.label_distance import LabelDistance as LabelDistance
    from tellapart.objectives.mean_squared_error import MeanSquaredError as MeanSquaredError
    from tellapart.objectives.negative_supervision import NegativeSupervision as NegativeSupervision
    from tellapart.objectives.negative_supervision import (
        NegativeSupervisionCrossEntropy as NegativeSupervisionCrossEntropy,
    )
    from tellapart.objectives.negative_supervision import (
        NegativeSupervisionMargin as NegativeSupervisionMargin,
    )
    from tellapart.objectives.r_drop import RDrop as RDrop
    from tellapart.objectives.soft_targets import SoftTargets as SoftTargets
    from tellapart.objectives.supervised_contrastive import SupervisedContrastive as SupervisedContrastive

_NAMES = {
    "auxiliary_labels": "AuxiliaryLabels entropy",
    "base": "EncodedBatch Objective Requirements RunFacts WeightedSum",
    "cross_entropy": "CrossEntropy",
    "distance_matrices": "counted_distance hierarchy_distance ordinal_distance static_distance updated_distance",
    "label_distance": "LabelDistance",
    "mean_squared_error": "MeanSquaredError",
    "negative_supervision": "NegativeSupervision NegativeSupervisionCrossEntropy NegativeSupervisionMargin",
    "r_drop": "RDrop",
    "soft_targets": "SoftTargets",
    "supervised_contrastive": "SupervisedContrastive",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tellapart.objectives' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tellapart.objectives.{_HOMES[name]}"), name)
