"""Contrastive learning with label distance (CLLD): confused classes are pushed apart harder."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tellapart.data.examples import LabelSpace
from tellapart.errors import RecipeError, TellapartWarning
from tellapart.objectives.auxiliary_labels import classification_loss
from tellapart.objectives.base import EncodedBatch, Objective, Requirements, RunFacts
from tellapart.objectives.distance_matrices import (
    Normalise,
    as_distance_matrix,
    check_classes,
    check_size,
    counted_distance,
    hierarchy_distance,
    ordinal_distance,
    pair_distances,
    static_distance,
    updated_distance,
)
from tellapart.objectives.options import LabelDistanceOptions
from tellapart.objectives.projection import projection_head
from tellapart.objectives.relations import class_id, prior_relations, with_relations
from tellapart.objectives.similarity import (
    cosine_similarities,
    log_softmax_over_others,
    mean_where,
    pair_masks,
)

Distance = Literal["adaptive", "static", "uniform", "prior"]

_TEMPERATURE = 0.1


class LabelDistance(Objective):
    """Contrastive loss of CLLD.

    The representation v is projected to `h = MLP(v)`. For rows i and j the logit is
    `scale * ½ (cos(h_i, h_j) + 1) * d`, where d is the distance of their classes. The loss is the
    Kullback-Leibler divergence from the uniform distribution over the rows of the same class (multi-label: the
    same label set) to the softmax over all other rows. If every d = c it is the supervised contrastive loss at
    temperature 2 / c, minus the mean logarithm of the number of positives.

    The gradient with respect to the similarity of i and j is `d (q - z)`, predicted minus target share: a larger
    distance pushes the pair harder, 0 does not push it. Rows without a positive are left out of the mean; with
    two views every row has one. The loss of a batch of one class is not 0: it evens out the similarities.

    **Distances as weights** (`distance_as="weight"`): the logit is `cos(h_i, h_j) / temperature + log d`, so that
    the share of a pair in the softmax is `q = d exp(cos / temperature) / Σ d exp(cos / temperature)`. This is the
    form of the label-aware contrastive loss (Suresh and Ong), whose weights are the class probabilities of a second
    network; here they are the distances. The gradient with respect to the cosine is `(q - z) / temperature`: a
    distance changes the share q of the pair, not the slope. Only ratios of distances matter. A pair of distance 0
    is removed from the softmax and from the positives. If every d is equal it is the supervised contrastive loss
    at this temperature, minus the mean logarithm of the number of positives.

    **The adaptive matrix** starts at ones. Evaluations with progress beyond `warm_up` are counted from 1, and
    at every `update_every`-th of them the matrix moves towards `counted_distance` of that evaluation's
    confusion matrix, by the fraction ε = 1 - progress. The paper updates at every tenth evaluation and
    evaluates often; the default of 1 suits one evaluation per epoch. Matrix and count are saved with the
    state, so resuming is exact.

    It needs two views, two classes per batch and, for an adaptive matrix, the confusion matrix after every
    evaluation. `prepare` creates the projection and the current matrix, `distances`, float32 (K, K).

    Args:
        distance: Source of the distances: `adaptive`; `static`, from `pairs`; `prior`, from `order` or
            `paths`; `uniform`, all 1 (contrastive learning without label distance); or a (K, K) matrix.
        pairs: The pairs of class ids with distance `tau`, for `static`.
        order: The class ids from first to last, for `prior` (see `ordinal_distance`).
        paths: The levels of each class from the root down, for `prior` (see `hierarchy_distance`).
        tau: τ, the largest distance in an adaptive, static or prior matrix.
        projection_size: p, the width of h; the projection is Linear(d, d), ReLU, Linear(d, p). None: h = v.
        update_every: Evaluations from one update to the next, after the warm-up; 10 in the paper.
        scale: Factor of every logit, the other reading of the paper's τ; not for distances as weights.
        normalise: How confusion counts become distances (see `counted_distance`); `none` warns.
        warm_up: Share of training without updates; n/5 epochs in the paper.
        distance_as: `factor` of the similarity, as in the paper, or `weight` of the pair in the softmax.
        temperature: Divisor of the cosines; only for distances as weights.

    Raises:
        RecipeError: An option is unknown, missing, out of range or without effect beside the others, or, from
            `prepare`, does not fit the task.

    Example:
        >>> objective = 0.5 * CrossEntropy() + 0.5 * LabelDistance(distance="static", pairs=[(0, 3)])

    References:
        - Lan et al., CLLD: Contrastive Learning with Label Distance for Text Classification: Eq. 3 to 13 and
          Algorithm 1. The diagonal (Eq. 5) is masked after the product with the distances (Eq. 8), not before.
        - Suresh and Ong 2021, Not All Negatives are Equal: Label-Aware Contrastive Loss for Fine-grained Text
          Classification: weights of the pairs in the softmax.
    """

    name = "label_distance"
    distances: Tensor | None
    counted_evaluations: Tensor

    def __init__(
        self,
        distance: Distance | Tensor | Sequence[Sequence[float]] = "adaptive",
        *,
        pairs: Sequence[tuple[int, int]] | None = None,
        order: Sequence[int] | None = None,
        paths: Sequence[Sequence[str]] | None = None,
        tau: float = 5.0,
        projection_size: int | None = 128,
        update_every: int = 1,
        scale: float = 1.0,
        normalise: Normalise = "max",
        warm_up: float = 0.2,
        distance_as: Literal["factor", "weight"] = "factor",
        temperature: float = _TEMPERATURE,
    ) -> None:
        super().__init__()
        LabelDistanceOptions.checked(
            **({"distance": distance} if isinstance(distance, str) else {}),
            tau=tau,
            projection_size=projection_size,
            update_every=update_every,
            scale=scale,
            normalise=normalise,
            warm_up=warm_up,
            distance_as=distance_as,
            temperature=temperature,
        )
        _check_sharpness(distance_as, scale, temperature)
        _check_sources(distance, {"pairs": pairs, "order": order, "paths": paths})
        if normalise == "none":
            warnings.warn(
                "Raw confusion counts as label distances saturate the softmax, which switches the contrastive "
                'loss off: use normalise="max" unless you study this effect.',
                TellapartWarning,
                stacklevel=2,
            )
        self.distance = distance if isinstance(distance, str) else as_distance_matrix(distance)
        self.pairs = pairs
        self.order = order
        self.paths = paths
        self.tau = tau
        self.projection_size = projection_size
        self.update_every = update_every
        self.scale = scale
        self.normalise: Normalise = normalise
        self.warm_up = warm_up
        self.distance_as = distance_as
        self.temperature = temperature
        self.projection: nn.Module = nn.Identity()
        self.register_buffer("distances", None)
        self.register_buffer("counted_evaluations", torch.zeros((), dtype=torch.int64))

    @property
    def adaptive(self) -> bool:
        """Whether the matrix is updated from the confusions on the validation rows."""
        return isinstance(self.distance, str) and self.distance == "adaptive"

    @property
    def requirements(self) -> Requirements:
        """Two views, two classes per batch, and the confusion matrix when adaptive."""
        return Requirements(views=2, classes_per_batch=2, confusion=self.adaptive)

    def prepare(self, run: RunFacts) -> None:
        """Creates the projection and the matrix; a second call keeps them."""
        if self.distances is not None:
            check_size(self.distances, run.num_labels)
            return
        check_classes(run.num_labels)
        self.distances = self._initial_distances(run.num_labels)
        check_size(self.distances, run.num_labels)
        self.projection = projection_head(run.hidden_size, self.projection_size)
        # Progress is 1 at the last evaluation, where an update has no effect.
        useful = run.total_evaluations - 1 - math.floor(self.warm_up * run.total_evaluations)
        if self.adaptive and run.total_evaluations == 0:
            warnings.warn(
                "The label distance stays uniform: there are no validation rows to count confusions on.",
                TellapartWarning,
                stacklevel=2,
            )
        elif self.adaptive and useful < self.update_every:
            warnings.warn(
                f"The label distance stays uniform: {max(useful, 0)} of {run.total_evaluations} evaluations lie "
                f"between the warm-up and the end, and an update takes {self.update_every}. Train for more "
                "epochs, raise the stage's evaluations, or lower the objective's update_every or warm_up.",
                TellapartWarning,
                stacklevel=2,
            )

    def update_confusion(self, matrix: Tensor, progress: float) -> None:
        """Moves the adaptive matrix towards the counted distances if an update is due (Algorithm 1)."""
        if not self.adaptive or progress <= self.warm_up:
            return
        distances = self._prepared_distances()
        check_size(matrix, len(distances))
        self.counted_evaluations += 1
        if self.counted_evaluations.item() % self.update_every == 0:
            counted = counted_distance(matrix.to(distances.device), self.tau, self.normalise)
            distances.copy_(updated_distance(distances, counted, epsilon=1 - progress))

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean loss over the rows of both views."""
        distances = self._prepared_distances()
        cosines = cosine_similarities(self.projection(batch.representation))
        d = pair_distances(batch.labels, distances.to(cosines.dtype))  # Eq. 7
        _, same = pair_masks(batch.labels)
        if self.distance_as == "weight":
            # The lowest finite number, not −inf: its share is 0, and times a target of 0 it is 0, not NaN.
            logits = (cosines / self.temperature + d.log()).where(d > 0, torch.finfo(d.dtype).min)
            same = same & (d > 0)
        else:
            logits = self.scale * ((cosines + 1) / 2) * d  # Eq. 4 and 8
        log_q = log_softmax_over_others(logits)  # Eq. 5 and 12
        positives = same.sum(dim=1, keepdim=True)
        z = same / positives.clamp_min(1).to(log_q.dtype)  # Eq. 13
        losses = (torch.xlogy(z, z) - z * log_q).sum(dim=1)  # Eq. 11
        return {self.name: mean_where(losses, positives.squeeze(1) > 0)}

    def _initial_distances(self, num_labels: int) -> Tensor:
        if isinstance(self.distance, Tensor):
            return self.distance.clone()
        if self.pairs:
            return static_distance(num_labels, self.pairs, self.tau)
        if self.order:
            return ordinal_distance(num_labels, self.tau, self.order)
        if self.paths:
            return hierarchy_distance(self.paths, self.tau)
        return torch.ones(num_labels, num_labels)

    def _prepared_distances(self) -> Tensor:
        if self.distances is None:
            raise RecipeError(
                "the label distance does not know the classes yet", "call prepare before the first batch"
            )
        return self.distances


def _check_sharpness(distance_as: str, scale: float, temperature: float) -> None:
    """Refuses the option that has no effect on the chosen form of the logits."""
    if distance_as == "weight" and scale != 1:
        raise RecipeError(
            f"scale is {scale:g}, but distances as weights have logits of their own",
            "leave scale at 1 and set temperature, by which the cosines are divided",
        )
    if distance_as == "factor" and temperature != _TEMPERATURE:
        raise RecipeError(
            f"temperature is {temperature:g}, but it has no effect on distances as factors",
            "set distance_as to weight, or use scale in place of temperature",
        )


def _check_sources(distance: object, sources: dict[str, Sequence | None]) -> None:
    kind = distance if isinstance(distance, str) else "matrix"
    given = [name for name, value in sources.items() if value is not None and len(value)]
    takes = {"static": [["pairs"]], "prior": [["order"], ["paths"]]}.get(kind, [[]])
    if given not in takes:
        raise RecipeError(
            f"a label distance of the kind {kind} got {' and '.join(given) or 'no relation of the classes'}",
            "give pairs for static, order or paths for prior, and none of them for other kinds",
        )


def build(options: LabelDistanceOptions, labels: LabelSpace) -> Objective:
    """Builds (1 − weight) · classification loss + weight · CLLD.

    Raises:
        RecipeError: The relations of the classes that `distance` needs are unknown, or name other classes; or there
            are more classes than `MOST_CLASSES`.
    """
    check_classes(len(labels))
    main = classification_loss(options, labels, both_views=options.both_views)
    contrast = LabelDistance(
        options.distance,
        **_class_relations(options, labels),
        **options.model_dump(
            include={
                "tau",
                "projection_size",
                "update_every",
                "scale",
                "normalise",
                "warm_up",
                "distance_as",
                "temperature",
            }
        ),
    )
    return (1 - options.weight) * main + options.weight * contrast


def _class_relations(options: LabelDistanceOptions, labels: LabelSpace) -> dict[str, Any]:
    """The pairs of a static distance, or the order or paths of a prior one, with class ids."""
    if options.distance == "static":
        if not options.pairs:
            example = f"[[{labels.names[0]}, {labels.names[-1]}]]"
            raise RecipeError(
                "a static label distance needs the pairs of classes to push apart",
                f"name them: --set 'stages.0.objective.pairs={example}'"
                " (tellapart compare prints the most confused ones)",
            )
        return {"pairs": [tuple(class_id(name, labels, "pairs") for name in pair) for pair in options.pairs]}
    if options.distance == "prior":
        if options.order is not None or options.hierarchy_separator is not None:  # overrides the data
            labels = with_relations(replace(labels, order=None, hierarchy_separator=None), options)
        return prior_relations(labels)
    return {}
