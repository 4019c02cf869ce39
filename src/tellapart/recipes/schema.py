"""The keys of a recipe, their types and their defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=())


class DataRecipe(_Strict):
    """Where the rows come from.

    Args:
        source: A file, a folder with train/validation/test files, a registered name, or a Hub name.
        text: The text column; found by its name when not given.
        text_pair: The second text's column, for pair tasks.
        label: The label column.
        question_id: The column whose value is the same for the answers to one question: a ranking task.
        without_positive: What a question without a right answer counts as: `skip` leaves it out, `zero`, or
            `error`.
        label_delimiter: What separates the labels of a multi-label cell.
        multi_label: Whether rows have several labels; by default told by the column's type.
        regression: Whether the labels are scores, numbers to predict; by default only those of a benchmark set of
            scores are.
        order: All class names from first to last, where they have an order.
        hierarchy_separator: What separates the levels in class names that are paths ("." for comp.sys.mac).
        few_shot: Training rows a class, and as many validation rows where no validation split is given.
        train_rows: At most this many training rows, a stratified sample.
        validation_rows: At most this many validation rows, likewise.
        test_rows: At most this many test rows, likewise.
        validation_share: Share of the training rows split off when no validation split is given.
        test_share: Share of all rows split off when no test split is given.
    """

    source: str | None = None
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    question_id: str | None = None
    without_positive: Literal["skip", "zero", "error"] = "skip"
    label_delimiter: str | None = None
    multi_label: bool | None = None
    regression: bool | None = None
    order: list[str] | None = None
    hierarchy_separator: str | None = None
    few_shot: Annotated[int, Field(ge=1)] | None = None
    train_rows: Annotated[int, Field(ge=2)] | None = None
    validation_rows: Annotated[int, Field(ge=1)] | None = None
    test_rows: Annotated[int, Field(ge=1)] | None = None
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2


class EncoderRecipe(_Strict):
    """What turns texts into vectors.

    Args:
        name: `minilm`, a folder, a Hub name; `textcnn` or `han`, which learn from the run's texts alone; `tfidf` for
            the sanity row.
        second: A second encoder, with its own tokeniser, whose vectors are fused with the first one's.
        fusion: How they are: `concat`, or `mean` or `sum` of vectors of one width.
        pooling: `mean`, `cls` or `stock`; by default `mean` where a plain checkpoint can hold it.
        max_length: Longest input in tokens; by default 128, and 512 with windows and for `textcnn` and `han`.
        windows: How long texts are read: `none`, cut to what the encoder reads at once; or window by window, the
            windows' vectors pooled by `max`, `mean`, or `learned` attention.
        window_length: Tokens of a window, special tokens included; by default 128, or what the encoder reads.
        window_stride: Tokens that two neighbouring windows share, at least; by default an eighth of a window.
        classifier_dropout: Rate before the final linear layer; by default the checkpoint's own.
        embeddings: Of `textcnn` and `han`, as all that follow: `random`; `cbow`, trained on the training and the
            validation texts; or a file of word vectors.
        embedding_size: Width of the embeddings; by default the file's, else 300 for `textcnn` and 200 for `han`.
        vocabulary_size: Most tokens.
        tokens: `words`, `characters` or `subwords`; `auto` takes subwords for scripts without spaces, else words.
    """

    name: str = "minilm"
    second: str | None = None
    fusion: Literal["concat", "mean", "sum"] = "concat"
    pooling: Literal["mean", "cls", "stock"] | None = None
    max_length: Annotated[int, Field(ge=4)] | None = None
    windows: Literal["none", "max", "mean", "learned"] = "none"
    window_length: Annotated[int, Field(ge=4)] | None = None
    window_stride: Annotated[int, Field(ge=0)] | None = None
    classifier_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    embeddings: str = "random"
    embedding_size: Annotated[int, Field(ge=1)] | None = None
    vocabulary_size: Annotated[int, Field(ge=4)] = 30_000
    tokens: Literal["auto", "words", "characters", "subwords"] = "auto"


class ClassificationRecipe(_Strict):
    """The main loss that every objective over classes has, and its options.

    With `total` above the number of classes, auxiliary labels are added to it.
    """

    total: Annotated[int, Field(ge=1)] | None = None
    class_weight: Literal["balanced"] | dict[str, float] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    focal_gamma: Annotated[float, Field(ge=0)] = 0.0


class CrossEntropyRecipe(ClassificationRecipe):
    """Cross entropy; binary cross entropy summed over labels for multi-label tasks."""

    name: Literal["cross-entropy"] = "cross-entropy"


class AuxiliaryLabelsRecipe(ClassificationRecipe):
    """Cross entropy over `total` outputs, of which only the classes are ever right; by default twice the classes."""

    name: Literal["auxiliary-labels"] = "auxiliary-labels"


class _NegativeSupervision(ClassificationRecipe):
    """With `relations: prior` each negative weighs by how far its class is in the order or tree of `data`."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    samples: Annotated[int, Field(ge=2)] | Literal["all"] = 4
    hard: bool = False
    different: Literal["not_identical", "disjoint"] = "not_identical"
    relations: Literal["none", "prior"] = "none"


class NegativeSupervisionRecipe(_NegativeSupervision):
    """Main loss + weight · AAN."""

    name: Literal["negative-supervision"] = "negative-supervision"


class NegativeSupervisionMarginRecipe(_NegativeSupervision):
    """Main loss + weight · AM."""

    name: Literal["negative-supervision-am"] = "negative-supervision-am"
    margin: float = 0.4


class NegativeSupervisionCrossEntropyRecipe(_NegativeSupervision):
    """Main loss + weight · ACE."""

    name: Literal["negative-supervision-ace"] = "negative-supervision-ace"
    temperature: Annotated[float, Field(gt=0)] = 1.0


class LabelDistanceRecipe(ClassificationRecipe):
    """(1 − weight) · main loss + weight · CLLD.

    `static` needs `pairs` of class names; `prior` needs either the classes in their `order`, or the
    `hierarchy_separator` that turns class names into paths ("." for comp.sys.mac), here or in `data`.
    """

    name: Literal["label-distance"] = "label-distance"
    weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    distance: Literal["adaptive", "static", "uniform", "prior"] = "adaptive"
    pairs: list[tuple[str, str]] = []
    order: list[str] | None = None
    hierarchy_separator: str | None = None
    tau: Annotated[float, Field(ge=1)] = 5.0
    scale: Annotated[float, Field(gt=0)] = 1.0
    normalise: Literal["max", "none"] = "max"
    update_every: Annotated[int, Field(ge=1)] = 1
    projection_size: Annotated[int, Field(ge=2)] | None = 128
    both_views: bool = False


class MeanSquaredErrorRecipe(_Strict):
    """Squared error, for labels that are numbers; the numbers of the training rows are standardised first."""

    name: Literal["mean-squared-error"] = "mean-squared-error"


class RDropRecipe(ClassificationRecipe):
    """Main loss over both views + weight · symmetric KL; for numbers, squared error + weight · squared difference."""

    name: Literal["r-drop"] = "r-drop"
    weight: Annotated[float, Field(ge=0)] = 1.0


class SupervisedContrastiveRecipe(ClassificationRecipe):
    """(1 − weight) · main loss + weight · SupCon."""

    name: Literal["supcon"] = "supcon"
    weight: Annotated[float, Field(ge=0, le=1)] = 0.9
    temperature: Annotated[float, Field(gt=0)] = 0.3


ObjectiveRecipe = Annotated[
    CrossEntropyRecipe
    | AuxiliaryLabelsRecipe
    | NegativeSupervisionRecipe
    | NegativeSupervisionMarginRecipe
    | NegativeSupervisionCrossEntropyRecipe
    | LabelDistanceRecipe
    | MeanSquaredErrorRecipe
    | RDropRecipe
    | SupervisedContrastiveRecipe,
    Field(discriminator="name"),
]


OBJECTIVES: dict[str, type[BaseModel]] = {
    kind.model_fields["name"].default: kind
    for kind in (
        CrossEntropyRecipe,
        AuxiliaryLabelsRecipe,
        NegativeSupervisionRecipe,
        NegativeSupervisionMarginRecipe,
        NegativeSupervisionCrossEntropyRecipe,
        LabelDistanceRecipe,
        MeanSquaredErrorRecipe,
        RDropRecipe,
        SupervisedContrastiveRecipe,
    )
}
"""The objectives by name."""


class StageRecipe(_Strict):
    """One stage of training: what is minimised, what learns, how long and how fast.

    Args:
        objective: What is minimised.
        learns: `all` parameters; or the `head` alone: a fresh final layer on vectors that are computed once; or a
            list of patterns of parameter names, such as `classifier.*` and `bert.encoder.layer.5.*`.
        solver: Of a stage that learns the head: `l-bfgs`, a logistic regression (a linear SVM for tfidf; for scores
            ridge regression); `adamw`, the stage's objective over epochs; `best`, the one of both that validates
            better.
        start: Where the classifier starts: `probe`, a logistic (for scores a ridge) regression on the encoder's
            vectors as it comes (Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features, §4), or `random`.
        epochs: Passes over the training rows, at most.
        batch_size: Rows a step on one process, before accumulation.
        gradient_accumulation_steps: Batches whose gradients are added up before a step.
        gradient_cache: Texts whose activations are in memory at once, fewer than a batch has: the batch is encoded in
            chunks of so many, twice, and compared as a whole. By default it is encoded in one pass.
        learning_rate: Of the encoder.
        head_learning_rate: Of everything outside the base model; of a head that is learned alone.
        perturbation: What is added to the encoders' token embeddings for a second pass over each step's rows:
            `fgm`, along their gradient; `random`; or `none`.
        perturbation_size: Its Euclidean length, one for each encoder.
        warmup_share: Share of the steps in which the rate rises.
        weight_decay: AdamW's.
        batches: How rows come together: `length`, at random and with rows of similar length; or `balanced`,
            `texts_per_class` rows of each of as many classes as a batch has room for.
        texts_per_class: Of balanced batches.
        views_dropout: Rate of all dropout inside the encoder during this stage; by default its own rates. Encoders
            without any (ModernBERT, ALBERT) need it for objectives that compare two passes over a text.
        evaluations: Evaluations on the validation rows, spread evenly over the stage.
        patience: Evaluations without a new best after which training stops; null: never.
        metric: What the best evaluation is chosen by; by default what a benchmark set is judged by, else accuracy,
            or micro F1 for multi-label tasks, or Pearson's correlation for scores.
        regularisation: Inverse strength C of the regression, when only the head learns or where it starts; ridge
            regression chooses its own.
        precision: `auto` takes bf16 where the processor or GPU gains from it.
        trainer: Any other option of `transformers.TrainingArguments`.
    """

    objective: ObjectiveRecipe = CrossEntropyRecipe()
    learns: Literal["all", "head"] | Annotated[list[str], Field(min_length=1)] = "all"
    solver: Literal["l-bfgs", "adamw", "best"] = "l-bfgs"
    start: Literal["probe", "random"] = "probe"
    epochs: Annotated[float, Field(gt=0)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 32
    gradient_accumulation_steps: Annotated[int, Field(ge=1)] = 1
    gradient_cache: Annotated[int, Field(ge=1)] | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    head_learning_rate: Annotated[float, Field(gt=0)] | None = None
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    batches: Literal["length", "balanced"] = "length"
    texts_per_class: Annotated[int, Field(ge=2)] = 4
    views_dropout: Annotated[float, Field(gt=0, lt=1)] | None = None
    evaluations: Annotated[int, Field(ge=1)] = 10
    patience: Annotated[int, Field(ge=1)] | None = None
    metric: str | None = None
    regularisation: Annotated[float, Field(gt=0)] = 10.0
    perturbation: Literal["none", "fgm", "random"] = "none"
    perturbation_size: Annotated[float, Field(gt=0)] = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    trainer: dict[str, Any] = {}


Probability = Annotated[float, Field(gt=0, lt=1)]


class DecisionRecipe(_Strict):
    """How scores become labels once the stages are done.

    Args:
        thresholds: For several labels a row, the probability from which a label is predicted: one number; one a
            label by its name, labels left out having one half; or `tuned`, the threshold with the highest F1 on the
            validation rows, for each label.
        temperature: `fitted`: logits are divided by the number that gives the validation labels the highest
            likelihood, so that probabilities mean what they say; `folded`: so is the model's last layer, for
            tools that know nothing of it; or `none`.
    """

    thresholds: Literal["tuned"] | Probability | dict[str, Probability] = 0.5
    temperature: Literal["none", "fitted", "folded"] = "none"


class Recipe(_Strict):
    """A whole run.

    Args:
        method: The method's name, for tables; its settings stand in `stages`.
        data: The rows.
        encoder: The encoder.
        stages: What is trained, in order.
        decision: How scores become labels.
        seed: Of everything random: splits, initial weights, order, dropout.
    """

    method: str = "cross-entropy"
    data: DataRecipe = DataRecipe()
    encoder: EncoderRecipe = EncoderRecipe()
    stages: Annotated[list[StageRecipe], Field(min_length=1)] = [StageRecipe()]
    decision: DecisionRecipe = DecisionRecipe()
    seed: int = 0

    def to_yaml(self) -> str:
        """Returns the recipe as YAML, every key written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
