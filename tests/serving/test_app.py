from __future__ import annotations

import asyncio
import html
import json
import logging
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tellapart.evaluation.decision import DECISION_FILE
from tellapart.serving import app, schemas
from tellapart.serving.batching import ClosedError, QueueFullError
from tellapart.serving.gate import OPEN_PATHS
from tellapart.serving.logs import NAME, JsonLines

TOKEN = "a-token-of-24-characters"
JSON = {"content-type": "application/json"}


def classify(client: Any, **body: Any) -> Any:
    return client.post("/v1/classify", json=body)


def refused(answer: Any, status: int) -> str:
    """The sentence of an error."""
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error", "request_id"}
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    sentence = answer.json()["error"]
    assert ": " in sentence
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "no texts"),
        ({"texts": []}, "texts is empty"),
        ({"texts": 3}, "texts cannot be used"),
        ({"texts": [None]}, "texts"),
        ({"texts": "a", "top_k": True}, "top_k"),
        ({"texts": "a", "top_k": "2"}, "top_k"),
        ({"texts": "a", "top_k": -1}, "top_k"),
        ({"texts": ["a", "b"], "text_pairs": "c"}, "2 texts and 1 text_pairs"),
        ({"texts": "a", "explain": 1}, "explain"),
        ({"texts": "a", "label": "b"}, "send only texts, text_pairs, top_k, explain"),
        ({"texts": "x" * 101}, "101 characters, and 100"),
        ({"texts": "a", "text_pairs": "x" * 101}, "text_pairs has a text of 101"),
    ],
)
def test_a_body_that_is_no_request_is_refused_in_one_sentence(client, body, words):
    assert words in refused(classify(client(max_text_characters=100), **body), 422)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'"text"', b"null", b'{"texts": "\\ud800"}', b"\xff", b"[" * 9999]
)
def test_a_body_that_is_no_json_object_of_texts_is_refused(client, content):
    answer = client().post("/v1/classify", content=content, headers=JSON)
    assert answer.status_code in (400, 422)
    refused(answer, answer.status_code)


def test_sizes_are_limited(client):
    service = client(max_queue=3, max_body_bytes=2000)
    assert "4 texts, and 3 is the maximum" in refused(classify(service, texts=list("abcd")), 413)
    assert "2000 bytes" in refused(classify(service, texts="x" * 2000), 413)
    streamed = service.post("/v1/classify", content=(b"x" * 500 for _ in range(9)), headers=JSON)
    assert "2000 bytes" in refused(streamed, 413)


def test_the_classes_of_all_answers_together_are_limited(client, monkeypatch):
    monkeypatch.setattr(schemas, "MOST_TOP_CLASSES", 8)
    service = client()
    assert classify(service, texts=["a", "b"], top_k=99).status_code == 200  # the model has three classes
    assert classify(service, texts=list("abcd"), top_k=2).status_code == 200
    assert "list 9 classes, and 8" in refused(classify(service, texts=list("abc"), top_k=3), 413)


def test_large_answers_are_written_beside_other_requests(client, monkeypatch):
    texts = ["lost", 'a "quoted" text', "漢字"]
    small = classify(client(), texts=texts, top_k=2)
    threads = []
    run = asyncio.to_thread
    monkeypatch.setattr(
        app.asyncio, "to_thread", lambda call, *given: threads.append(call) or run(call, *given)
    )
    monkeypatch.setattr(app, "_LARGE", 2)
    large = classify(client(), texts=texts, top_k=2)
    assert app._answered in threads
    assert large.content == small.content


@pytest.mark.parametrize(
    "body",
    [
        {"texts": [1] * 1000},
        {"texts": "a", "text_pairs": [None] * 1000},
        {"texts": "a"} | {f"key{number}": 1 for number in range(1000)},
    ],
)
def test_a_body_with_many_errors_is_refused_for_the_first(client, body):
    with pytest.raises(ValidationError) as raised:
        schemas.ClassifyRequest.model_validate(body)
    assert raised.value.error_count() <= 2  # "texts" is no text, and its first element is none
    refused(classify(client(), **body), 422)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
_keys = st.sampled_from(["texts", "text_pairs", "top_k", "explain"]) | st.text(max_size=8)
_bodies = st.dictionaries(_keys, _values | st.lists(st.text(max_size=60), max_size=4), max_size=4)


@pytest.fixture(scope="module")
def fuzzed(run_folder):
    from fastapi.testclient import TestClient

    from tellapart.serving.app import create_app
    from tellapart.serving.model import load_model
    from tellapart.serving.settings import ServeSettings

    app = create_app(ServeSettings(str(run_folder)), load_model(str(run_folder)))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client


@settings(derandomize=True, max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_bodies.map(json.dumps) | st.text(max_size=50), st.binary(max_size=4))
def test_no_body_is_answered_with_500(fuzzed, body, tail):
    for content in (body.encode("utf-8", "surrogatepass"), body.encode("utf-8", "surrogatepass") + tail):
        answer = fuzzed.post("/v1/classify", content=content, headers=JSON)
        assert answer.status_code in (200, 400, 413, 422)
        answer.json()


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.text(), min_size=1, max_size=5))
def test_every_text_is_answered(fuzzed, texts):
    answers = fuzzed.post("/v1/classify", content=json.dumps({"texts": texts}), headers=JSON).json()[
        "answers"
    ]
    assert len(answers) == len(texts)


def test_unknown_paths_and_methods_are_errors_of_the_same_form(client):
    service = client()
    assert "/docs" in refused(service.get("/v1/clasify"), 404)
    answer = service.get("/v1/classify")
    refused(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_requests_need_a_token_but_probes_do_not(client, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}-1\n{TOKEN}-2\n")
    service = client(token_file=str(file), host="0.0.0.0")
    for headers in ({}, {"authorization": f"Bearer {TOKEN}"}, {"authorization": f"Basic {TOKEN}-1"}):
        for path in ("/v1/model", "/metrics", "/other"):
            answer = service.get(path, headers=headers)
            assert TOKEN not in refused(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
    for path in OPEN_PATHS:
        assert service.get(path).status_code == 200
    for number in (1, 2):
        headers = {"authorization": f"bearer {TOKEN}-{number}", "host": "classify.example.org"}
        assert service.get("/v1/model", headers=headers).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""])
def test_a_local_service_is_not_called_through_another_name(client, host):
    assert "localhost" in refused(client().get("/readyz", headers={"host": host}), 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1:8000", "[::1]:8000"])
def test_a_local_service_is_called_by_local_names(client, host):
    assert client().get("/readyz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(("error", "status"), [(QueueFullError, 429), (ClosedError, 503)])
def test_a_full_queue_and_a_stopping_service_ask_to_try_again(client, monkeypatch, error, status):
    def refuse(*_: Any) -> Any:
        raise error

    service = client()
    monkeypatch.setattr(service.app.state.service.batcher, "submit", refuse)
    answer = classify(service, texts="a")
    assert "try again" in refused(answer, status)
    assert answer.headers["retry-after"] == "1"


def test_a_service_whose_scoring_thread_has_ended_is_not_ready(client, monkeypatch):
    def end(*_: Any) -> Any:
        raise SystemExit

    service = client()
    assert service.get("/readyz").json()["ready"]
    monkeypatch.setattr(type(service.app.state.service.holder.current), "answers", end)
    for _ in range(2):  # in the thread, and after it
        assert "restart the service" in refused(classify(service, texts="a"), 503)
    for path in ("/readyz", "/healthz"):
        assert service.get(path).status_code == 503
    assert not service.get("/readyz").json()["ready"]


def test_an_answer_that_takes_too_long_is_given_up(client, monkeypatch):
    service = client(timeout=0.2)
    batcher = service.app.state.service.batcher
    waiting: list[Future] = []

    def never(*_: Any) -> Future:
        waiting.append(Future())
        return waiting[-1]

    monkeypatch.setattr(batcher, "submit", never)
    assert "0.2 seconds" in refused(classify(service, texts="a"), 504)
    assert waiting[0].cancelled()  # so that its texts leave the queue


def test_the_log_has_sizes_and_times_but_no_texts(client, caplog):
    service = client()
    with caplog.at_level(logging.INFO, NAME):
        service.post(
            "/v1/classify?q=secret", json={"texts": ["a secret"]}, headers={"x-request-id": "my-id.1"}
        )
        service.get("/secret")
        classify(service, texts=["a secret"], secret="a secret")
    lines = [JsonLines().format(record) for record in caplog.records if record.name == NAME]
    assert "secret" not in "".join(lines)
    request, unknown, wrong = [json.loads(line) for line in lines if '"request"' in line]
    assert (
        request.items()
        >= {"request_id": "my-id.1", "path": "/v1/classify", "status": 200, "texts": 1}.items()
    )
    assert request["seconds"] > 0
    assert request["body_bytes"] > 10
    assert (unknown["path"], wrong["status"]) == ("other", 422)


def test_an_id_that_could_forge_a_log_line_is_replaced(client):
    answer = client().get("/healthz", headers={"x-request-id": "a b\t{}"})
    assert len(answer.headers["x-request-id"]) == 32


def test_a_failure_of_the_model_does_not_quote_the_text(client, monkeypatch, caplog):
    service = client()

    def broken(_: Any, rows: Any) -> Any:
        raise RuntimeError(f"cannot read {rows}")

    monkeypatch.setattr(type(service.app.state.service.holder.current), "answers", broken)
    assert "log" in refused(classify(service, texts="a secret"), 500)
    assert "secret" not in "".join(JsonLines().format(record) for record in caplog.records)


def test_the_model_is_described(client, run_folder):
    described = client().get("/v1/model").json()
    assert described["name"] == run_folder.name
    assert described["classes"] == ["expired", "lost", "stolen"]
    assert described["metrics"] == {"test": {"accuracy": 0.5}}
    assert (described["method"], described["temperature"]) == ("cross-entropy", 2.0)
    assert described["versions"].keys() == {"tellapart", "torch", "transformers"}
    assert described["reload_failure"] is None


def test_metrics_count_requests_and_texts(client):
    service = client()
    classify(service, texts=["a", "b"])
    service.get("/no-such-path")
    counted = service.get("/metrics").text
    assert 'tellapart_requests_total{path="/v1/classify",status="200"} 1.0' in counted
    assert 'tellapart_requests_total{path="other",status="404"} 1.0' in counted
    assert "tellapart_texts_total 2.0" in counted
    assert 'tellapart_batch_texts_bucket{le="1.0"} 0.0' in counted
    assert 'tellapart_batch_texts_bucket{le="2.0"} 1.0' in counted
    assert "tellapart_queue_texts 0.0" in counted


def test_the_documentation_describes_every_path_and_loads_nothing(client):
    service = client()
    page, schema = service.get("/docs").text, service.get("/openapi.json").json()
    for path, methods in schema["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in page
    statuses = schema["paths"]["/v1/classify"]["post"]["responses"]
    assert statuses.keys() == {"200", *map(str, (400, 401, 408, 413, 421, 422, 429, 500, 501, 503, 504))}
    fields = ("texts", "text_pairs", "top_k", "explain", "answers[].top[].label")
    for field in (*fields, "answers[].explanation.words[].effect", *statuses.keys() - {"200"}):
        assert f"<td>{field}</td>" in page or f'<th scope="row">{field}</th>' in page or field in page
    assert "default-src 'none'" in html.unescape(page)
    assert "src=" not in page
    assert "<script" not in page
    example = schema["components"]["schemas"]["ClassifyRequest"]["examples"][0]
    assert classify(service, **example).status_code == 200


@pytest.mark.parametrize(
    ("columns", "body", "fault"),
    [
        (
            {"text": "text"},
            {"texts": "a", "text_pairs": "b"},
            "the model was trained on single texts: leave out",
        ),
        (
            {"text": "text", "text_pair": "other"},
            {"texts": "a"},
            "trained on pairs: give each its second text",
        ),
    ],
)
def test_texts_of_another_form_than_those_of_the_training_are_refused(
    client, write_model, tmp_path, columns, body, fault
):
    folder = write_model(tmp_path / "run")
    file = folder / "model" / DECISION_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"columns": columns}))
    answer = client(folder).post("/v1/classify", json=body)
    assert answer.status_code == 422
    assert fault in answer.json()["error"]
