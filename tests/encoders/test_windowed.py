from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, RobertaTokenizer, pipeline

from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.encoders import dropout
from tellapart.encoders.cache import cached_representations
from tellapart.encoders.composed import part_settings
from tellapart.encoders.dropout import ATTENTION_NAME, use_fast_dropout
from tellapart.encoders.loading import (
    load_classifier,
    load_encoder,
    load_fused_encoder,
    load_windowed_encoder,
)
from tellapart.encoders.pooling import CONFIG_KEY, folded, unfolded
from tellapart.encoders.scoring import represent, score
from tellapart.encoders.transformer import (
    final_linear,
    has_dropout,
    head_dropouts,
    labels_of,
    parameter_count,
    pooling_in_use,
    position_limit,
    save_classifier,
    set_classifier_dropout,
)
from tellapart.encoders.windowed import (
    WindowedConfig,
    WindowedForSequenceClassification,
    outer_tokens,
    reads_windows,
    window_notes,
)
from tellapart.errors import ModelError

LABELS = LabelSpace(("lost", "stolen", "expired"))
SHORT = ["my card was lost in town", "her card", ""]
LONG = [*SHORT, " ".join(["the debit card ends this month"] * 30), " ".join(["it was taken by a thief"] * 12)]


def _loaded(encoder: str, windows: Any = "max", **options: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    options = {"window_length": 16, "window_stride": 3} | options
    model, tokenizer = load_windowed_encoder(encoder, LABELS, windows=windows, **options)
    if windows == "learned":
        nn.init.normal_(model.pooling.query)
    return model.eval(), tokenizer


def _inputs(tokenizer: Any, texts: list[str]) -> dict[str, torch.Tensor]:
    return dict(tokenizer(texts, padding=True, return_tensors="pt", verbose=False))


def _logits(model: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:
    with torch.no_grad():
        return model(**_inputs(tokenizer, texts)).logits


@pytest.mark.parametrize("windows", ["max", "mean", "learned"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "stock"])
def test_texts_of_one_window_are_what_they_are_to_the_encoder_alone(tiny_encoder, windows, pooling):
    model, tokenizer = _loaded(tiny_encoder, windows, pooling=pooling)
    plain = load_encoder(tiny_encoder, LABELS, pooling=pooling).eval()
    plain.base_model.load_state_dict(
        model.base_model.state_dict()
    )  # stock pooling starts from a random layer
    final_linear(plain).load_state_dict(model.classifier.state_dict())
    torch.testing.assert_close(
        _logits(model, tokenizer, SHORT), _logits(plain, tokenizer, SHORT), atol=1e-6, rtol=1e-6
    )


@pytest.mark.parametrize("windows", ["max", "mean", "learned"])
def test_long_texts_are_windows_encoded_one_by_one(tiny_encoder, windows):
    model, tokenizer = _loaded(tiny_encoder, windows)
    plain = load_encoder(tiny_encoder, LABELS).eval()
    seen: list[torch.Tensor] = []
    final_linear(plain).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    expected = []
    for text in LONG:
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        count = 1
        while 14 + (count - 1) * 11 < len(ids):
            count += 1
        starts = [number * max(0, len(ids) - 14) // max(1, count - 1) for number in range(count)]
        vectors = []
        for start in starts:
            window = [tokenizer.cls_token_id, *ids[start : start + 14], tokenizer.sep_token_id]
            plain(input_ids=torch.tensor([window]))
            vectors.append(seen[-1][0])
        stacked = torch.stack(vectors)
        if windows == "max":
            expected.append(stacked.max(0).values)
        elif windows == "mean":
            expected.append(stacked.mean(0))
        else:
            weights = (stacked @ model.pooling.query / 32**0.5).softmax(0)
            expected.append(weights @ stacked)
    rows = tokenise(TextSplit(LONG), tokenizer, max_length=400)
    torch.testing.assert_close(
        torch.from_numpy(represent(model, rows)), torch.stack(expected).detach(), atol=1e-5, rtol=1e-5
    )


def test_only_windows_that_exist_are_encoded(tiny_encoder):
    model, tokenizer = _loaded(tiny_encoder)
    shapes = []
    model.encoder.register_forward_pre_hook(
        lambda _, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    _logits(model, tokenizer, SHORT)
    _logits(model, tokenizer, LONG)
    lengths = [len(tokenizer(text, verbose=False)["input_ids"]) for text in LONG]
    counts = [1 + max(0, -(-(length - 16) // 11)) for length in lengths]
    assert counts[:3] == [1, 1, 1]
    assert min(counts[3:]) > 4
    assert shapes == [(3, max(lengths[:3])), (sum(counts), 16)]


def test_neither_padding_nor_neighbours_change_a_text(tiny_encoder):
    model, tokenizer = _loaded(tiny_encoder, "learned")
    together = _logits(model, tokenizer, LONG)
    for text, logits in zip(LONG, together, strict=True):
        torch.testing.assert_close(_logits(model, tokenizer, [text])[0], logits, atol=1e-5, rtol=1e-5)
    inputs = _inputs(tokenizer, LONG)
    wider = {name: nn.functional.pad(value, (5, 9)) for name, value in inputs.items()}
    with torch.no_grad():
        torch.testing.assert_close(model(**wider).logits, together, atol=1e-5, rtol=1e-5)
        unmasked = model(input_ids=inputs["input_ids"]).logits
    torch.testing.assert_close(unmasked, together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "albert", "modernbert"])
def test_families_read_windows_and_come_back_from_a_checkpoint(make_model, family, tmp_path):
    part = make_model(family)
    with torch.no_grad():
        short = part(input_ids=torch.tensor([[3, 9, 8, 4]])).logits
    linear = {name: value.clone() for name, value in final_linear(part).state_dict().items()}
    config = WindowedConfig(
        part_settings(part.config), "learned", 8, 2, [3], [4], 0.0, pad_token_id=part.config.pad_token_id
    )
    config.num_labels = 3
    model = WindowedForSequenceClassification(config, part).eval()
    model.classifier.load_state_dict(linear, strict="bias" in linear)
    with torch.no_grad():
        torch.testing.assert_close(
            model(input_ids=torch.tensor([[3, 9, 8, 4]])).logits, short, atol=1e-6, rtol=1e-6
        )
    ids = torch.randint(5, 60, (2, 90))  # more than any of them reads at once
    ids[:, 0], ids[:, -1] = 3, 4
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)


@pytest.mark.parametrize("windows", ["max", "learned"])
def test_a_saved_model_gives_the_same_logits_through_every_door(tiny_encoder, tmp_path, windows):
    model, tokenizer = _loaded(tiny_encoder, windows, pooling="cls", classifier_dropout=0.3)
    tokenizer.model_max_length = 300
    save_classifier(model, tmp_path, tokenizer)
    expected = _logits(model, tokenizer, LONG)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".safetensors", ".txt"}
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(_logits(again.eval(), AutoTokenizer.from_pretrained(tmp_path), LONG), expected)
    assert again.dropout.p == 0.3
    loaded, own_tokenizer = load_classifier(tmp_path)
    assert torch.equal(_logits(loaded, own_tokenizer, LONG), expected)
    assert labels_of(loaded) == LABELS
    assert (pooling_in_use(loaded), own_tokenizer.model_max_length) == ("cls", 300)
    classify = pipeline("text-classification", str(tmp_path), device="cpu")
    for found, logits in zip(classify(LONG, top_k=None, truncation=True), expected, strict=True):
        scores = {entry["label"]: entry["score"] for entry in found}
        assert [scores[name] for name in LABELS.names] == pytest.approx(logits.softmax(0).tolist(), abs=1e-5)


def test_registering_is_all_that_transformers_needs(tiny_encoder, tmp_path):
    model, tokenizer = _loaded(tiny_encoder)
    save_classifier(model, tmp_path, tokenizer)
    code = (
        "import tellapart; tellapart.register()\n"
        "from transformers import AutoModelForSequenceClassification as Auto\n"
        f"print(type(Auto.from_pretrained({str(tmp_path)!r})).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "WindowedForSequenceClassification"


def test_a_windowed_folder_serves_as_an_encoder_with_a_fresh_classifier(tiny_encoder, tmp_path):
    old, tokenizer = _loaded(tiny_encoder, "learned")
    save_classifier(old, tmp_path, tokenizer)
    labels = LabelSpace(("billing", "refund"), "multi_label_classification")
    new = load_encoder(str(tmp_path), labels, classifier_dropout=0.4)
    assert labels_of(new) == labels
    assert (new.dropout.p, pooling_in_use(new)) == (0.4, "mean")
    assert not new.pooling.query.any()
    for name in ("windows", "window_length", "window_stride", "prefix", "suffix", "pad_token_id"):
        assert getattr(new.config, name) == getattr(old.config, name), name
    for name, value in old.base_model.state_dict().items():
        assert torch.equal(new.base_model.state_dict()[name], value), name
    other = load_encoder(str(tmp_path), LABELS, pooling="cls")
    assert (other.config.part[CONFIG_KEY], other.dropout.p) == ("cls", old.dropout.p)


def test_the_parts_of_the_model_are_where_the_others_look_for_them(tiny_encoder):
    model, tokenizer = _loaded(tiny_encoder, "learned")
    plain = load_encoder(tiny_encoder, LABELS)
    assert final_linear(model) is model.classifier
    assert head_dropouts(model) == [model.dropout]
    assert parameter_count(model) == parameter_count(plain)
    assert has_dropout(model)
    assert position_limit(model.config) > 10_000
    assert folded(model) is model is unfolded(model)
    inside = {id(parameter) for parameter in model.base_model.parameters()}
    outside = [name for name, parameter in model.named_parameters() if id(parameter) not in inside]
    assert outside == ["pooling.query", "classifier.weight", "classifier.bias"]
    set_classifier_dropout(model, 0.2)
    assert model.dropout.p == model.config.classifier_dropout == 0.2
    assert outer_tokens(tokenizer) == ([tokenizer.cls_token_id], [tokenizer.sep_token_id])
    assert reads_windows(model)
    assert not reads_windows(plain)


def test_the_special_tokens_are_the_tokenisers_own():
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b"]
    roberta = RobertaTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])
    assert outer_tokens(roberta) == ([0], [2])

    def scattered(text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [0, 5, 2, 6, 2] if add_special_tokens else [5, 6]}

    with pytest.raises(ModelError, match="does not keep a text together"):
        outer_tokens(scattered)


def test_defaults_follow_the_encoder(tiny_encoder):
    model, _ = load_windowed_encoder(tiny_encoder, LABELS, windows="mean")
    assert (model.config.window_length, model.config.window_stride) == (64, 8)  # it reads 64


def test_the_loss_is_that_of_the_problem_type(tiny_encoder):
    model, tokenizer = _loaded(tiny_encoder)
    inputs, gold = _inputs(tokenizer, LONG), torch.tensor([0, 1, 2, 2, 1])
    output = model(**inputs, labels=gold, num_items_in_batch=100)  # what the stock Trainer passes on
    torch.testing.assert_close(output.loss, nn.functional.cross_entropy(output.logits, gold))
    assert len(model(**inputs, labels=gold, return_dict=False)) == 2
    several = LabelSpace(LABELS.names, "multi_label_classification")
    model, _ = load_windowed_encoder(tiny_encoder, several, windows="mean", window_length=16)
    hot = torch.eye(3)[gold]
    output = model.eval()(**inputs, labels=hot)
    torch.testing.assert_close(
        output.loss, nn.functional.binary_cross_entropy_with_logits(output.logits, hot)
    )


def test_attention_and_dropout_of_the_encoder_can_be_chosen(tiny_encoder, tmp_path, monkeypatch):
    model, tokenizer = _loaded(tiny_encoder)
    before = _logits(model, tokenizer, LONG)
    model.save_pretrained(tmp_path)
    eager = AutoModelForSequenceClassification.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert eager.encoder.config._attn_implementation == "eager"
    torch.testing.assert_close(_logits(eager, tokenizer, LONG), before, atol=1e-5, rtol=1e-5)
    use_fast_dropout(model)
    assert model.encoder.config._attn_implementation == ATTENTION_NAME
    assert torch.equal(_logits(model, tokenizer, LONG), before)
    dropped = []
    monkeypatch.setattr(dropout, "fast_dropout", lambda values, rate: dropped.append(values.dim()) or values)
    _logits(model.train(), tokenizer, LONG)
    assert 4 in dropped


def test_gradient_checkpointing_changes_no_gradient(tiny_encoder):
    gradients = []
    for checkpointing in (False, True):
        model, tokenizer = _loaded(tiny_encoder, "learned")
        if checkpointing:
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
            assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        model.encoder.config.attention_probs_dropout_prob = 0.0
        for layer in model.base_model.encoder.layer:
            layer.attention.self.dropout.p = 0.0
        model.train()(**_inputs(tokenizer, LONG), labels=torch.tensor([0, 1, 2, 2, 1])).loss.backward()
        gradients.append({name: value.grad for name, value in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-5)


def test_kept_vectors_are_told_apart_by_how_texts_are_cut(tiny_encoder, tmp_path):
    model, tokenizer = _loaded(tiny_encoder, "max")
    rows = tokenise(TextSplit(LONG), tokenizer, max_length=300)
    kept = cached_representations(model, rows, tmp_path / "vectors")
    assert (cached_representations(model, rows, tmp_path / "vectors") == kept).all()
    for changed in ({"windows": "mean"}, {"window_length": 20}, {"window_stride": 5}):
        other, _ = _loaded(tiny_encoder, **changed)
        with pytest.raises(ModelError, match="another model"):
            cached_representations(other, rows, tmp_path / "vectors")


def test_the_note_counts_windows(tiny_encoder):
    model, tokenizer = _loaded(tiny_encoder)
    rows = tokenise(TextSplit(LONG), tokenizer, max_length=60)
    counts = [1 + max(0, -(-(int(length) - 16) // 11)) for length in rows.lengths]
    (note,) = window_notes(model, rows)
    assert note.startswith("2 of 5 training rows are longer than a window of 16 tokens")
    assert f"are {sum(counts)} windows, one of them {max(counts)} at most" in note
    assert window_notes(load_encoder(tiny_encoder, LABELS), rows) == ()
    assert score(model, rows).shape == (5, 3)


def test_what_cannot_be_read_in_windows_is_refused_in_one_sentence(make_model, tiny_encoder, tmp_path):
    with pytest.raises(ModelError, match=r"longer than the 64 that the encoder reads.*64 or less"):
        _loaded(tiny_encoder, window_length=65)
    with pytest.raises(ModelError, match="16 tokens, 2 of them special, that share 14 leave no room"):
        _loaded(tiny_encoder, window_stride=14)
    with pytest.raises(ModelError, match='by "median": use max, mean or learned'):
        _loaded(tiny_encoder, "median")
    for family, reason in (("han", "sentence by sentence"), ("textcnn", "any length")):
        make_model(f"tellapart-{family}").save_pretrained(tmp_path / family)
        with pytest.raises(ModelError, match=f"{reason}.*leave out --windows"):
            _loaded(str(tmp_path / family))
    fused = load_fused_encoder([tiny_encoder, tiny_encoder], LABELS)
    fused.save_pretrained(tmp_path / "fused")
    with pytest.raises(ModelError, match="it is fused"):
        _loaded(str(tmp_path / "fused"))
    model, tokenizer = _loaded(tiny_encoder)
    save_classifier(model, tmp_path / "windowed", tokenizer)
    with pytest.raises(ModelError, match="windows of its own already"):
        _loaded(str(tmp_path / "windowed"))
    with pytest.raises(ModelError, match="reads windows cannot be fused"):
        load_fused_encoder([tiny_encoder, str(tmp_path / "windowed")], LABELS)
    pair = tokenizer(["a card"], ["was lost"], return_tensors="pt")
    with pytest.raises(ModelError, match="single texts, not of pairs"):
        model(**pair)


def test_a_config_of_unknown_parts_is_one_sentence(tiny_encoder, tmp_path):
    model, tokenizer = _loaded(tiny_encoder)
    save_classifier(model, tmp_path, tokenizer)
    config = json.loads((tmp_path / "config.json").read_text())
    config["part"]["model_type"] = "no-such-model"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_classifier(tmp_path)
