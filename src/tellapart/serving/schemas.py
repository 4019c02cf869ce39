"""Requests and answers of a service, and the checks of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tellapart.data.reading.columns import check_form
from tellapart.errors import DataError, key_path
from tellapart.serving.model import ServedModel, Text
from tellapart.serving.settings import ServeSettings

MOST_TOP_CLASSES = 100_000
"""Most classes that the answers to a request list in `top`, over all of its texts."""

# The first wrong text is enough to refuse a request: a body of a megabyte has room for half a million.
_Texts = str | Annotated[list[str], Field(fail_fast=True)]


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        status: The HTTP status.
        cause: As of `TellapartError`.
        remedy: As of `TellapartError`.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, cause: str, remedy: str, headers: dict[str, str] | None = None) -> None:
        self.status, self.headers = status, headers or {}
        super().__init__(f"{cause}: {remedy}.")


class ClassifyRequest(BaseModel):
    """Texts to classify."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"texts": ["my card was stolen", "my card is missing"], "top_k": 2}]},
    )

    texts: _Texts = Field(description="One text, or a list of texts.")
    text_pairs: _Texts | None = Field(
        None, description="For models of pairs: the second text, or a list of one second text per text."
    )
    top_k: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Number of the most probable classes to return with each answer, with their probabilities. The "
        f"answers to a request list at most {MOST_TOP_CLASSES:,} classes.",
    )
    explain: bool = Field(
        False,
        description="Whether to return with each answer which words decide for it. It takes longer, and only a few "
        "short texts a request are explained.",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_unknown_key(cls, body: Any) -> Any:
        """Keeps one of the unknown keys, for which the request is refused, as of wrong texts."""
        if not isinstance(body, dict) or len(body) <= len(cls.model_fields) + 1:
            return body
        unknown = next(key for key in body if key not in cls.model_fields)
        return {key: value for key, value in body.items() if key in cls.model_fields or key == unknown}


class ClassProbability(BaseModel):
    """A class and its probability."""

    label: str
    probability: float = Field(description="0 to 1.")


class WordEffect(BaseModel):
    """A word and its effect."""

    word: str
    effect: float = Field(description="What it adds to `output`; positive for words that speak for `label`.")
    column: str = Field(description="`text`, or `text_pair` for a word of the second text.")
    start: int = Field(description="Its first character.")
    end: int = Field(description="The character after its last one.")


class Explanation(BaseModel):
    """The words that decide for an answer, as `tellapart explain` computes them."""

    label: str | None = Field(
        description="The class that is explained: the predicted one, of multi-label models the most probable one; "
        "null for regression."
    )
    against: str | None = Field(
        description="The most probable other class, whose logit is subtracted; null for multi-label and regression "
        "models."
    )
    attribution: str = Field(description="`gradients` (integrated), or `coefficients` of a tfidf model.")
    output: float = Field(
        description="The explained number: the logit of `label` minus that of `against`, or the predicted number."
    )
    baseline: float | None = Field(
        description="The same without the words: the effects add up to `output` minus `baseline`, about."
    )
    words: list[WordEffect] = Field(description="The words, in the order of the text.")


class Answer(BaseModel):
    """The prediction for one text: the columns that `tellapart predict` adds."""

    model_config = ConfigDict(extra="allow")

    predicted_label: str | list[str] | None = Field(
        None, description="The class; for multi-label models all labels that reach their threshold."
    )
    probability: float | list[float] | None = Field(
        None, description="Its probability, 0 to 1; one per label."
    )
    predicted_score: float | None = Field(None, description="Regression models: the predicted number.")
    top: list[ClassProbability] | None = Field(None, description="The `top_k` most probable classes.")
    explanation: Explanation | None = Field(
        None, description="With `explain`: the words that decide; null for a text without words."
    )


class ClassifyResponse(BaseModel):
    """Answers, in the order of the texts."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "3f2a9c1b7d04",
                    "answers": [
                        {
                            "predicted_label": "stolen_card",
                            "probability": 0.93,
                            "top": [
                                {"label": "stolen_card", "probability": 0.93},
                                {"label": "lost_card", "probability": 0.04},
                            ],
                        }
                    ],
                }
            ]
        }
    )

    model: str = Field(description="Version of the model that gave all of the answers.")
    answers: list[Answer]


class ModelResponse(BaseModel):
    """The model that answers."""

    version: str = Field(description="Identifies the model's files: digits of their SHA-256.")
    name: str = Field(
        description="Name of the run's or the model's folder; of a symbolic link that of its target."
    )
    kind: str = Field(description="Kind of model.")
    problem_type: str = Field(
        description="`single_label_classification`, `multi_label_classification` or `regression`."
    )
    classes: list[str] = Field(description="Names of the classes; none for regression.")
    order: list[str] | None = Field(description="The classes from first to last, if they are ordered.")
    max_length: int | None = Field(description="Longest input in tokens; longer texts are truncated.")
    temperature: float | None = Field(None, description="Divisor of the logits, from calibration.")
    temperature_folded: bool | None = Field(None, description="Whether the weights include the temperature.")
    thresholds: dict[str, float] | None = Field(None, description="Multi-label: threshold of each label.")
    method: str | None = Field(description="Method of the training, if the run folder is there.")
    metrics: dict[str, dict[str, Any]] = Field(
        description="Split to metrics, as in `metrics.json` of the run."
    )
    card: str | None = Field(description="The model card, `README.md` in the model's folder.")
    versions: dict[str, str] = Field(description="Versions of the packages of the service.")
    loaded_at: str = Field(description="When the model was loaded, UTC.")
    reload_failure: str | None = Field(
        None, description="Why the files of now could not be loaded, if an older model answers."
    )


class ReadyResponse(BaseModel):
    """Whether requests are answered."""

    ready: bool
    model: str = Field(description="Version of the model that answers.")
    reload: str = Field(description="`failed` if the files of now could not be loaded, else `ok`.")


class ErrorResponse(BaseModel):
    """A request that was not answered."""

    error: str = Field(description="One sentence: the cause, then the remedy.")
    request_id: str = Field(description="Identifies the request in the log; also the header `X-Request-ID`.")


def texts_of(request: ClassifyRequest, model: ServedModel, settings: ServeSettings) -> list[Text]:
    """Returns the rows of a request.

    Raises:
        RequestError: There are no texts or too many, one is too long, the pairs do not fit them or the model, or
            there are no classes to list or too many.
    """
    texts = _listed(request.texts)
    pairs = None if request.text_pairs is None else _listed(request.text_pairs)
    if not texts:
        raise RequestError(422, "texts is empty", "send at least one text")
    if pairs is not None and len(pairs) != len(texts):
        raise RequestError(
            422, f"there are {len(texts)} texts and {len(pairs)} text_pairs", "send one second text per text"
        )
    try:
        check_form(pairs is not None, model.fitted.columns)
    except DataError as error:
        raise RequestError(422, error.cause, f"{error.remedy} (text_pairs)") from None
    if len(texts) > settings.max_queue:
        raise RequestError(
            413,
            f"the request has {len(texts)} texts, and {settings.max_queue} is the maximum",
            "send them in several requests",
        )
    for name, column in (("texts", texts), ("text_pairs", pairs or [])):
        longest = max(map(len, column), default=0)
        if longest > settings.max_text_characters:
            raise RequestError(
                422,
                f"{name} has a text of {longest} characters, and {settings.max_text_characters} is the maximum",
                "shorten it; models read no more than their first few hundred words",
            )
        if not _is_unicode(column):
            raise RequestError(
                422,
                f"{name} has a text with half a surrogate pair, which is no character",
                "send valid Unicode",
            )
    if request.explain:
        _check_explained(texts, pairs, settings)
    if request.top_k and model.fitted.labels.regression:
        raise RequestError(422, "top_k needs classes, and the model predicts numbers", "leave out top_k")
    top_classes = len(texts) * min(request.top_k, len(model.fitted.labels))
    if top_classes > MOST_TOP_CLASSES:
        raise RequestError(
            413,
            f"the answers would list {top_classes:,} classes, and {MOST_TOP_CLASSES:,} is the maximum",
            "send fewer texts at once, or a smaller top_k",
        )
    seconds: Sequence[str | None] = [None] * len(texts) if pairs is None else pairs
    return [Text(text, pair, request.top_k) for text, pair in zip(texts, seconds, strict=True)]


def _check_explained(texts: Sequence[str], pairs: Sequence[str] | None, settings: ServeSettings) -> None:
    """Checks the limits of requests with explanations."""
    most, longest = settings.max_explain, max(map(len, (*texts, *(pairs or ()))))
    if most == 0:
        raise RequestError(501, "this service gives no explanations", "leave out explain")
    if len(texts) > most:
        raise RequestError(
            413,
            f"{len(texts)} texts are to be explained, and {most} is the maximum",
            "send them in several requests",
        )
    if longest > settings.max_explain_characters:
        raise RequestError(
            422,
            f"a text of {longest} characters is to be explained, and {settings.max_explain_characters} is the "
            "maximum",
            "shorten it, or leave out explain",
        )


def invalid_request(errors: Sequence[Any]) -> RequestError:
    """Explains the errors that pydantic found in a body; no value of the body is quoted."""
    first = errors[0]
    location = [part for part in first["loc"] if part != "body"]
    if first["type"] == "json_invalid":
        return RequestError(422, "the body is not valid JSON", 'send an object such as {"texts": ["a text"]}')
    if not location:
        return RequestError(
            422,
            "the body is not a JSON object",
            'send one such as {"texts": ["a text"]}, with the header Content-Type: application/json',
        )
    key = key_path(ClassifyRequest, location)
    if first["type"] == "extra_forbidden":
        return RequestError(
            422, "the body has an unknown key", "send only " + ", ".join(ClassifyRequest.model_fields)
        )
    if first["type"] == "missing":
        return RequestError(422, f"the body has no {key}", f"send {key}")
    message = first["msg"][0].lower() + first["msg"][1:]
    return RequestError(422, f"{key} cannot be used ({message})", "see /docs for the form of a request")


def _is_unicode(texts: Sequence[str]) -> bool:
    """Whether texts have no lone surrogates, which JSON can escape and tokenisers cannot read."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
