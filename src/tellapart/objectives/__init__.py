"""Objectives: from logits, representations and labels to what is minimised, one idea a file."""

from __future__ import annotations

from tellapart.objectives.auxiliary_labels import AuxiliaryLabels, entropy
from tellapart.objectives.base import EncodedBatch, Objective, Requirements, RunFacts, WeightedSum
from tellapart.objectives.cross_entropy import CrossEntropy
from tellapart.objectives.distance_matrices import (
    counted_distance,
    hierarchy_distance,
    ordinal_distance,
    static_distance,
    updated_distance,
)
from tellapart.objectives.label_distance import LabelDistance
from tellapart.objectives.mean_squared_error import MeanSquaredError
from tellapart.objectives.negative_supervision import (
    NegativeSupervision,
    NegativeSupervisionCrossEntropy,
    NegativeSupervisionMargin,
)
from tellapart.objectives.r_drop import RDrop
from tellapart.objectives.supervised_contrastive import SupervisedContrastive

__all__ = [
    "AuxiliaryLabels",
    "CrossEntropy",
    "EncodedBatch",
    "LabelDistance",
    "MeanSquaredError",
    "NegativeSupervision",
    "NegativeSupervisionCrossEntropy",
    "NegativeSupervisionMargin",
    "Objective",
    "RDrop",
    "Requirements",
    "RunFacts",
    "SupervisedContrastive",
    "WeightedSum",
    "counted_distance",
    "entropy",
    "hierarchy_distance",
    "ordinal_distance",
    "static_distance",
    "updated_distance",
]
