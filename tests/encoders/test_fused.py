from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertTokenizer,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizer,
    pipeline,
)

from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.encoders import dropout
from tellapart.encoders.dropout import ATTENTION_NAME, use_fast_dropout
from tellapart.encoders.fused import FusedConfig, FusedForSequenceClassification
from tellapart.encoders.fused_tokenizer import FusedTokenizer
from tellapart.encoders.loading import (
    load_classifier,
    load_classifier_model,
    load_encoder,
    load_fused_encoder,
    load_fused_tokenizer,
    load_tokenizer,
)
from tellapart.encoders.pooling import CONFIG_KEY, folded, unfolded
from tellapart.encoders.scoring import represent, score
from tellapart.encoders.transformer import (
    RepresentationTap,
    encoders_of,
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
from tellapart.errors import ModelError
from tellapart.fitting.loading import load_fitted
from tellapart.training.arguments import TrainingArguments
from tellapart.training.trainer import Trainer

LABELS = LabelSpace(("lost", "stolen", "expired"))
TEXTS = ["my card was lost in town", "robbed", "the debit card ends this month", "it has expired today"]


@pytest.fixture(scope="module")
def roberta(tickets, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A RoBERTa of one layer, 24 dimensions and bytes for tokens, which reads 48 of them."""
    from tokenizers.implementations import ByteLevelBPETokenizer

    learned = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    learned.train_from_iterator(
        [text for text, _ in tickets], vocab_size=300, show_progress=False, special_tokens=special
    )
    merges = [tuple(pair) for pair in json.loads(learned._tokenizer.to_str())["model"]["merges"]]
    tokenizer = RobertaTokenizer(vocab=learned.get_vocab(), merges=merges)
    torch.manual_seed(1)
    config = RobertaConfig(
        type_vocab_size=1,  # as in the published ones
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=50,
    )
    folder = tmp_path_factory.mktemp("roberta")
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def electra(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An ELECTRA of one layer and, like the BERT, 32 dimensions, whose tokens are characters."""
    characters = "abcdefghijklmnopqrstuvwxyz'"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *("##" + one for one in characters)]
    tokenizer = BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)})
    torch.manual_seed(2)
    config = ElectraConfig(
        vocab_size=len(tokenizer),
        embedding_size=8,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    folder = tmp_path_factory.mktemp("electra")
    ElectraModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def bert_and_roberta(tiny_encoder, roberta) -> tuple[Any, FusedTokenizer]:
    torch.manual_seed(0)
    encoders = [tiny_encoder, roberta]
    return load_fused_encoder(encoders, LABELS).eval(), load_fused_tokenizer(encoders)


def _encoded(tokenizer: FusedTokenizer, texts: list[str] = TEXTS) -> dict[str, torch.Tensor]:
    return dict(tokenizer(texts, padding=True, return_tensors="pt"))


def _own_vectors(encoder: str, texts: list[str], pooling: str | None = None) -> torch.Tensor:
    """The pooled vectors of one encoder alone."""
    model = load_encoder(encoder, LABELS, pooling=pooling).eval()
    tap = RepresentationTap(model)
    with torch.no_grad():
        model(**load_tokenizer(encoder)(texts, padding=True, return_tensors="pt"))
    return tap.take()


def _logits(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits


def test_concatenation_of_encoders_of_different_widths(bert_and_roberta, tiny_encoder, roberta):
    model, tokenizer = bert_and_roberta
    tap = RepresentationTap(model)
    logits = _logits(model, _encoded(tokenizer))
    vectors = tap.take()
    expected = torch.cat([_own_vectors(tiny_encoder, TEXTS), _own_vectors(roberta, TEXTS)], dim=1)
    assert vectors.shape == (4, 32 + 24)
    torch.testing.assert_close(vectors, expected)
    torch.testing.assert_close(logits, vectors @ model.classifier.weight.T + model.classifier.bias)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("fusion", ["mean", "sum"])
def test_mean_and_sum_of_encoders_of_one_width(tiny_encoder, electra, fusion, pooling):
    model = load_fused_encoder([tiny_encoder, electra], LABELS, fusion=fusion, pooling=pooling).eval()
    tap = RepresentationTap(model)
    _logits(model, _encoded(load_fused_tokenizer([tiny_encoder, electra])))
    first, second = (_own_vectors(encoder, TEXTS, pooling) for encoder in (tiny_encoder, electra))
    expected = first + second if fusion == "sum" else (first + second) / 2
    torch.testing.assert_close(tap.take(), expected)
    assert not torch.allclose(first, second)


def test_three_encoders_and_pairs_of_texts(tiny_encoder, roberta, electra):
    encoders = [tiny_encoder, roberta, electra]
    model, tokenizer = load_fused_encoder(encoders, LABELS).eval(), load_fused_tokenizer(encoders)
    inputs = dict(tokenizer(TEXTS[:2], TEXTS[2:], padding=True, return_tensors="pt"))
    assert set(inputs) == {
        name + suffix for name in ("input_ids", "attention_mask") for suffix in ("", "_2", "_3")
    } | {"token_type_ids", "token_type_ids_3"}  # RoBERTa has none
    assert int(inputs["token_type_ids_3"].max()) == 1
    logits = _logits(model, inputs)
    assert logits.shape == (2, 3)
    for name in ("token_type_ids", "token_type_ids_3", "input_ids_2"):
        changed = torch.zeros_like(inputs[name])
        assert not torch.allclose(_logits(model, inputs | {name: changed}), logits), name


@pytest.mark.parametrize("classifier", [AutoModelForSequenceClassification, FusedForSequenceClassification])
def test_a_saved_classifier_gives_the_same_logits_to_the_bit(bert_and_roberta, tmp_path, classifier):
    model, tokenizer = bert_and_roberta
    inputs = _encoded(tokenizer)
    save_classifier(model, tmp_path, tokenizer)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".py")]
    loaded, loaded_tokenizer = load_classifier(tmp_path)
    assert torch.equal(_logits(loaded, inputs), _logits(model, inputs))
    assert labels_of(loaded) == LABELS
    again = _encoded(loaded_tokenizer)
    assert list(again) == list(inputs)
    assert all(torch.equal(again[name], inputs[name]) for name in inputs)
    plain, report = classifier.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert type(plain) is FusedForSequenceClassification
    assert torch.equal(_logits(plain.eval(), inputs), _logits(model, inputs))
    assert torch.equal(_logits(copy.deepcopy(model), inputs), _logits(model, inputs))


def test_the_config_is_json_and_comes_back(bert_and_roberta, tmp_path):
    config = bert_and_roberta[0].config
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(loaded, FusedConfig)
    assert (loaded.parts, loaded.fusion, loaded.classifier_dropout) == (config.parts, "concat", 0.1)
    assert [part["model_type"] for part in loaded.parts] == ["bert", "roberta"]
    assert [part[CONFIG_KEY] for part in loaded.parts] == ["mean", "mean"]
    assert loaded.id2label == {0: "lost", 1: "stolen", 2: "expired"}
    assert loaded.problem_type == "single_label_classification"
    assert FusedConfig().parts == []


def test_padding_of_either_part_changes_nothing(bert_and_roberta):
    model, tokenizer = bert_and_roberta
    together = _logits(model, _encoded(tokenizer))
    for row, text in enumerate(TEXTS):
        alone = _encoded(tokenizer, [text])
        torch.testing.assert_close(_logits(model, alone)[0], together[row])
        for suffix in ("", "_2"):
            padding = {f"input_ids{suffix}": 7, f"attention_mask{suffix}": 0}
            padded = alone | {
                name: nn.functional.pad(alone[name], (0, 5), value=value) for name, value in padding.items()
            }
            padded.pop(f"token_type_ids{suffix}", None)
            torch.testing.assert_close(_logits(model, padded)[0], together[row])


def test_the_tap_reads_the_fused_vector_before_its_dropout(bert_and_roberta):
    model, tokenizer = bert_and_roberta
    inputs, tap = _encoded(tokenizer), RepresentationTap(model)
    _logits(model, inputs)
    vectors = tap.take()
    set_classifier_dropout(model, 0.9)
    model.dropout.train()
    _logits(model, inputs)
    before, after = tap.take_both()
    assert torch.equal(before, vectors)
    assert (after == 0).float().mean() > 0.7


def test_what_is_pre_trained_and_what_is_new_are_told_apart(bert_and_roberta, tiny_encoder, roberta):
    model, _ = bert_and_roberta
    singles = [load_encoder(encoder, LABELS) for encoder in (tiny_encoder, roberta)]
    assert final_linear(model) is model.classifier
    assert head_dropouts(model) == [model.dropout]
    assert encoders_of(model) == model.parts
    assert encoders_of(singles[0]) == [singles[0]]
    assert parameter_count(model) == sum(map(parameter_count, singles))
    inside = {id(parameter) for parameter in model.base_model.parameters()}
    outside = [name for name, parameter in model.named_parameters() if id(parameter) not in inside]
    assert outside == ["classifier.weight", "classifier.bias"]
    for part, single in zip(model.parts, singles, strict=True):
        for name, value in single.base_model.state_dict().items():
            assert torch.equal(part.base_model.state_dict()[name], value), name
    assert position_limit(model.config) == 48  # RoBERTa's, two of whose 50 positions are lost to padding


def test_dense_layers_of_stock_heads_are_new(tiny_encoder, roberta):
    model = load_fused_encoder([tiny_encoder, roberta], LABELS, pooling="stock")
    inside = {id(parameter) for parameter in model.base_model.parameters()}
    outside = {name for name, parameter in model.named_parameters() if id(parameter) not in inside}
    assert "part_2.classifier.dense.weight" in outside
    assert not any(CONFIG_KEY in part for part in model.config.parts)


def test_the_pooling_in_use_is_told_where_it_is_one(make_model, tiny_encoder, roberta, tmp_path):
    assert pooling_in_use(load_encoder(tiny_encoder, LABELS)) == "mean"
    assert pooling_in_use(load_encoder(tiny_encoder, LABELS, pooling="stock")) == "stock"
    assert pooling_in_use(load_fused_encoder([tiny_encoder, roberta], LABELS, pooling="cls")) == "cls"
    for family, expected in (("modernbert", "mean"), ("albert", None)):
        make_model(family).save_pretrained(tmp_path / family)
        model = load_fused_encoder([tiny_encoder, str(tmp_path / family)], LABELS)
        assert pooling_in_use(model) == expected


def test_dropout_is_seen_in_any_part(bert_and_roberta):
    model, _ = bert_and_roberta
    assert has_dropout(model)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model.part_1.config.attention_probs_dropout_prob = 0.0
    assert has_dropout(model)
    model.part_2.config.attention_probs_dropout_prob = 0.0
    assert not has_dropout(model)


def test_the_rate_of_the_classifiers_dropout(tiny_encoder, roberta):
    given = load_fused_encoder([tiny_encoder, roberta], LABELS, classifier_dropout=0.4)
    assert given.dropout.p == given.config.classifier_dropout == 0.4
    set_classifier_dropout(given, 0.2)
    assert given.dropout.p == given.config.classifier_dropout == 0.2
    assert {
        module.p for part in given.parts for module in part.modules() if isinstance(module, nn.Dropout)
    } == {0.1}


def test_a_fused_folder_serves_as_an_encoder_with_a_fresh_classifier(bert_and_roberta, tmp_path):
    old, tokenizer = bert_and_roberta
    save_classifier(old, tmp_path, tokenizer)
    labels = LabelSpace(("billing", "refund"), "multi_label_classification")
    new = load_encoder(str(tmp_path), labels, classifier_dropout=0.3)
    assert labels_of(new) == labels
    assert new.classifier.weight.shape == (2, 56)
    assert new.dropout.p == 0.3
    for name, value in old.base_model.state_dict().items():
        assert torch.equal(new.base_model.state_dict()[name], value), name
    assert new.config.parts == old.config.parts
    assert load_encoder(str(tmp_path), LABELS).dropout.p == old.dropout.p
    other = load_encoder(str(tmp_path), LABELS, pooling="cls")
    assert [part[CONFIG_KEY] for part in other.config.parts] == ["cls", "cls"]
    assert isinstance(load_tokenizer(str(tmp_path)), FusedTokenizer)


def test_a_fused_model_has_no_other_form_to_be_folded_into(bert_and_roberta):
    model, _ = bert_and_roberta
    assert folded(model) is model
    assert unfolded(model) is model


def test_the_loss_is_that_of_the_problem_type(bert_and_roberta, tiny_encoder, roberta):
    model, tokenizer = bert_and_roberta
    inputs, gold = _encoded(tokenizer), torch.tensor([0, 1, 2, 2])
    output = model(**inputs, labels=gold, num_items_in_batch=100)  # what the stock Trainer passes on
    torch.testing.assert_close(output.loss, nn.functional.cross_entropy(output.logits, gold))
    assert len(model(**inputs, labels=gold, return_dict=False)) == 2
    several = LabelSpace(LABELS.names, "multi_label_classification")
    multi = load_fused_encoder([tiny_encoder, roberta], several).eval()
    hot = torch.eye(3)[gold]
    output = multi(**inputs, labels=hot)
    torch.testing.assert_close(
        output.loss, nn.functional.binary_cross_entropy_with_logits(output.logits, hot)
    )


def test_bf16_autocast_fuses_vectors_of_different_precisions(tiny_encoder, electra):
    model = load_fused_encoder([tiny_encoder, electra], LABELS, fusion="mean").eval()
    model.part_1 = load_fused_encoder([tiny_encoder, electra], LABELS, pooling="stock").part_1
    inputs = _encoded(load_fused_tokenizer([tiny_encoder, electra]))
    with torch.autocast("cpu", torch.bfloat16):
        low = _logits(model, inputs)
    torch.testing.assert_close(low.float(), _logits(model, inputs), atol=0.05, rtol=0.05)


def test_fast_dropout_reaches_the_attention_of_the_parts(bert_and_roberta, monkeypatch):
    model, tokenizer = bert_and_roberta
    inputs = _encoded(tokenizer)
    before, config = _logits(model, inputs), model.config.to_json_string()
    use_fast_dropout(model)
    assert [part.config._attn_implementation for part in model.parts] == [ATTENTION_NAME] * 2
    assert torch.equal(_logits(model, inputs), before)
    assert model.config.to_json_string() == config
    dropped = []
    monkeypatch.setattr(
        dropout, "fast_dropout", lambda values, rate: dropped.append(tuple(values.shape)) or values
    )
    _logits(model.train(), inputs)
    widths = [inputs[name].shape[1] for name in ("input_ids", "input_ids", "input_ids_2")]
    assert [shape for shape in dropped if len(shape) == 4] == [(4, 2, width, width) for width in widths]


def test_fast_dropout_leaves_a_part_with_another_attention_alone(bert_and_roberta):
    model, _ = bert_and_roberta
    model.part_2.set_attn_implementation("eager")
    use_fast_dropout(model)
    assert [part.config._attn_implementation for part in model.parts] == [ATTENTION_NAME, "eager"]


def test_the_attention_that_is_asked_for_is_the_parts(bert_and_roberta, tmp_path):
    model, _ = bert_and_roberta
    assert [part.config._attn_implementation for part in model.parts] == ["sdpa", "sdpa"]
    model.save_pretrained(tmp_path)
    eager = AutoModelForSequenceClassification.from_pretrained(tmp_path, attn_implementation="eager")
    assert [part.config._attn_implementation for part in eager.parts] == ["eager", "eager"]


def _split(tickets) -> TextSplit:
    return TextSplit([text for text, _ in tickets[::4]], labels=[label for _, label in tickets[::4]])


def test_the_trainer_lowers_the_loss_and_leaves_a_classifier(bert_and_roberta, tickets, tmp_path):
    model, tokenizer = bert_and_roberta
    rows = tokenise(_split(tickets), tokenizer, max_length=32, labels=LABELS)
    before = {name: value.clone() for name, value in model.named_parameters()}
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "run"),
        use_cpu=True,
        per_device_train_batch_size=16,
        num_train_epochs=8,
        learning_rate=3e-3,
        head_learning_rate=3e-2,
        logging_steps=1,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows, processing_class=tokenizer)
    start = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < 0.5 * start
    for part in ("part_1.bert.encoder.layer.0.", "part_2.roberta.encoder.layer.0."):
        assert not torch.equal(
            model.state_dict()[part + "output.dense.weight"], before[part + "output.dense.weight"]
        )
    trainer.save_model(str(tmp_path / "model"))
    loaded, loaded_tokenizer = load_classifier(tmp_path / "model")
    again = tokenise(_split(tickets), loaded_tokenizer, max_length=32)
    assert (score(loaded, again) == score(model, rows)).all()
    assert represent(loaded, again).shape == (48, 56)


def test_a_checkpoint_without_a_tokeniser_still_holds_the_weights(bert_and_roberta, tmp_path):
    model, _ = bert_and_roberta
    save_classifier(model, tmp_path)
    loaded = load_classifier_model(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    for load in (FusedTokenizer.from_pretrained, load_classifier, load_fitted):
        with pytest.raises(ModelError, match="no fused tokeniser"):
            load(tmp_path)


def test_the_tokeniser_is_asked_and_set_as_one(bert_and_roberta, tmp_path):
    _, tokenizer = bert_and_roberta
    tokenizer.model_max_length = 16
    assert [part.model_max_length for part in tokenizer.parts] == [16, 16]
    tokenizer.parts[1].model_max_length = 12
    assert tokenizer.model_max_length == 12
    assert tokenizer.pad_token_id == tokenizer.parts[0].pad_token_id
    assert tokenizer.model_input_names[-2:] == ["input_ids_2", "attention_mask_2"]
    tokenizer.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "tokenizer-1",
        "tokenizer-2",
        "fused_tokenizer.json",
    }
    assert [part.model_max_length for part in FusedTokenizer.from_pretrained(tmp_path).parts] == [16, 12]
    cut = tokenizer(TEXTS[0], truncation=True, max_length=5)
    assert [len(cut["input_ids"]), len(cut["input_ids_2"])] == [5, 5]


def test_a_pipeline_takes_model_and_tokeniser(bert_and_roberta):
    model, tokenizer = bert_and_roberta
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    found = classify(TEXTS, top_k=None)
    expected = _logits(model, _encoded(tokenizer)).softmax(1)
    for row, scores in enumerate(found):
        for scored in scores:
            assert scored["score"] == pytest.approx(
                float(expected[row, LABELS.names.index(scored["label"])]), abs=1e-5
            )


@pytest.mark.parametrize("fusion", ["mean", "sum"])
def test_different_widths_have_no_mean_and_no_sum(tiny_encoder, roberta, fusion):
    with pytest.raises(ModelError, match=rf"32 and 24 dimensions have no {fusion}.*--fusion concat"):
        load_fused_encoder([tiny_encoder, roberta], LABELS, fusion=fusion)


def test_what_cannot_be_fused_is_refused_in_one_sentence(bert_and_roberta, tiny_encoder, tmp_path):
    model, tokenizer = bert_and_roberta
    with pytest.raises(ModelError, match="two or more parts, not 1"):
        load_fused_encoder([tiny_encoder], LABELS)
    with pytest.raises(ModelError, match="two or more parts, not 1"):
        load_fused_tokenizer([tiny_encoder])
    with pytest.raises(ModelError, match='no fusion "product": use concat, mean or sum'):
        load_fused_encoder([tiny_encoder, tiny_encoder], LABELS, fusion="product")
    save_classifier(model, tmp_path, tokenizer)
    for load in (lambda names: load_fused_encoder(names, LABELS), load_fused_tokenizer):
        with pytest.raises(ModelError, match="cannot be a part of another"):
            load([tiny_encoder, str(tmp_path)])
    with pytest.raises(ModelError, match="part 2 of the fused encoder got no input_ids_2"):
        model(**tokenizer.parts[0](TEXTS, padding=True, return_tensors="pt"))


def test_a_part_of_an_unknown_kind_is_one_sentence_and_its_code_is_never_run(bert_and_roberta, tmp_path):
    model, tokenizer = bert_and_roberta
    save_classifier(model, tmp_path, tokenizer)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    evil = {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model"}
    for kind in ("no-such-model", "bert"):
        config["parts"][0] |= {"model_type": kind, "auto_map": evil}
        (tmp_path / "config.json").write_text(json.dumps(config))
        if kind == "bert":
            load_classifier(tmp_path)
        else:
            with pytest.raises(ModelError, match="cannot be loaded"):
                load_classifier(tmp_path)
    assert not Path(tmp_path / "ran").exists()
