"""The line that `train` prints on how to load the model in Python does so."""

from __future__ import annotations

import re
import shutil

import pytest
import transformers

import tellapart as package


@pytest.fixture
def other_encoder(tiny_encoder, tmp_path) -> str:
    return str(shutil.copytree(tiny_encoder, tmp_path / "other"))


KINDS = {
    "plain": (),
    "textcnn": ("--encoder", "textcnn"),
    "han": ("--encoder", "han"),
    "windows": ("--windows", "max", "--set", "encoder.window_length=8"),
    "fused": ("--second-encoder",),
    "tfidf": ("--method", "tfidf"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_printed_expression_loads_the_model(tellapart, ticket_file, quick, other_encoder, tmp_path, kind):
    options = [*KINDS[kind], *([other_encoder] if kind == "fused" else [])]
    given = ["--quiet"] if kind == "tfidf" else [*quick, "--epochs", "1", *options]
    given += options if kind == "tfidf" else []
    done = tellapart("train", ticket_file, *given, "--output", tmp_path / "run")
    assert done.code == 0, done.err
    found = re.search("^(anywhere|in Python): (.*)$", done.out, re.MULTILINE)
    if kind == "tfidf":
        assert found is None
        return
    where, expression = found.groups()
    assert (where == "anywhere") == (kind == "plain")
    *before, last = expression.split("; ")
    assert before == ([] if kind == "plain" else ["tellapart.register()"])
    loaded = eval(last, {"transformers": transformers, "tellapart": package})
    if kind == "fused":
        assert loaded.config.num_labels == 3
    else:
        assert loaded("my card was stolen", truncation=True)[0]["label"] in ("lost", "stolen", "expired")
