"""Keys of a recipe: types, ranges, defaults and descriptions.

The command line and `docs/reference/recipes.md` take their words from the descriptions. The run decides values that
are None by default.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tellapart.objectives.options import (
    MAX_EPOCHS,
    MAX_SEED,
    MAX_STEPS,
    AnyObjective,
    CrossEntropyOptions,
    Settings,
    setting,
)
from tellapart.recipes.decision import DecisionRecipe


class DataRecipe(Settings):
    """Source of the rows, their columns and splits."""

    source: str | None = setting(
        None,
        "File (CSV, TSV, JSONL, JSON, Parquet), folder with train, validation and test files, name from "
        "`tellapart data list`, or data set on the Hub.",
    )
    text: str | None = setting(
        None, "Column of the text. Default: recognised by its name; with a trained model, as in its training."
    )
    text_pair: str | None = setting(None, "Column of the second text, for pairs.")
    label: str | None = setting(
        None,
        "Column of the label. Default: recognised by its name; with a trained model, as in its training. Several "
        "columns of 0 and 1, one per label, with commas between them.",
    )
    question_id: str | None = setting(
        None,
        "Column that groups the answers to one question, for ranking tasks. Default: recognised by its name; with a "
        "trained model, as in its training.",
    )
    without_positive: Literal["skip", "zero", "error"] = setting(
        "skip", "Score of a question without a right answer: `skip` leaves it out, `zero`, or `error`."
    )
    label_delimiter: str | None = setting(
        None, "Separator of several labels in a cell; makes the task multi-label."
    )
    multi_label: bool | None = setting(
        None, "Whether rows have several labels. Default: by the delimiter and the type of the column."
    )
    regression: bool | None = setting(
        None,
        "Labels are numbers to predict, not classes. Default: only for benchmark sets with numeric labels.",
    )
    order: list[str] | None = setting(
        None,
        "All class names from first to last, for classes with an order; on the command line with commas between "
        "them.",
    )
    hierarchy_separator: str | None = setting(
        None, "Separator of the levels in class names that are paths, `.` for `comp.sys.mac`."
    )
    few_shot: int | None = setting(
        None,
        "Training rows per class, and as many validation rows if there is no validation split. 0 with label texts.",
        ge=0,
    )
    train_rows: int | None = setting(None, "Maximum number of training rows, a stratified sample.", ge=2)
    validation_rows: int | None = setting(
        None, "Maximum number of validation rows, a stratified sample.", ge=1
    )
    test_rows: int | None = setting(None, "Maximum number of test rows, a stratified sample.", ge=1)
    validation_share: float = setting(
        0.1, "Share of the training rows to split off if there is no validation split.", gt=0, lt=1
    )
    validation_in_training: bool | Literal["auto"] = setting(
        False,
        "Train once more in the end, on training and validation rows, for the share of the schedule that was "
        "selected. Thresholds, temperature and validation metrics stay those of the first training. `auto`, as in "
        "`contrast`: if there is at least one validation row for every four training rows and no more than one for "
        "each, and no objective needs them for a label distance. `--set data.validation_in_training=false` turns it "
        "off.",
    )
    test_share: float = setting(0.2, "Share of all rows to split off if there is no test split.", gt=0, lt=1)
    unlabelled: str | None = setting(
        None,
        "Further texts without labels, for self-training: a file, folder or name as for DATA, a text file with one "
        "text per line, or `rest`, the training rows that `--few-shot` or `data.train_rows` leaves out. Labels are "
        "ignored.",
    )
    label_texts: str | dict[str, str | list[str]] = setting(
        "none",
        "Texts of the classes as further training rows: `names`, the class names as words; a file with one or more "
        "descriptions per class (in a recipe also a mapping); `auto`, the names if they are words; or `none`.",
    )
    label_names: list[str] | None = setting(
        None,
        "Labels of the positions of vectors of 0 and 1, such as `[0, 1, 1]`, in order; on the command line with "
        "commas between them. Default: numbers from 0.",
    )
    out_of_scope: str | None = setting(
        None,
        "Texts of no class: the label of their rows, or a file of texts. They are never trained on; the score by "
        "which a model abstains is measured on them. Those of a file count as test rows. Validation and test "
        "rows without any get some of the training split, in proportion. For one label per text.",
    )


class EncoderRecipe(Settings):
    """The encoder, which maps texts to vectors."""

    name: str = setting(
        "minilm",
        "`minilm`, `mpnet`, a folder, or a Hub name; `textcnn` or `han`, trained from scratch; `tfidf` as a "
        "sanity check.",
    )
    second: str | None = setting(
        None,
        "Second encoder with its own tokenizer, whose vectors are fused with those of the first. Default: none.",
    )
    fusion: Literal["concat", "mean", "sum"] = setting(
        "concat", "Fusion of the two vectors: `concat`, or `mean` or `sum` for vectors of one width."
    )
    pooling: Literal["mean", "cls", "stock"] | None = setting(
        None, "`mean`, `cls` or `stock`. Default: `mean` where a plain checkpoint can hold it, else `stock`."
    )
    max_length: int | None = setting(
        None,
        "Maximum input length in tokens. Default: 128; 512 with windows and for `textcnn` and `han`.",
        ge=4,
    )
    windows: Literal["none", "max", "mean", "learned"] = setting(
        "none",
        "Long texts: `none` truncates them; `max`, `mean` and `learned` (attention) pool the vectors of windows.",
    )
    window_length: int | None = setting(
        None,
        "Tokens per window, including special tokens. Default: 128, or the encoder's limit if that is lower.",
        ge=4,
    )
    window_stride: int | None = setting(
        None, "Minimum overlap of neighbouring windows, in tokens. Default: an eighth of a window.", ge=0
    )
    classifier_dropout: float | None = setting(
        None, "Dropout rate before the final linear layer. Default: the checkpoint's own.", ge=0, lt=1
    )
    embeddings: str = setting(
        "random",
        "For `textcnn` and `han`: `random`; `cbow`, trained on the training and validation texts; or a file of word "
        "vectors.",
    )
    embedding_size: int | None = setting(
        None,
        "For `textcnn` and `han`: width of the embeddings. Default: the file's width, else 300 for `textcnn` and 200 "
        "for `han`.",
        ge=1,
    )
    vocabulary_size: int = setting(30_000, "For `textcnn` and `han`: maximum number of tokens.", ge=4)
    tokens: Literal["auto", "words", "characters", "subwords"] = setting(
        "auto",
        "For `textcnn` and `han`: `words`, `characters` or `subwords`; `auto` takes subwords for scripts without "
        "spaces, else words.",
    )


class StageRecipe(Settings):
    """One stage of training: an objective, the parameters to train, and the schedule."""

    objective: Annotated[AnyObjective, Field(discriminator="name")] = setting(
        description="The objective: its `name` and its options.", factory=CrossEntropyOptions
    )
    learns: Literal["all", "head"] | Annotated[list[str], Field(min_length=1)] = setting(
        "all",
        "Parameters to train: `all`; `head`, a fresh final layer on vectors that are computed once; or a list of "
        "patterns of parameter names, such as `[classifier.*, bert.encoder.layer.5.*]`.",
    )
    solver: Literal["l-bfgs", "adamw", "best"] = setting(
        "l-bfgs",
        "For `learns: head`: `l-bfgs`, logistic regression (a linear SVM for `tfidf`, ridge regression for numeric "
        "labels); `adamw`, the objective over epochs; `best`, whichever validates better.",
    )
    start: Literal["probe", "random"] = setting(
        "probe",
        "Initial classifier: `probe`, logistic (for numeric labels ridge) regression on at most 10,000 rows (Kumar "
        "et al. 2022, §4); or `random`, as always for a fresh `textcnn` or `han`.",
    )
    epochs: float | None = setting(
        None,
        "Maximum number of passes over the training rows. Default: by the number of rows, more for `textcnn` and "
        "`han`; 20 for a head trained by `adamw`.",
        gt=0,
        le=MAX_EPOCHS,
    )
    batch_size: int = setting(32, "Rows per batch on one process, before accumulation.", ge=1)
    gradient_accumulation_steps: int = setting(
        1, "Batches whose gradients are accumulated before an optimiser step.", ge=1
    )
    gradient_cache: int | None = setting(
        None,
        "Texts whose activations are in memory at once, for batches larger than memory: chunks of this size are "
        "encoded twice, and the loss sees the whole batch. Default: one pass. Refused for `learns: head`.",
        ge=1,
    )
    learning_rate: float | None = setting(
        None, "Learning rate of the encoder. Default: by its kind and size.", gt=0
    )
    head_learning_rate: float | None = setting(
        None,
        "Learning rate of everything outside the base model. Default: 10 × `learning_rate`, 1 × for `textcnn` and "
        "`han`; 0.001 for `learns: head`.",
        gt=0,
    )
    warmup_share: float = setting(0.1, "Share of the steps with a rising learning rate.", ge=0, lt=1)
    weight_decay: float = setting(0.01, "Weight decay of AdamW.", ge=0)
    batches: Literal["length", "balanced"] = setting(
        "length",
        "Composition of batches: `length`, random rows of similar length; `balanced`, `texts_per_class` rows of each "
        "of as many classes as fit. No effect for `learns: head`.",
    )
    texts_per_class: int = setting(4, "Rows per class in balanced batches.", ge=2)
    views_dropout: float | None = setting(
        None,
        "Rate of all dropout inside the encoder during this stage. Default: the encoder's own rates. Encoders "
        "without dropout (ModernBERT, ALBERT) need it for objectives with two views. No effect for `learns: head`.",
        gt=0,
        lt=1,
    )
    views_from_layer: int = setting(
        0,
        "For objectives with two views: number of the encoder's layers that run once for both views, which then "
        "differ by dropout in the layers above alone. A step is faster the more layers they share.",
        ge=0,
    )
    evaluations: int = setting(
        10,
        "Number of evaluations on the validation rows, evenly spaced over the stage. No effect for `learns: head`, "
        "which is evaluated after each epoch.",
        ge=1,
    )
    patience: int | None = setting(
        None,
        "Evaluations without improvement after which training stops. Default: never. No effect for `learns: head`.",
        ge=1,
    )
    selection: Literal["best", "last", "average"] | None = setting(
        None,
        "Weights to keep: `best`, those of the best evaluation (of equal ones that with the lowest validation loss, "
        "then the latest); `last`, those of the last step; `average`, an exponential moving average of the weights, "
        "which evaluations see as well. Default: `best` with validation rows, else `last`.",
    )
    averaging: float = setting(
        0.2, "For `selection: average`: share of the steps that counts, the last ones.", gt=0, le=1
    )
    metric: str | None = setting(
        None,
        "Metric that selects the best evaluation. Default: that of the benchmark set; else accuracy, micro F1 for "
        "multi-label tasks, mean average precision for rankings, Pearson's correlation for numeric labels.",
    )
    regularisation: float = setting(
        10.0,
        "Inverse regularisation strength C of the logistic regression of `l-bfgs` or `probe`; ridge regression "
        "chooses its own.",
        gt=0,
    )
    perturbation: Literal["none", "fgm", "random"] = setting(
        "none",
        "Perturbation of the token embeddings for a second pass over each batch: `fgm`, along the gradient; "
        "`random`, in a random direction. The gradients of both passes are added.",
    )
    perturbation_size: float = setting(1.0, "Euclidean length of the perturbation, for each encoder.", gt=0)
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "`auto` takes bf16 where the processor or GPU gains from it."
    )
    trainer: dict[str, Any] = setting(
        description="Any other option of `transformers.TrainingArguments`, none of the Hub or Trackio.",
        factory=dict,
    )
    label_text_weight: float = setting(
        1.0,
        "Weight of a label text in losses that are means over rows, and in the regression of `l-bfgs` or `probe`; 0 "
        "leaves label texts out. No effect without `data.label_texts`.",
        ge=0,
    )
    label_text_anchors: bool = setting(
        False,
        "Add the label texts of its classes to each batch as anchors: further rows of the terms that compare texts "
        "(AAN, AM, ACE, CLLD, SupCon), not of the classification loss.",
    )


class SelfTrainingRecipe(Settings):
    """Use of the unlabelled texts; without effect if `data.unlabelled` is not set."""

    rounds: int = setting(
        1,
        "Rounds of self-training: the classifier labels the unlabelled texts, and a new one is trained on them too. "
        "0 for further pre-training alone.",
        ge=0,
        le=3,
    )
    share: float = setting(0.7, "Share of the unlabelled texts to use, the most confident ones.", gt=0, le=1)
    balanced: bool = setting(
        True,
        "Use as many texts of each predicted class as there are, up to the same number; else the most confident "
        "texts, whatever their class.",
    )
    class_frequencies: Literal["training", "unlabelled"] = setting(
        "training",
        "Class frequencies that the result expects: those of its training rows, or `unlabelled`, estimated on the "
        "unlabelled texts, of which `share` of each predicted class is then used. For one label per text; needs "
        "validation rows.",
    )
    neighbours: int = setting(
        10,
        "Label propagation: predictions follow those of so many nearest neighbours among the labelled and unlabelled "
        "texts, by the encoder's vectors; 0 for none. With more than 20,000 texts there is none.",
        ge=0,
    )
    soft: bool = setting(
        True,
        "Train on the predicted probabilities; else on the predicted labels. `tfidf`, `frozen` and other stages that "
        "train only the head take labels.",
    )
    epochs: float | None = setting(
        None,
        "Maximum number of passes over labelled and pseudo-labelled rows, in place of `epochs` of the stages. "
        "Default: by the number of rows.",
        gt=0,
        le=MAX_EPOCHS,
    )
    pretrain: Literal["none", "hard"] = setting(
        "none",
        "Further pre-training of the encoder on the unlabelled and the training texts, before anything else: `hard`, "
        "masked language modelling with hard correction.",
    )
    pretrain_steps: int | None = setting(
        None, "Optimiser steps of pre-training. Default: three passes over the texts.", ge=1, le=MAX_STEPS
    )
    weight: float = setting(
        1.0, "Weight of a pseudo-labelled row in losses that are means over rows; a labelled row has 1.", gt=0
    )


class Recipe(Settings):
    """A whole run."""

    method: str = setting(
        "cross-entropy",
        "Name of the method, see `tellapart recipes`; its settings are in `stages`. For numeric labels the default "
        "is `mean-squared-error`.",
    )
    data: DataRecipe = setting(description="The rows.", factory=DataRecipe)
    encoder: EncoderRecipe = setting(description="The encoder.", factory=EncoderRecipe)
    stages: list[StageRecipe] = setting(
        description="Stages of training, in order.", factory=lambda: [StageRecipe()], min_length=1
    )
    decision: DecisionRecipe = setting(
        description="How logits become labels, after training.", factory=DecisionRecipe
    )
    seed: int = setting(
        0, "Seed of splits, initial weights, order of the rows and dropout.", ge=0, le=MAX_SEED
    )
    self_training: SelfTrainingRecipe = setting(
        description="Use of the unlabelled texts.", factory=SelfTrainingRecipe
    )

    def to_yaml(self) -> str:
        """Returns the recipe as YAML, with every key."""
        import yaml  # not needed for --help

        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
