"""TF-IDF baseline with a linear SVM or ridge regression.

scikit-learn is imported where it is used: this module is loaded with every classifier.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from safetensors.numpy import load_file, save_file

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import DataError, ModelError, TellapartWarning, UserError
from tellapart.files import unreadable_file
from tellapart.training.progress import Progress

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

CONFIG_FILE = "tfidf.json"
WEIGHTS_FILE = "tfidf.safetensors"

MANY_CLASSES, MOST_WEIGHTS = 1_000, 2**28
"""With more classes than the first, the weights, one per class and term, are limited to the second: 1 GiB."""

# Words for scripts with spaces; character n-grams for Chinese and Japanese.
_ANALYSERS = {"word": (1, 2), "char": (1, 3)}


class TfidfClassifier:
    """A linear SVM, or ridge regression, on TF-IDF features of word or character n-grams.

    Args:
        labels: The classes.
        analyser: `word` (1- and 2-grams) or `char` (1- to 3-grams).
        vocabulary: N-gram to column.
        idf: Inverse document frequencies (V,).
        weight: (K, V), float64, or float32 with more than `MANY_CLASSES` classes.
        bias: (K,), of the same type.
    """

    kind = "a tfidf model"
    tokenizer: Any = None
    max_length = 0  # no limit

    def __init__(
        self,
        labels: LabelSpace,
        analyser: str,
        vocabulary: dict[str, int],
        idf: np.ndarray,
        weight: np.ndarray,
        bias: np.ndarray,
    ) -> None:
        self.labels, self.analyser = labels, analyser
        self.vectoriser = _vectoriser(analyser, vocabulary)
        self.vectoriser.idf_ = idf
        # By columns: its transpose, of which scoring takes a row per term of a text, is then used without a copy.
        self.weight, self.bias = np.asfortranarray(weight), bias

    @classmethod
    def fit(
        cls,
        split: TextSplit,
        labels: LabelSpace,
        *,
        regularisation: float = 1.0,
        seed: int = 0,
        weights: np.ndarray | None = None,
    ) -> TfidfClassifier:
        """Fits the model to a labelled split.

        With more than `MANY_CLASSES` classes, terms beyond `MOST_WEIGHTS` are left out, the rarest first, with a
        warning.

        Args:
            split: Texts (pairs are joined) and labels.
            labels: The classes.
            regularisation: The SVM's C; for regression the inverse of the ridge penalty.
            seed: Of the solver.
            weights: Weight of each row (N,); None if all are 1.

        Raises:
            DataError: The texts contain no words.
        """
        from sklearn.linear_model import Ridge
        from sklearn.svm import LinearSVC

        texts, analyser = [*map(" ".join, zip(*split.columns, strict=True))], _analyser(split)
        many = len(labels) > MANY_CLASSES
        vectoriser = _vectoriser(analyser, terms=MOST_WEIGHTS // len(labels) if many else None)
        try:
            features = vectoriser.fit_transform(texts)
        except ValueError:
            raise DataError("the training texts contain no words", "check the text column") from None
        if features.shape[1] == vectoriser.max_features:
            warnings.warn(
                f"With {len(labels):,} classes, tfidf uses the {features.shape[1]:,} most frequent terms: its model "
                "has a weight per class and term.",
                TellapartWarning,
                stacklevel=2,
            )
        assert split.labels is not None
        gold = labels.encode(split.labels)
        svm = LinearSVC(C=regularisation, random_state=seed)
        kind = np.float32 if many else np.float64
        weight = np.zeros((len(labels), features.shape[1]), dtype=kind, order="F")
        bias = np.full(len(labels), -1.0, dtype=kind)
        if labels.regression:
            ridge = Ridge(alpha=1 / regularisation).fit(features, gold.astype(np.float64), weights)
            weight[:], bias[:] = ridge.coef_, ridge.intercept_
        elif labels.multi_label:
            present = np.flatnonzero((gold.sum(0) > 0) & (gold.sum(0) < len(gold)))
            bias[gold.all(0)] = 1.0
            if len(present):
                fitted = _one_vs_rest(svm, features, gold[:, present], weights)
                weight[present] = np.vstack([part.coef_ for part in fitted.estimators_])
                bias[present] = np.concatenate([part.intercept_ for part in fitted.estimators_])
        else:
            with warnings.catch_warnings():
                warnings.filterwarnings(
                    "ignore", "The number of unique classes"
                )  # few rows per class are meant
                svm.fit(features, gold, weights)
            pair = len(svm.classes_) == 2  # scikit-learn has one row for two classes
            weight[svm.classes_] = np.vstack([-svm.coef_, svm.coef_]) if pair else svm.coef_
            bias[svm.classes_] = np.concatenate([-svm.intercept_, svm.intercept_]) if pair else svm.intercept_
        vocabulary = {term: int(column) for term, column in vectoriser.vocabulary_.items()}
        return cls(labels, analyser, vocabulary, vectoriser.idf_, weight, bias)

    @property
    def model(self) -> TfidfClassifier:
        """Itself."""
        return self

    def tokenised(self, split: TextSplit) -> None:
        """Returns None: plain texts are scored."""

    def scores(self, split: TextSplit, rows: Any = None, *, progress: Progress = None) -> np.ndarray:
        """Computes the SVM's uncalibrated margins or the predicted numbers, float32 (N, K)."""
        if progress is not None:
            progress(len(split))
        features = self.vectoriser.transform(map(" ".join, zip(*split.columns, strict=True)))
        scores = features.astype(self.weight.dtype, copy=False) @ self.weight.T
        scores += self.bias  # in place: with many classes these are the largest arrays
        return np.asarray(scores, dtype=np.float32)

    def in_precision(
        self, precision: Literal["auto", "fp32", "bf16"], *, regression: bool
    ) -> TfidfClassifier:
        """Returns itself; refuses bf16."""
        if precision == "bf16":
            raise UserError("a tfidf model cannot be scored in bf16", "leave out --precision")
        return self

    def divide_by_temperature(self, temperature: float) -> None:
        """Divides weights and biases in place."""
        self.weight, self.bias = self.weight / temperature, self.bias / temperature

    def add_to_logits(self, shifts: np.ndarray) -> None:
        """Adds a number per class (K,) to the biases, in place."""
        self.bias = self.bias + shifts.astype(self.bias.dtype)

    def save(self, folder: str | Path) -> None:
        """Writes `tfidf.json` and `tfidf.safetensors`."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        vocabulary = self.vectoriser.vocabulary_
        content = {
            "analyser": self.analyser,
            "problem_type": self.labels.problem_type,
            "labels": list(self.labels.names),
            "terms": sorted(vocabulary, key=vocabulary.__getitem__),
        }
        (target / CONFIG_FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        arrays = {"idf": self.vectoriser.idf_, "weight": self.weight, "bias": self.bias}
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}, target / WEIGHTS_FILE
        )

    @classmethod
    def load(cls, folder: str | Path) -> TfidfClassifier:
        """Reads what `save` wrote.

        Raises:
            ModelError: The files are not readable.
        """
        source = Path(folder)
        try:
            content = json.loads((source / CONFIG_FILE).read_text(encoding="utf-8"))
            arrays = load_file(source / WEIGHTS_FILE)
            labels = LabelSpace(tuple(content["labels"]), content["problem_type"])
            vocabulary = {term: column for column, term in enumerate(content["terms"])}
            return cls(
                labels, content["analyser"], vocabulary, arrays["idf"], arrays["weight"], arrays["bias"]
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            file = unreadable_file(source)  # safetensors calls such a file missing
            if file is not None:
                raise ModelError(
                    f"there is no permission to read {file}", "change its permissions, such as chmod a+r"
                ) from error
            raise ModelError(f"{folder} holds no readable TF-IDF model", "train it again") from error


def _one_vs_rest(
    svm: LinearSVC, features: Any, gold: np.ndarray, weights: np.ndarray | None
) -> OneVsRestClassifier:
    from sklearn import config_context
    from sklearn.multiclass import OneVsRestClassifier

    if weights is None:
        return OneVsRestClassifier(svm).fit(features, gold)
    with config_context(enable_metadata_routing=True):
        model = OneVsRestClassifier(svm.set_fit_request(sample_weight=True))
        return model.fit(features, gold, sample_weight=weights)


def _vectoriser(
    analyser: str, vocabulary: dict[str, int] | None = None, terms: int | None = None
) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=analyser,
        ngram_range=_ANALYSERS[analyser],
        sublinear_tf=True,
        vocabulary=vocabulary,
        max_features=terms,
    )


def _analyser(split: TextSplit) -> str:
    """Returns `char` if most letters are kana or Han (scripts without spaces), else `word`."""
    sample = "".join(text[:200] for text in split.texts[:500])
    letters = [character for character in sample if character.isalpha()]
    unspaced = sum(
        "\u3040" <= character <= "\u30ff" or "\u4e00" <= character <= "\u9fff" for character in letters
    )
    return "char" if unspaced * 2 > len(letters) else "word"
