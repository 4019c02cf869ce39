"""What a playground answers: HTML for a text, whatever page it stands in."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tellapart.data.examples import TextSplit
from tellapart.errors import DataError, TellapartError, UserError
from tellapart.fitting.loading import run_folder
from tellapart.listening import is_loopback
from tellapart.playground.examples import Example, wrong_examples
from tellapart.playground.model import PlaygroundModel, load_model
from tellapart.playground.page import (
    NearestPart,
    WordsPart,
    answers_html,
    heading_html,
    message_html,
    reasons_html,
    words_part,
)
from tellapart.playground.settings import PlaygroundSettings
from tellapart.playground.training_texts import TrainingTexts, training_texts

_LOG = logging.getLogger("tellapart.playground")


@dataclass(frozen=True)
class Playground:
    """One model or two, and their training texts.

    Args:
        settings: The settings.
        models: The models.
        trained: The training texts of each; the same object where they are the same.
        pairs: Whether texts are pairs.
    """

    settings: PlaygroundSettings
    models: Sequence[PlaygroundModel]
    trained: Sequence[TrainingTexts]
    pairs: bool

    @property
    def heading(self) -> str:
        """The heading of the page, as HTML."""
        return heading_html(local=is_loopback(self.settings.host))

    def examples(self) -> list[Example]:
        """Returns a few texts that the first model with a run folder predicted wrongly."""
        for model in self.models:
            folder = run_folder(model.name)
            found = [] if folder is None else wrong_examples(folder / "errors.json", pairs=self.pairs)
            if found:
                return found
        return []

    def answer(self, text: str, second: str = "") -> str:
        """Returns the answers to a text as HTML, or why there is none; empty for an empty text.

        Args:
            text: The text.
            second: The second text of a pair.
        """
        try:
            row = self._row(text, second)
            if row is None:
                return ""
            answers = [model.answer(row, self.settings.top) for model in self.models]
            return answers_html(self.models, answers)
        except Exception as error:
            return _failure(error)

    def reasons(self, text: str, second: str = "") -> Iterator[str]:
        """Yields the explanations of the answers as HTML: first the words, then also the nearest training texts.

        The nearest ones of the first text take long, as the vectors of all training texts are computed.
        """
        try:
            row = self._row(text, second)
            if row is None:
                yield ""
                return
            words = [(model.name, _words(model, row)) for model in self.models]
            named = self._named_texts()
            waiting = NearestPart("The vectors of the training texts are computed, once …")
            known = [(name, NearestPart(one.missing) if one.missing else waiting) for name, one in named]
            yield reasons_html(words, known)
            if not all(one.missing for _, one in named):
                yield reasons_html(words, [(name, _nearest(one, row)) for name, one in named])
        except Exception as error:
            yield _failure(error)

    def _named_texts(self) -> list[tuple[str, TrainingTexts]]:
        """Returns the training texts by the name of the model; without a name if they are those of all models."""
        first = self.trained[0]
        if all(one is first for one in self.trained):
            return [("", first)]
        return [(model.name, one) for model, one in zip(self.models, self.trained, strict=True)]

    def _row(self, text: str, second: str) -> TextSplit | None:
        """Returns a text as a split of one row; None for an empty one.

        Raises:
            DataError: A text is too long, or no valid Unicode.
        """
        texts = [text, second] if self.pairs else [text]
        most = self.settings.max_text_characters
        for one in texts:
            if len(one) > most:
                raise DataError(
                    f"the text has {len(one):,} characters, and {most:,} are the maximum",
                    "shorten it, or start the playground with a larger --max-text-characters",
                )
            try:
                one.encode()
            except UnicodeEncodeError:
                raise DataError(
                    "the text has half a surrogate pair, which is no character", "type it again"
                ) from None
        if not any(map(str.strip, texts)):
            return None
        return TextSplit([text], [second] if self.pairs else None)


def load_playground(settings: PlaygroundSettings) -> Playground:
    """Loads the models and their training texts.

    Raises:
        ModelError: There is no classifier.
        UserError: One model reads pairs and the other single texts; or the file with training texts cannot be read.
        MissingDependencyError: A model is an export, and ONNX Runtime is not installed.
    """
    models = [load_model(name, settings.precision) for name in settings.models]
    pairs = _reads_pairs(models) if settings.pairs is None else settings.pairs
    trained: list[TrainingTexts] = []
    for model in models:
        found = training_texts(model.name, model.fitted, settings.data)
        trained.append(next((one for one in trained if one.equals(found)), found))
    return Playground(settings, models, trained, pairs)


def _reads_pairs(models: Sequence[PlaygroundModel]) -> bool:
    """Returns whether models were trained on pairs; models of which nothing is known read what the other reads."""
    known = {
        model.name: model.fitted.columns.text_pair is not None
        for model in models
        if model.fitted.columns is not None
    }
    if len(set(known.values())) > 1:
        (one, other) = sorted(known, key=lambda name: known[name])
        raise UserError(
            f"{other} was trained on pairs of texts, and {one} on single texts", "give one of them"
        )
    return any(known.values())


def _words(model: PlaygroundModel, row: TextSplit) -> WordsPart:
    try:
        return words_part(model.words(row))
    except TellapartError as error:
        return WordsPart(message=_sentence(error))


def _nearest(trained: TrainingTexts, row: TextSplit) -> NearestPart:
    if trained.missing:
        return NearestPart(trained.missing)
    found = trained.nearest(row)
    return NearestPart(trained.note, found)


def _failure(error: Exception) -> str:
    """Returns what is said of an error; the log gets the place of an unknown one, never its message or the text."""
    if isinstance(error, TellapartError):
        return message_html(_sentence(error))
    place = traceback.extract_tb(error.__traceback__)[-1]
    _LOG.error("%s at %s:%s", type(error).__name__, place.filename, place.lineno)
    return message_html("This text cannot be answered: the terminal of the playground says where it failed.")


def _sentence(error: TellapartError) -> str:
    sentence = str(error)
    return sentence[:1].upper() + sentence[1:]
