"""Explanations in answers: those of `tellapart explain`, within limits."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

import tellapart
from tellapart.data.examples import SCORE, LabelSpace, TextSplit
from tellapart.encoders.precision import bf16_copy
from tellapart.errors import ModelError
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.loading import load_fitted
from tellapart.inspection import word_effects
from tellapart.serving.explaining import Explainer, in_float32
from tellapart.training.tfidf import TfidfClassifier

pytest.importorskip("captum")

CLASSES = ("expired", "lost", "stolen")
TEXT, PAIR = "my card was stolen", "lost, on monday"


def ask(client: Any, status: int = 200, texts: Any = TEXT, **body: Any) -> Any:
    answer = client.post("/v1/classify", json={"texts": texts, "explain": True, **body})
    assert answer.status_code == status, answer.text
    return answer.json()["answers" if status == 200 else "error"]


def check(explanation: dict[str, Any], wanted: Any, text: str, pair: str = "") -> None:
    """The numbers of `tellapart explain`, whose integral has more points where 32 leave an error."""
    assert explanation["label"] == (None if wanted.regression else wanted.label)
    assert (explanation["against"], explanation["attribution"]) == (wanted.against, wanted.attribution)
    assert [one["word"] for one in explanation["words"]] == list(wanted.words)
    effects = [one["effect"] for one in explanation["words"]]
    size = sum(map(abs, wanted.effects))
    assert effects == pytest.approx(list(wanted.effects), abs=0.03 * size)
    assert explanation["output"] == pytest.approx(wanted.output, abs=1e-4)
    for one in explanation["words"]:
        source = {"text": text, "text_pair": pair}[one["column"]]
        assert source[one["start"] : one["end"]] == one["word"]


def test_words_decide_as_explain_says(client, run_folder):
    service = client(precision="fp32")
    answers = ask(service, texts=[TEXT, " ", "lost"])
    assert [one["explanation"] is None for one in answers] == [False, True, False]
    for text, answer in ((TEXT, answers[0]), ("lost", answers[2])):
        (wanted,) = tellapart.explain(run_folder, text)
        check(answer["explanation"], wanted, text)
        assert answer["explanation"]["label"] == answer["predicted_label"]
    (answer,) = ask(service, text_pairs=PAIR)
    (wanted,) = tellapart.explain(run_folder, [(TEXT, PAIR)])
    check(answer["explanation"], wanted, TEXT, PAIR)
    assert "explanation" not in service.post("/v1/classify", json={"texts": TEXT}).json()["answers"][0]
    assert "tellapart_explaining_seconds_count 3.0" in service.get("/metrics").text


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression", "tfidf"])
def test_every_kind_of_model_is_explained(client, write_model, tickets, tmp_path, kind):
    run = tmp_path / "run"
    if kind == "tfidf":
        labels = LabelSpace(CLASSES)
        split = TextSplit([text for text, _ in tickets], labels=[label for _, label in tickets])
        Fitted(TfidfClassifier.fit(split, labels), labels).save(run / "model")
    else:
        write_model(run, labels=LabelSpace((SCORE,) if kind == "regression" else CLASSES, kind))
    (answer,) = ask(client(run, precision="fp32"))
    (wanted,) = tellapart.explain(run, TEXT)
    check(answer["explanation"], wanted, TEXT)


def test_a_model_in_bf16_is_explained_in_float32(run_folder):
    fitted = load_fitted(run_folder)
    half = Fitted(
        type(fitted.scorer)(bf16_copy(fitted.model), fitted.tokenizer, fitted.max_length), fitted.labels
    )
    exact = in_float32(half)
    assert in_float32(exact) is exact
    assert {str(one.dtype) for one in exact.model.parameters()} == {"torch.float32"}
    assert any(str(one.dtype) == "torch.bfloat16" for one in half.model.parameters())


def test_without_captum_one_sentence_says_what_is_missing(client, monkeypatch):
    service = client()
    monkeypatch.setattr(word_effects, "has_captum", lambda: False)
    sentence = ask(service, 501)
    assert "captum" in sentence
    assert "tellapart[explain]" in sentence
    assert service.post("/v1/classify", json={"texts": TEXT}).status_code == 200


def test_an_export_is_not_explained():
    with pytest.raises(ModelError, match="exported model has no gradients"):
        Explainer(SimpleNamespace(model=object(), tokenizer=None))


def test_explanations_have_limits_of_their_own(client):
    service = client(max_explain=2, max_explain_characters=20, max_explain_requests=1)
    assert "3 texts are to be explained, and 2" in ask(service, 413, texts=["a", "b", "c"])
    assert "21 characters is to be explained, and 20" in ask(service, 422, texts="x" * 21)
    assert "21 characters" in ask(service, 422, texts="x", text_pairs="x" * 21)
    state = service.app.state.service
    with state._place_to_explain():
        assert "explanations" in ask(service, 429)
        assert service.post("/v1/classify", json={"texts": ["x" * 21] * 3}).status_code == 200
    assert ask(service)[0]["explanation"]
    assert "gives no explanations" in ask(client(max_explain=0), 501)


def test_an_explanation_that_takes_too_long_is_given_up_and_leaves_its_place(client, monkeypatch):
    service = client(timeout=0.5, max_explain_requests=1)
    waiting: list[Future] = []

    def never(_: Any) -> Future:
        waiting.append(Future())
        return waiting[-1]

    with monkeypatch.context() as patched:
        patched.setattr(service.app.state.service.batcher, "call", never)
        assert "0.5 seconds" in ask(service, 504)
        assert "0.5 seconds" in ask(service, 504)
    assert all(one.cancelled() for one in waiting)
