"""Every encoder family in miniature, with a tokeniser of its own kind, and small tasks of every form."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import ByteLevelBPETokenizer, Tokenizer, models, pre_tokenizers, processors, trainers
from tokenizers.implementations import BertWordPieceTokenizer
from transformers import (
    AlbertTokenizer,
    AutoConfig,
    AutoModel,
    BertTokenizer,
    DebertaV2Tokenizer,
    MPNetTokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.fitting.models import load_model
from tellapart.recipes import EncoderRecipe, Recipe, method_recipe, with_values

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
OPTIONS: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": SIZES | {"type_vocab_size": 1},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "albert": SIZES | {"embedding_size": 8},  # both layers have the same weights
    "electra": SIZES | {"embedding_size": 8},
    "deberta-v2": SIZES | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
    "xlm-roberta": SIZES | {"type_vocab_size": 1},
    "mpnet": SIZES,
    "modernbert": SIZES | {"local_attention": 8, "global_attn_every_n_layers": 2},
}
VOCABULARY = 200
POSITIONS = 80


def _word_pieces(texts: Sequence[str], **_: Any) -> Any:
    learned = BertWordPieceTokenizer()
    learned.train_from_iterator(texts, vocab_size=VOCABULARY, min_frequency=1, show_progress=False)
    return BertTokenizer(vocab=learned.get_vocab())


def _mpnet(texts: Sequence[str], **_: Any) -> Any:
    special = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    learned = BertWordPieceTokenizer()
    learned.train_from_iterator(
        texts, vocab_size=VOCABULARY, min_frequency=1, special_tokens=special, show_progress=False
    )
    return MPNetTokenizer(vocab=learned.get_vocab())


def _unigrams(texts: Sequence[str], kind: Any, special: list[str]) -> Any:
    """Words and letters with the logarithm of how often they occur: what learning ends in differs from run to run."""
    words = Counter("▁" + word for text in texts for word in text.lower().split())
    letters = Counter(letter for word, count in words.items() for letter in sorted(set(word)) * count)
    pieces = words | letters
    total = sum(pieces.values())
    scored = [(piece, math.log(count / total)) for piece, count in sorted(pieces.items())]
    return kind(vocab=[*((name, 0.0) for name in special), *scored])


def _roberta(texts: Sequence[str]) -> Any:
    learned = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    learned.train_from_iterator(texts, vocab_size=400, special_tokens=special, show_progress=False)
    model = json.loads(learned._tokenizer.to_str())["model"]
    return RobertaTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])


def _modernbert(texts: Sequence[str]) -> Any:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator(texts, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad", "unk", "cls", "sep", "mask")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in zip(names, special, strict=True)},
    )


TOKENIZERS: dict[str, Callable[[Sequence[str]], Any]] = {
    "bert": _word_pieces,
    "distilbert": _word_pieces,
    "electra": _word_pieces,
    "mpnet": _mpnet,
    "roberta": _roberta,
    "modernbert": _modernbert,
    "albert": functools.partial(
        _unigrams,
        kind=AlbertTokenizer,
        special=["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"],
    ),
    "deberta-v2": functools.partial(
        _unigrams,
        kind=DebertaV2Tokenizer,
        special=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    ),
    "xlm-roberta": functools.partial(
        _unigrams,
        kind=XLMRobertaTokenizer,
        special=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    ),
}


def make_encoder(family: str, texts: Sequence[str], folder: Path, **options: Any) -> str:
    """Writes a random encoder of a family and a tokeniser learned from texts; returns the folder."""
    tokenizer = TOKENIZERS[family](texts)
    special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "cls_token_id", "sep_token_id")}
    special |= {"bos_token_id": special["cls_token_id"], "eos_token_id": special["sep_token_id"]}
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": POSITIONS}
    config = AutoConfig.for_model(family, **sizes | special | OPTIONS[family] | options)
    torch.manual_seed(0)
    model = AutoModel.from_config(config)
    for parameter in model.parameters():  # the usual 0.02 leaves so small a model with hardly a signal
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


STOCK = tuple(TOKENIZERS)
SCRATCH = ("textcnn", "han")
FUSED = ("bert+roberta",)

_SUBJECTS = ("my card", "the debit card", "her phone", "a key")
_STATES = {"lost": "was lost in town", "stolen": "was taken by a thief", "expired": "has expired today"}


def _tasks() -> dict[str, TextData]:
    """A task of each form, 12 rows to learn each."""
    cells = list(itertools.product(_SUBJECTS, _STATES.items()))
    said = [f"{subject} {phrase}" for subject, (_, phrase) in cells]
    states = [state for _, (state, _) in cells]
    tags = [
        [*(["card"] if "card" in subject else []), *(["theft"] if state == "stolen" else [])]
        for subject, (state, _) in cells
    ]
    asked = [f"where is {subject} now" for subject, _ in cells]
    endings = itertools.cycle(("please help . ", "what now ? it is late . ", ""))
    documents = [f"hello . {text} . {next(endings)}thank you" for text in said]
    found = ["relevant" if state == "lost" else "other" for state in states]
    questions = [subject for subject, _ in cells]
    return {
        "single-label": _task(TextSplit(said, labels=states), tuple(sorted(_STATES))),
        "multi-label": _task(TextSplit(said, labels=tags), ("card", "theft"), multi_label=True),
        "pairs": _task(TextSplit(asked, said, states), tuple(sorted(_STATES))),
        "ranking": _task(TextSplit(asked, said, found, questions), ("other", "relevant")),
        "documents": _task(TextSplit(documents, labels=states), tuple(sorted(_STATES))),
    }


def _task(rows: TextSplit, names: tuple[str, ...], *, multi_label: bool = False) -> TextData:
    kind = "multi_label_classification" if multi_label else "single_label_classification"
    return TextData(rows, None, None, LabelSpace(names, kind))


TASKS = _tasks()


@pytest.fixture(scope="session")
def tasks() -> dict[str, TextData]:
    """Tasks by their form."""
    return TASKS


@pytest.fixture(scope="session", params=[*STOCK, *SCRATCH, *FUSED])
def family(request: pytest.FixtureRequest) -> str:
    """Each family, one after the other."""
    return request.param


@pytest.fixture(scope="session", params=STOCK)
def stock_family(request: pytest.FixtureRequest) -> str:
    """Each family that Transformers knows."""
    return request.param


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """What the tokenisers learn from."""
    return [text for task in TASKS.values() for text in [*task.train.texts, *(task.train.text_pairs or [])]]


@pytest.fixture(scope="session")
def encoder_folder(texts, tmp_path_factory) -> Callable[..., str]:
    """The folder of a family's encoder, its config with other options where some are given."""

    @functools.cache
    def build(family: str, **options: Any) -> str:
        return make_encoder(family, texts, tmp_path_factory.mktemp(family), **options)

    return build


@pytest.fixture(scope="session")
def encoder_from(tmp_path_factory) -> Callable[[str, Sequence[str]], str]:
    """As `encoder_folder`, with a tokeniser that has learned from other texts."""
    return lambda family, texts: make_encoder(family, texts, tmp_path_factory.mktemp(family))


@pytest.fixture(scope="session")
def load_family(encoder_folder) -> Callable[..., tuple[Any, Any]]:
    """Loads a family's encoder under a fresh classifier, with its tokeniser, as a run does."""
    loaded: dict[Any, tuple[Any, Any]] = {}

    def load(family: str, data: TextData) -> tuple[Any, Any]:
        key = (family, id(data))
        if key not in loaded:
            torch.manual_seed(0)
            model, tokenizer, _ = load_model(encoder_recipe(family, encoder_folder), data, seed=0)
            loaded[key] = model, tokenizer
        model, tokenizer = loaded[key]
        return copy.deepcopy(model), tokenizer

    return load


def encoder_recipe(family: str, encoder_folder: Callable[..., str]) -> EncoderRecipe:
    """What a recipe says of a family: a folder, two folders, or the name of an encoder that starts from nothing."""
    if family in ("textcnn", "han"):
        return EncoderRecipe(name=family, embedding_size=16, max_length=64)
    first, *second = (encoder_folder(name) for name in family.split("+"))
    return EncoderRecipe(name=first, second=second[0] if second else None, max_length=64)


@pytest.fixture(scope="session")
def recipe_of(encoder_folder) -> Callable[..., Recipe]:
    """A quick run of a method on a family."""

    def build(family: str, method: str, labels: LabelSpace, *settings: str) -> Recipe:
        recipe = method_recipe(method, Recipe(encoder=encoder_recipe(family, encoder_folder)))
        pairs = [f"stages.0.objective.pairs=[[{labels.names[0]}, {labels.names[1]}]]"]
        return with_values(
            recipe,
            [
                *(pairs if method == "label-distance-static" else ()),
                *(["stages.0.perturbation_size=0.2"] if method.endswith("adversarial") else ()),
                "stages.0.batch_size=12",
                "stages.0.start=random",
                "stages.0.precision=fp32",
                "stages.0.learning_rate=0.01",
                "stages.0.head_learning_rate=0.02",
                *settings,
            ],
        )

    return build
