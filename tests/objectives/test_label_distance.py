from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SupConLoss
from safetensors.torch import load_file, save_file

from tellapart.errors import RecipeError, TellapartWarning
from tellapart.objectives import LabelDistance, SupervisedContrastive, static_distance

EQUAL = [[1.0, 0.0]] * 4
ORTHOGONAL = [[1.0, 0.0], [0.0, 1.0]] * 2
ANTIPODAL = [[1.0, 0.0], [-1.0, 0.0]] * 2
CONFUSION = torch.tensor([[8, 2, 0], [1, 9, 0], [0, 0, 10]])


def loss_of(objective, batch):
    return objective(batch)["label_distance"]


@pytest.mark.parametrize(
    ("h", "distance", "expected"),
    [
        (EQUAL, 1.0, math.log(3)),
        (ORTHOGONAL, 1.0, 0.794377),
        (ANTIPODAL, 1.0, 0.551445),
        (EQUAL, 5.0, 4.702263),
        (ORTHOGONAL, 5.0, 2.298916),
        (ANTIPODAL, 5.0, 0.551445),
    ],
)
def test_values_on_placed_rows(make_batch, prepared, h, distance, expected):
    matrix = [[1.0, distance], [distance, 1.0]]
    objective = prepared(LabelDistance(matrix, projection_size=None))
    batch = make_batch([0, 1, 0, 1], vectors=h, views=2)
    assert loss_of(objective, batch).item() == pytest.approx(expected, abs=1e-6)


def test_one_text_costs_nothing(make_batch, prepared):
    objective = prepared(LabelDistance(projection_size=None))
    assert loss_of(objective, make_batch([1, 1], vectors=[[1, 2], [3, -4]], views=2)) == 0


def test_one_class_still_evens_out_the_similarities(make_batch, prepared):
    objective = prepared(LabelDistance("uniform", projection_size=None))
    batch = make_batch([1] * 4, vectors=torch.randn(4, 2), views=2)
    batch.representation.requires_grad_()
    loss = loss_of(objective, batch)
    loss.backward()
    assert loss > 0
    assert batch.representation.grad.abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("multi_label", [False, True])
def test_loss_agrees_with_a_loop(make_batch, prepared, multi_label, dtype):
    h = torch.randn(8, 3, dtype=dtype)
    sets = [{0, 2}, {1}, set(), {2}] * 2 if multi_label else [{0}, {1}, {2}, {1}] * 2
    labels = [[float(c in s) for c in range(3)] for s in sets] if multi_label else [min(s) for s in sets]
    matrix = [[1.0, 5.0, 2.0], [5.0, 1.0, 0.5], [2.0, 0.5, 1.0]]
    units = (h / h.norm(dim=1, keepdim=True)).tolist()

    def logit(i, j):
        pairs = [matrix[a][b] for a in sets[i] for b in sets[j]]
        cosine = sum(a * b for a, b in zip(units[i], units[j], strict=True))
        return 1.5 * (cosine + 1) / 2 * (sum(pairs) / len(pairs) if pairs else 1.0)

    total = 0.0
    for i in range(8):
        positives = [j for j in range(8) if sets[j] == sets[i] and j != i]
        whole = math.log(sum(math.exp(logit(i, j)) for j in range(8) if j != i))
        z = 1 / len(positives)
        total += sum(z * math.log(z) - z * (logit(i, j) - whole) for j in positives)
    objective = prepared(LabelDistance(matrix, scale=1.5, projection_size=None), num_labels=3)
    loss = loss_of(objective, make_batch(labels, vectors=h, views=2, dtype=dtype))
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(total / 8, rel=1e-5 if dtype == torch.float32 else 1e-12)


def test_an_even_matrix_is_the_supervised_contrastive_loss(make_batch, prepared):
    labels = torch.tensor([0, 1, 2, 0, 0, 1] * 2)
    positives = torch.tensor([5.0, 3.0, 1.0])[labels]
    for c in (1.0, 5.0, 20.0):
        h = torch.randn(12, 4, dtype=torch.float64, requires_grad=True)
        objective = prepared(LabelDistance(torch.full((3, 3), c), projection_size=None), num_labels=3)
        ours = loss_of(objective, make_batch(labels, vectors=h, views=2, dtype=torch.float64))
        theirs = SupConLoss(temperature=2 / c)(h, labels) - positives.double().log().mean()
        torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=0)
        gradients = [torch.autograd.grad(loss, h)[0] for loss in (ours, theirs)]
        torch.testing.assert_close(*gradients, atol=1e-7, rtol=0)


# The same rows with distances as weights at temperature 1: a positive has the logit c = cos, the two negatives
# together 2 d exp(cos'), so that the loss is ln(1 + 2 d exp(cos' − c)).
@pytest.mark.parametrize(
    ("h", "distance", "expected"),
    [
        (EQUAL, 1.0, math.log(3)),
        (EQUAL, 5.0, math.log(11)),
        (ORTHOGONAL, 1.0, math.log(1 + 2 / math.e)),
        (ORTHOGONAL, 5.0, math.log(1 + 10 / math.e)),
        (ANTIPODAL, 5.0, math.log(1 + 10 / math.e**2)),
        (ANTIPODAL, 0.0, 0.0),
    ],
)
def test_values_of_distances_as_weights(make_batch, prepared, h, distance, expected):
    matrix = [[1.0, distance], [distance, 1.0]]
    objective = prepared(LabelDistance(matrix, projection_size=None, distance_as="weight", temperature=1.0))
    loss = loss_of(objective, make_batch([0, 1, 0, 1], vectors=h, views=2))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("multi_label", [False, True])
def test_loss_of_distances_as_weights_agrees_with_a_loop(make_batch, prepared, multi_label, dtype):
    h = torch.randn(8, 3, dtype=dtype)
    sets = [{0, 2}, {1}, set(), {2}] * 2 if multi_label else [{0}, {1}, {2}, {1}] * 2
    labels = [[float(c in s) for c in range(3)] for s in sets] if multi_label else [min(s) for s in sets]
    matrix = [[1.0, 5.0, 0.0], [5.0, 1.0, 0.5], [0.0, 0.5, 1.0]]
    units = (h / h.norm(dim=1, keepdim=True)).tolist()

    def weight(i, j):
        pairs = [matrix[a][b] for a in sets[i] for b in sets[j]]
        return sum(pairs) / len(pairs) if pairs else 1.0

    def share(i, j):
        return weight(i, j) * math.exp(sum(a * b for a, b in zip(units[i], units[j], strict=True)) / 0.2)

    total = 0.0
    for i in range(8):
        positives = [j for j in range(8) if sets[j] == sets[i] and j != i]
        whole = sum(share(i, j) for j in range(8) if j != i)
        z = 1 / len(positives)
        total += sum(z * math.log(z) - z * math.log(share(i, j) / whole) for j in positives)
    objective = LabelDistance(matrix, projection_size=None, distance_as="weight", temperature=0.2)
    batch = make_batch(labels, vectors=h, views=2, dtype=dtype)
    loss = loss_of(prepared(objective, num_labels=3), batch)
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(total / 8, rel=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("c", [0.01, 1.0, 7.0])
def test_even_weights_are_the_supervised_contrastive_loss_with_two_views(make_batch, prepared, c):
    labels = torch.tensor([0, 1, 2, 0, 0, 1] * 2)
    positives = torch.tensor([5.0, 3.0, 1.0])[labels]
    h = torch.randn(12, 4, dtype=torch.float64, requires_grad=True)
    batch = make_batch(labels, vectors=h, views=2, dtype=torch.float64)
    even = LabelDistance(torch.full((3, 3), c), projection_size=None, distance_as="weight", temperature=0.15)
    ours = loss_of(prepared(even, num_labels=3), batch) + positives.double().log().mean()
    theirs = SupervisedContrastive(0.15, views=2)(batch)["supervised_contrastive"]
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(loss, h)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_a_weight_of_zero_removes_the_pair_also_from_the_positives(make_batch, prepared):
    h = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    batch = make_batch([0, 1, 2, 1] * 2, vectors=h, views=2, dtype=torch.float64)
    matrix = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 2.0], [2.0, 2.0, 0.0]])
    objective = prepared(LabelDistance(matrix, projection_size=None, distance_as="weight"), num_labels=3)
    loss = loss_of(objective, batch)
    (gradient,) = torch.autograd.grad(loss, h)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    # Class 2 has no positive left, so only the rows of classes 0 and 1 are anchors.
    units = h.detach() / h.detach().norm(dim=1, keepdim=True)
    labels = batch.labels.tolist()
    losses = []
    for i in (0, 1, 3, 4, 5, 7):
        shares = {
            j: matrix[labels[i], labels[j]] * (10 * units[i] @ units[j]).exp() for j in range(8) if j != i
        }
        same = [j for j in shares if labels[j] == labels[i]]
        z = 1 / len(same)
        losses.append(sum(z * math.log(z) - z * (shares[j] / sum(shares.values())).log() for j in same))
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item())


def test_with_weights_of_zero_everywhere_the_loss_is_zero(make_batch, prepared):
    h = torch.randn(4, 2, requires_grad=True)
    objective = prepared(LabelDistance(torch.zeros(2, 2), projection_size=None, distance_as="weight"))
    loss = loss_of(objective, make_batch([0, 1] * 2, vectors=h, views=2))
    loss.backward()
    assert loss == 0
    assert (h.grad == 0).all()


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 999),
    factor=st.floats(1e-3, 1e3),
    labels=st.lists(st.integers(0, 2), min_size=2, max_size=6),
)
def test_only_ratios_of_weights_matter(make_batch, prepared, seed, factor, labels):
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(2 * len(labels), 3, generator=generator, dtype=torch.float64)
    matrix = torch.rand(3, 3, generator=generator) * 5
    batch = make_batch(labels * 2, vectors=h, views=2, dtype=torch.float64)
    one, other = (
        loss_of(
            prepared(LabelDistance(each, projection_size=None, distance_as="weight"), num_labels=3), batch
        )
        for each in (matrix, matrix * factor)
    )
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)  # the matrix is float32


def test_the_projection_is_trained_with_the_encoder(make_batch, prepared):
    objective = prepared(LabelDistance("uniform", projection_size=7), hidden_size=5)
    batch = make_batch([0, 1, 0, 1], vectors=torch.randn(4, 5), views=2)
    batch.representation.requires_grad_()
    loss_of(objective, batch).backward()
    assert [tuple(p.shape) for p in objective.parameters()] == [(5, 5), (5,), (7, 5), (7,)]
    assert all(p.grad.abs().sum() > 0 for p in objective.parameters())
    assert batch.representation.grad.abs().sum() > 0


def test_the_matrix_comes_from_its_source(prepared):
    static = prepared(LabelDistance("static", pairs=[(0, 2)], tau=3.0), num_labels=3)
    assert torch.equal(static.distances, static_distance(3, [(0, 2)], tau=3.0))
    ordinal = prepared(LabelDistance("prior", order=[0, 1, 2]), num_labels=3)
    assert ordinal.distances[0].tolist() == [1, 3, 5]
    nested = prepared(LabelDistance("prior", paths=[["a", "x"], ["a", "y"], ["b"]]), num_labels=3)
    assert nested.distances[0].tolist() == pytest.approx([1, 1 + 4 * 2 / 3, 5])
    for even in ("adaptive", "uniform"):
        assert torch.equal(prepared(LabelDistance(even), num_labels=3).distances, torch.ones(3, 3))


def test_adaptive_updates_wait_for_the_warm_up_and_weaken_towards_the_end(prepared):
    objective = prepared(LabelDistance(), num_labels=3)
    objective.update_confusion(CONFUSION, progress=0.2)
    assert torch.equal(objective.distances, torch.ones(3, 3))
    expected = 1.0
    for progress in (0.4, 0.9, 1.0):
        objective.update_confusion(CONFUSION, progress)
        expected += (5.0 - expected) * (1 - progress)
        assert objective.distances[0, 1].item() == pytest.approx(expected)
    assert torch.equal(objective.distances, objective.distances.T)
    assert (objective.distances[2] == 1).all()


def test_updates_come_at_every_nth_evaluation_past_the_warm_up(prepared):
    objective = prepared(LabelDistance(update_every=3), num_labels=3)
    changed = []
    for evaluation in range(1, 11):
        before = objective.distances.clone()
        objective.update_confusion(CONFUSION, progress=evaluation / 10)
        changed.append(not torch.equal(objective.distances, before))
    # Past the warm-up lie evaluations 3 to 10; every third of them is 5 and 8.
    assert [index + 1 for index, change in enumerate(changed) if change] == [5, 8]


def test_a_fixed_matrix_ignores_confusions(prepared):
    objective = prepared(LabelDistance("static", pairs=[(0, 1)]), num_labels=3)
    before = objective.distances.clone()
    objective.update_confusion(CONFUSION, progress=0.5)
    assert torch.equal(objective.distances, before)


def test_resuming_continues_the_schedule_exactly(prepared, tmp_path):
    through = prepared(LabelDistance(update_every=2), num_labels=3)
    for progress in (0.3, 0.4, 0.5):
        through.update_confusion(CONFUSION, progress)
    save_file(through.state_dict(), tmp_path / "objective.safetensors")

    resumed = prepared(LabelDistance(update_every=2), num_labels=3)
    resumed.load_state_dict(load_file(tmp_path / "objective.safetensors"))
    prepared(resumed, num_labels=3)  # a second time, which must keep what was loaded
    later = torch.tensor([[5, 0, 5], [0, 9, 1], [2, 0, 8]])
    for objective in (through, resumed):
        objective.update_confusion(later, progress=0.6)
    for name, value in through.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert resumed.distances[0, 2] > 1


def test_a_batch_of_the_adapted_matrix_pushes_confused_classes_harder(make_batch, prepared):
    objective = prepared(LabelDistance(projection_size=None), num_labels=3)
    adapted = copy.deepcopy(objective)
    adapted.update_confusion(CONFUSION, progress=0.5)
    pulls = []
    for each in (objective, adapted):
        batch = make_batch([0, 1] * 2, vectors=[[1, 0.5], [0.5, 1], [1, 0.4], [0.4, 1]], views=2)
        batch.representation.requires_grad_()
        loss_of(each, batch).backward()
        pulls.append(batch.representation.grad.norm())
    assert pulls[1] > pulls[0]


@pytest.mark.parametrize(
    "options",
    [
        {"distance": "adaptative"},
        {"distance": "static"},
        {"distance": "prior"},
        {"distance": "prior", "order": [0, 1], "paths": [["a"], ["b"]]},
        {"distance": "adaptive", "pairs": [(0, 1)]},
        {"distance": [[1.0, 2.0]]},
        {"tau": -1.0},
        {"projection_size": 0},
        {"update_every": 0},
        {"scale": 0.0},
        {"warm_up": 1.5},
        {"normalise": "sum"},
        {"distance_as": "logit"},
        {"distance_as": "weight", "temperature": 0.0},
        {"distance_as": "weight", "scale": 2.0},
        {"temperature": 0.05},
    ],
)
def test_options_that_describe_no_distance_are_refused(options):
    with pytest.raises(RecipeError):
        LabelDistance(**options)


def test_a_wrong_kind_of_distance_gets_a_suggestion():
    with pytest.raises(RecipeError, match='did you mean "adaptive"'):
        LabelDistance("adaptve")


def test_what_does_not_fit_the_task_is_refused(make_batch, prepared):
    with pytest.raises(RecipeError, match="call prepare"):
        LabelDistance()(make_batch([0, 0]))
    with pytest.raises(RecipeError, match="2 classes"):
        prepared(LabelDistance(torch.ones(2, 2)), num_labels=3)
    objective = prepared(LabelDistance(), num_labels=3)
    with pytest.raises(RecipeError):
        objective.update_confusion(torch.ones(2, 2), progress=0.5)
    with pytest.raises(RecipeError):
        prepared(objective, num_labels=4)


def test_raw_counts_warn():
    with pytest.warns(TellapartWarning, match="saturate"):
        LabelDistance(normalise="none")


def test_an_adaptive_distance_that_will_never_adapt_warns(prepared):
    with pytest.warns(TellapartWarning, match="stays uniform: 7 of 10"):
        prepared(LabelDistance(update_every=8))
    prepared(LabelDistance(update_every=7))  # no warning, or the settings make it an error
