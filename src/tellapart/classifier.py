"""`TextClassifier`, the scikit-learn estimator."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path, PurePath
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from tellapart import __version__
from tellapart.arrays import Form, Target, labelled_split, texts_of, validation_split, weights_of
from tellapart.data.examples import TextData, TextSplit
from tellapart.data.splits import complete_splits
from tellapart.data.unlabelled import unlabelled_rows
from tellapart.errors import DataError, ModelError, OutputError, RecipeError, did_you_mean
from tellapart.fitting.estimator import ESTIMATOR_PLACES, check_data_keys, run_parameters
from tellapart.recipes import Recipe, load_recipe, method_recipe, validated, with_values
from tellapart.recipes.reading import assignment


class TextClassifier(ClassifierMixin, BaseEstimator):
    """Scikit-learn estimator that trains an encoder and a classifier on texts.

    Works with `cross_val_score`, `GridSearchCV`, `Pipeline` and `clone`. The run decides values of None, by the
    rules in `tellapart.training.defaults`.

    Args:
        method: Name of the method, see `tellapart recipes`.
        encoder: `minilm`, `mpnet`, `textcnn`, `han`, a folder, or a Hub name.
        pooling: `mean`, `cls` or `stock`; by default `mean` where a plain checkpoint can hold it.
        max_length: Maximum input length in tokens; by default 128, and 512 with windows and for `textcnn` and `han`.
        epochs: Maximum number of passes over the training rows.
        batch_size: Rows per step.
        learning_rate: Learning rate of the encoder.
        validation_share: Share of the rows to split off, stratified, for choosing the best state of the model;
            0 or None trains on all rows. Ignored when `validation_data` is given.
        label_texts: Texts of the classes as further training rows: `names`, the class names as words; `auto`, the
            same if they are words; a mapping from class to one or several texts; the path of a file with them; or
            `none`. By default what the method has: `auto` for `contrast`, `none` for the others.
        random_state: Seed of all randomness: an int, a `RandomState`, or None for a new seed each time.
        settings: Any other key of a recipe by its path, as for `--set`: `{"stages.0.objective.tau": 3}`; of `data`
            only `order`, `hierarchy_separator` and `validation_in_training`. They win over the other parameters.
        verbose: Whether to show progress.

    Attributes:
        classes_: The classes in the type of `y`, sorted, (K,); column indices for an indicator matrix.
        recipe_: The recipe of the run, with every value filled in.
        history_: The training log, one dict per entry.
        self_training_: With unlabelled texts: the number of texts used per class, and their mean confidence, for each
            of the `rounds`; else None.

    Example:
        >>> classifier = TextClassifier("label-distance", epochs=10)
        >>> classifier.fit(["card lost", "card stolen"] * 8, ["lost", "stolen"] * 8)
        >>> classifier.predict(["my card is gone"])
    """

    def __init__(
        self,
        method: str = "cross-entropy",
        *,
        encoder: str = "minilm",
        pooling: str | None = None,
        max_length: int | None = None,
        epochs: float | None = None,
        batch_size: int = 32,
        learning_rate: float | None = None,
        validation_share: float | None = 0.1,
        label_texts: str | Mapping[Any, str | Sequence[str]] | None = None,
        random_state: int | np.random.RandomState | None = 0,
        settings: dict[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        self.method = method
        self.encoder = encoder
        self.pooling = pooling
        self.max_length = max_length
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_share = validation_share
        self.label_texts = label_texts
        self.random_state = random_state
        self.settings = settings
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        validation_data: tuple[Any, Any] | None = None,
        unlabelled: Any = None,
    ) -> Self:
        """Trains the model, starting from the pre-trained encoder.

        Args:
            X: N texts: a list, an array or a Series; for pair tasks (N, 2), or a list of pairs.
            y: N classes of one type; for multi-label tasks an indicator matrix (N, K) or a list of lists.
            sample_weight: Weights of the rows (N,), at least 0, in losses that are means over rows, such as cross
                entropy; terms that compare rows, such as SupCon's, do not use them, nor do validation metrics.
            validation_data: X and y for choosing the best state of the model.
            unlabelled: Further texts without labels, in the form of X, for self-training: the most confident
                predictions become labels of a second model. Empty ones and rows of X are left out. The keys of
                `self_training` go into `settings`: `{"self_training.rounds": 2}`.

        Returns:
            The estimator.

        Raises:
            DataError: X or y is empty, has missing values, differs in length, or has one class only; the texts of X,
                or those of a class, say nothing; or `validation_data` or `unlabelled` has another form than X and y.
                A subclass of ValueError.
            RecipeError: A parameter has a value that is not allowed. A subclass of ValueError.
        """
        from tellapart.fitting.fit import fit

        recipe = self._recipe()
        check_data_keys(recipe)
        target = Target.of(y)
        train = labelled_split(X, y, target)
        pairs = train.text_pairs is not None
        validation = (
            None if validation_data is None else validation_split(validation_data, target, pairs=pairs)
        )
        train = replace(train, weights=weights_of(sample_weight, len(train)))
        data = complete_splits(
            TextData(train, validation, None, target.labels),
            validation_share=self._share(recipe),
            test_share=0.0,
            seed=recipe.seed,
        )
        if unlabelled is not None:
            more = TextSplit(*texts_of(unlabelled, "unlabelled", pairs=pairs, like="X"))
            texts, _ = unlabelled_rows(more, data.train, data.validation, test=None)
            data = replace(data, unlabelled=texts)
        with tempfile.TemporaryDirectory() as folder:
            self._fitted = fit(recipe, data, folder, quiet=not self.verbose)
        self._target = target
        self._pairs: bool | None = pairs  # None if it is not known what a loaded run was trained on
        self.recipe_: Recipe = self._fitted.recipe or recipe
        self.history_ = self._fitted.history
        self.self_training_ = self._fitted.self_training
        self.classes_ = target.classes
        return self

    def predict(self, X: Any) -> Any:
        """Predicts the class of each text, in the form of the `y` in `fit`."""
        from tellapart.evaluation.metrics import predicted_ids

        logits = self._logits(X)
        thresholds = self._fitted.decision.applied_thresholds
        return self._target.decoded(predicted_ids(self._target.labels, logits, thresholds))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Returns probabilities (N, K) in the order of `classes_`; one per label for multi-label tasks."""
        from tellapart.evaluation.metrics import probabilities

        logits = self._logits(X)
        return probabilities(self._target.labels, logits)

    def accepts(self, X: Any) -> np.ndarray:
        """Returns whether the model decides on each text, bool (N,); always, unless `decision.abstain` is set."""
        logits, rule = self._logits(X), self._fitted.decision.abstention
        return np.ones(len(logits), dtype=bool) if rule is None else rule.accepts(logits)

    def decision_function(self, X: Any) -> np.ndarray:
        """Returns logits (N, K); for two classes the logit of the second minus that of the first, (N,)."""
        logits = self._logits(X)
        binary = len(self._target.labels) == 2 and not self._target.labels.multi_label
        return logits[:, 1] - logits[:, 0] if binary else logits

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Returns the accuracy; for multi-label tasks the share of label sets that match exactly."""
        predicted = self.predict(X)
        if self._target.form == "lists":
            labels, encoded = self._target.labels, self._target.names
            y, predicted = labels.encode(encoded(y)), labels.encode(encoded(predicted))
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    def set_params(self, **parameters: Any) -> Self:
        """Sets parameters by name.

        Raises:
            RecipeError: There is no such parameter. A subclass of ValueError.
        """
        known = self._get_param_names()
        for name in parameters:
            if name not in known:
                raise RecipeError(
                    f'TextClassifier has no parameter "{name}"' + did_you_mean(name, known),
                    "choose from " + ", ".join(known) + "; other keys go into settings",
                )
        return super().set_params(**parameters)

    def save(self, folder: str | Path) -> None:
        """Writes a plain Transformers checkpoint with a model card, and the state of the estimator beside it.

        Args:
            folder: Created if missing; a model that it holds is replaced, and other files stay.

        Raises:
            DataError: The classes are of a type that JSON cannot hold.
            OutputError: The folder cannot be written.
        """
        from tellapart.deployment.model_files import ESTIMATOR_FILE, SAVING, replace_model
        from tellapart.fitting.card import write_card

        check_is_fitted(self, "classes_")
        description = {
            "tellapart_version": __version__,
            "parameters": self._parameters(),
            "target": self._target.to_dict(),
            "pairs": self._pairs,
            "recipe": self.recipe_.model_dump(mode="json"),
            "history": self.history_,
            "self_training": self.self_training_,
        }
        try:
            content = json.dumps(description, indent=2, default=_plain)
        except TypeError as error:
            raise DataError(
                f"the estimator cannot be written as JSON ({error})", "use classes that are str, int or bool"
            ) from error
        target = Path(folder)
        try:
            target.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target, prefix=SAVING) as temporary:
                checkpoint = Path(temporary) / "model"
                self._fitted.save(checkpoint)
                write_card(checkpoint, replace(self._fitted, recipe=self.recipe_))
                (checkpoint / ESTIMATOR_FILE).write_text(content, encoding="utf-8")
                replace_model(target, checkpoint)
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(
                f"{target} could not be written ({error.strerror or error})",
                "free some disk space, or choose another folder",
            ) from error

    def _parameters(self) -> dict[str, Any]:
        """Returns the parameters as JSON can hold them, with the seed that was drawn."""
        parameters = self.get_params() | {"random_state": self.recipe_.seed}
        if isinstance(self.label_texts, Mapping):
            parameters["label_texts"] = {str(label): texts for label, texts in self.label_texts.items()}
        return parameters

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads an estimator that `save` wrote, or the model of a run of `tellapart train`.

        The estimator of a run predicts classes as strings, or lists of them for multi-label tasks. Its parameters are
        the values of the run, so that a clone of it trains on other rows as the run did.

        Args:
            folder: The folder given to `save`; or a run folder, or the folder `model` in it.

        Raises:
            ModelError: The folder holds neither, or the run predicts numbers.
        """
        from tellapart.deployment.model_files import ESTIMATOR_FILE
        from tellapart.fitting.loading import load_fitted, run_folder

        run = run_folder(folder)
        if run is not None and not (Path(folder) / ESTIMATOR_FILE).is_file():
            return cls._of_run(load_fitted(folder), load_recipe(run / "recipe.yaml"))
        try:
            description = json.loads((Path(folder) / ESTIMATOR_FILE).read_text(encoding="utf-8"))
            estimator = cls(**description["parameters"])
            estimator._target = Target.from_dict(description["target"])
            estimator._pairs = description["pairs"]
            estimator.recipe_ = validated(description["recipe"])
            estimator.history_ = description["history"]
            estimator.self_training_ = description.get("self_training")  # files of 0.1 have none
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{folder} holds no saved TextClassifier (no readable {ESTIMATOR_FILE})",
                "give a folder that TextClassifier.save or tellapart train wrote",
            ) from error
        estimator.classes_ = estimator._target.classes
        estimator._fitted = load_fitted(folder)
        return estimator

    @classmethod
    def _of_run(cls, fitted: Any, recipe: Recipe) -> Self:
        if fitted.labels.regression:
            raise ModelError(
                "the model of the run predicts numbers, and TextClassifier classes", "use tellapart.predict"
            )
        estimator = cls(**run_parameters(recipe))
        form: Form = "lists" if fitted.labels.multi_label else "classes"
        estimator._target = Target(form, np.array(fitted.labels.names))
        estimator._pairs = None if fitted.columns is None else fitted.columns.text_pair is not None
        estimator.recipe_, estimator.history_, estimator.self_training_ = recipe, [], None
        estimator.classes_, estimator._fitted = estimator._target.classes, fitted
        return estimator

    def __getstate__(self) -> dict[str, Any]:
        """Returns the state with the model as the files of its checkpoint: modules with hooks cannot be pickled."""
        state = dict(super().__getstate__())
        if "_fitted" in state:
            state["_fitted"] = _files(state["_fitted"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Sets the state, with the model from the files of its checkpoint."""
        if "_fitted" in state:
            state = {**state, "_fitted": _from_files(state["_fitted"])}
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False  # the tag is for numbers; (N, 2) texts are accepted
        tags.classifier_tags.multi_label = True
        tags.non_deterministic = self.random_state is None
        return tags

    def _recipe(self) -> Recipe:
        """Returns the recipe: the method's defaults, then the parameters, then `settings`."""
        state = self.random_state
        seed = (
            int(state) if isinstance(state, Integral) else int(check_random_state(state).randint(2**31 - 1))
        )
        values = {path: getattr(self, name) for name, path in ESTIMATOR_PLACES.items() if name != "method"}
        values |= {"data.validation_share": self.validation_share or None, "seed": seed}
        if isinstance(self.label_texts, Mapping):
            values["data.label_texts"] = {str(label): texts for label, texts in self.label_texts.items()}
        if self.method == "tfidf":
            del values["encoder.name"]
        given = {path: value for path, value in values.items() if value is not None} | (self.settings or {})
        return with_values(
            method_recipe(self.method), [assignment(path, value) for path, value in given.items()]
        )

    def _share(self, recipe: Recipe) -> float:
        """Returns the share of the rows to validate on; 0, which no recipe has, if only the parameter is given so."""
        given = self.validation_share or "data.validation_share" in (self.settings or {})
        return recipe.data.validation_share if given else 0.0

    def _logits(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "classes_")
        return np.asarray(self._fitted.scores(TextSplit(*texts_of(X, pairs=self._pairs))))


def _plain(value: Any) -> Any:
    """Converts a NumPy value or a path for JSON."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def _files(fitted: Any) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(Path(folder) / "model")
        model = Path(folder) / "model"
        files = (file for file in model.rglob("*") if file.is_file())
        return {file.relative_to(model).as_posix(): file.read_bytes() for file in files}


def _from_files(files: dict[str, bytes]) -> Any:
    from tellapart.fitting.loading import load_fitted

    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            file = Path(folder) / name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
        return load_fitted(folder)
