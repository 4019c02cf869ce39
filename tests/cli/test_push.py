"""`tellapart push` against a server on this machine that answers in the Hub's protocol."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

TOKEN = "hf_a_secret_token"
LEFT_OUT = {
    "checkpoint-7/model.safetensors": "is no file of a model",
    "customers.csv": "is no file of a model",
    "estimator.json": "with paths and label texts",
    "objective.safetensors": "is no file of a model",
    "optimizer.pt": "can run code",
    "training_args.bin": "can run code",
    "vectors.PKL": "can run code",
}


class _Hub(BaseHTTPRequestHandler):
    """Creates repositories, takes small files within a commit and large ones by git LFS."""

    server: Any

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        name = self.path.removeprefix("/api/models/")
        self._answer({"id": name, "private": self.server.private, "siblings": [], "tags": []})

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.objects[self.path.rpartition("/")[2]] = body
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub, place = self.server, f"http://127.0.0.1:{self.server.server_port}"
        if hub.refusal is not None:
            self._answer({"error": "no"}, hub.refusal)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer({"error": "Invalid username or password."}, 401)
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            hub.created.append(asked)
            self._answer({"url": f"{place}/{asked['organization']}/{asked['name']}"}, 200)
        elif self.path == "/api/validate-yaml":
            ok = "broken" not in json.loads(body)["content"]
            errors = [] if ok else [{"message": "broken"}]
            self._answer({"errors": errors, "warnings": []}, 200 if ok else 400)
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            modes = {True: "lfs", False: "regular"}
            self._answer(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "uploadMode": modes[file["path"].endswith(".safetensors")],
                            "shouldIgnore": False,
                        }
                        for file in files
                    ]
                }
            )
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{place}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": objects})
        elif "/commit/" in self.path:
            hub.commits.append([json.loads(line) for line in body.splitlines()])
            repository = self.path.removeprefix("/api/models/").partition("/commit/")[0]
            self._answer({"commitUrl": f"{place}/{repository}/commit/{'1' * 40}", "commitOid": "1" * 40})
        else:
            self._answer({"error": self.path}, 404)


@pytest.fixture
def hub(monkeypatch) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    server.created, server.commits, server.objects, server.private, server.refusal = [], [], {}, True, None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(tmp_path) -> Path:
    """A run folder with a model, and what else runs write."""
    folder = tmp_path / "run"
    (folder / "model" / "tokenizer-0").mkdir(parents=True)
    (folder / "model" / "checkpoint-7").mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer-0/vocab.txt", ".saving", *LEFT_OUT):
        (folder / "model" / name).write_text(name)
    (folder / "model" / "model.safetensors").write_bytes(b"\x00weights\xff" * 100)
    (folder / "model" / "README.md").write_text("---\nlicense: mit\n---\n# A card\n")
    for name in ("errors.json", "predictions.parquet", "report.html", "recipe.yaml"):
        (folder / name).write_text("texts of users")
    return folder


SENT = ["README.md", "config.json", "model.safetensors", "tokenizer-0/vocab.txt", "tokenizer.json"]


def _committed(hub: Any) -> dict[str, bytes]:
    (commit,) = hub.commits
    found = {}
    for line in commit[1:]:
        value = line["value"]
        content = base64.b64decode(value["content"]) if line["key"] == "file" else hub.objects[value["oid"]]
        found[value["path"]] = content
    return found


def test_the_files_of_the_model_and_no_others_arrive_in_a_private_repository(tellapart, hub, run):
    finished = tellapart("push", run, "me/tickets", "--yes")
    assert finished.code == 0, finished.err
    assert [(one["organization"], one["name"], one["visibility"]) for one in hub.created] == [
        ("me", "tickets", "private")
    ]
    assert _committed(hub) == {name: (run / "model" / name).read_bytes() for name in SENT}
    listed = [line.split()[-1] for line in finished.err.splitlines() if " bytes  " in line]
    assert listed == SENT
    assert finished.out == f"written to http://127.0.0.1:{hub.server_port}/me/tickets\n"
    assert TOKEN not in finished.out + finished.err
    assert "words of the training texts" not in finished.err
    for name, reason in LEFT_OUT.items():
        (line,) = [line for line in finished.err.splitlines() if f"Left out: {name} " in line]
        assert reason in line


def test_further_files_are_sent_only_if_they_are_named(tellapart, hub, run):
    finished = tellapart("push", run, "me/tickets", "--yes", "--include", "report.html", "--json")
    assert finished.code == 0, finished.err
    assert json.loads(finished.out)["files"] == sorted([*SENT, "report.html"])
    assert sorted(_committed(hub)) == sorted([*SENT, "report.html"])
    hub.commits.clear()
    finished = tellapart("push", run, "me/tickets", "--yes", "--include", "customers.csv")
    assert sorted(_committed(hub)) == sorted([*SENT, "customers.csv"])
    assert "Left out: customers.csv" not in finished.err
    refused = tellapart("push", run, "me/tickets", "--yes", "--include", "optimizer.pt")
    assert (refused.code, "optimizer.pt can run code when it is loaded" in refused.err) == (2, True)
    for name in ("../run/report.html", "nothing.html", "model", ".lock"):
        refused = tellapart("push", run, "me/tickets", "--yes", "--include", name)
        assert (refused.code, "no further file" in refused.err) == (2, True)


def test_without_a_terminal_nothing_is_sent_unless_yes_is_said(tellapart, hub, run):
    finished = tellapart("push", run, "me/tickets")
    assert finished.code == 2
    assert "use --yes" in finished.err
    assert hub.created == []


def test_a_link_to_a_file_elsewhere_is_refused(tellapart, hub, run, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (run / "model" / "vocab.txt").symlink_to(tmp_path / "secret")
    (run / "notes.txt").symlink_to(tmp_path / "secret")
    finished = tellapart("push", run, "me/tickets", "--yes")
    assert (finished.code, "vocab.txt is a link" in finished.err) == (2, True)
    (run / "model" / "vocab.txt").unlink()
    finished = tellapart("push", run, "me/tickets", "--yes", "--include", "notes.txt")
    assert (finished.code, "notes.txt is a link" in finished.err) == (2, True)
    assert hub.created == []


def test_a_model_whose_only_weights_are_a_pickle_is_refused(tellapart, hub, run):
    (run / "model" / "model.safetensors").unlink()
    (run / "model" / "pytorch_model.bin").write_bytes(b"a pickle")
    finished = tellapart("push", run, "me/tickets", "--yes")
    assert (finished.code, "save the model again with save_pretrained" in finished.err) == (2, True)
    assert hub.created == []


@pytest.mark.parametrize("kind", ["tfidf.json", "tellapart-textcnn"])
def test_models_with_words_of_the_training_texts_say_so_before_they_are_sent(tellapart, hub, run, kind):
    model = run / "model"
    if kind == "tfidf.json":
        (model / "config.json").rename(model / kind)
    else:
        (model / "config.json").write_text(json.dumps({"model_type": kind}))
    file = kind if kind == "tfidf.json" else "tokenizer.json"
    finished = tellapart("push", run, "me/tickets")  # not sent: there is no terminal to ask
    assert (finished.code, hub.created) == (2, [])
    assert f"{file} holds words of the training texts" in finished.err


def test_a_public_repository_needs_the_option(tellapart, hub, run):
    hub.private = False
    refused = tellapart("push", run, "me/tickets", "--yes")
    assert (refused.code, "is public: use --public" in refused.err) == (2, True)
    assert hub.commits == []
    assert tellapart("push", run, "me/tickets", "--yes", "--public").code == 0
    assert hub.created[-1]["visibility"] == "public"


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "hf auth login"), (403, "hf auth login"), (404, "check the name"), (503, "503")],
)
def test_what_the_server_refuses_is_one_sentence(tellapart, hub, run, status, message):
    hub.refusal = status
    finished = tellapart("push", run, "me/tickets", "--yes")
    _one_error(finished, message)


def _one_error(finished: Any, message: str) -> None:
    assert finished.code == 2
    lines = finished.err.splitlines()
    errors = [line for line in lines if " bytes" not in line and not line.startswith("note: Left out: ")]
    assert len(errors) == 2  # where to, and the error
    assert errors[1].startswith("error: ")
    assert message in errors[1]
    assert TOKEN not in finished.err


def test_a_wrong_token_and_metadata_that_the_hub_refuses_are_said(tellapart, hub, run, monkeypatch):
    (run / "model" / "README.md").write_text("---\nbroken: mit\n---\n")
    _one_error(tellapart("push", run, "me/tickets", "--yes"), "metadata of README.md")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    _one_error(tellapart("push", run, "me/tickets", "--yes"), "hf auth login")


def test_without_network_offline_or_with_a_bad_name_it_is_one_sentence(tellapart, hub, run, monkeypatch):
    _one_error(tellapart("push", run, "a/b/c", "--yes"), "owner/name")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    _one_error(tellapart("push", run, "me/tickets", "--yes"), "check the network")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    _one_error(tellapart("push", run, "me/tickets", "--yes"), "HF_HUB_OFFLINE")


def test_a_folder_without_a_model_is_refused(tellapart, hub, tmp_path):
    finished = tellapart("push", tmp_path, "me/tickets", "--yes")
    assert (finished.code, "holds no model" in finished.err) == (2, True)
