"""A small task of classes that look alike, and an encoder that learns it in a second."""

from __future__ import annotations

import csv
import gc
import importlib
import itertools
import json
import pickle
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tellapart.execution.engine import Engine
from tellapart.execution.places import Place
from tellapart.recipes import Recipe, method_recipe, with_values
from tellapart.wordnet.reader import WordNet

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

_SUBJECTS = ("my card", "the debit card", "our company card", "her credit card")
_CLASSES = {
    "lost": ("was lost", "is missing", "cannot be found", "got misplaced"),
    "stolen": ("was stolen", "was taken by a thief", "got robbed", "is in a thief's hands"),
    "expired": ("has expired", "is out of date", "ends this month", "needs renewal"),
}
_ENDINGS = ("", " today", " since monday", " in town")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the longest tests, those of whole commands, first: at the end the other worker would wait for them."""
    items.sort(key=lambda item: "invariants" not in item.path.parts)


@pytest.fixture(scope="session")
def benchmark_script() -> Callable[[str], ModuleType]:
    """Imports a script of benchmarks/ by its name, as when it is run: its neighbours can be imported."""

    def imported(name: str) -> ModuleType:
        sys.path.insert(0, str(BENCHMARKS))
        try:
            return importlib.import_module(name)
        finally:
            sys.path.remove(str(BENCHMARKS))

    return imported


@pytest.fixture(scope="module", autouse=True)
def _little_garbage() -> None:
    """Each training collects garbage: not among all that was imported, which would take longer than a short one."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tickets() -> list[tuple[str, str]]:
    """192 distinct texts with one of three labels each."""
    return [
        (f"{subject} {phrase}{ending}", label)
        for label, phrases in _CLASSES.items()
        for subject, phrase, ending in itertools.product(_SUBJECTS, phrases, _ENDINGS)
    ]


@pytest.fixture(scope="session")
def ticket_file(tickets: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tickets as a CSV file with the columns id, text and label."""
    path = tmp_path_factory.mktemp("data") / "tickets.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label"])
        writer.writerows([number, text, label] for number, (text, label) in enumerate(tickets))
    return path


@pytest.fixture(scope="session")
def tiny_encoder(tickets: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a BERT of two layers and 32 dimensions with random weights, whose words are the tickets'."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    # Written out: the ids of a vocabulary that is learned differ from process to process, and with them the runs.
    words = sorted({word for text, _ in tickets for word in re.findall(r"\w+|[^\w\s]", text)})
    letters = sorted(set("".join(words)))
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokens += [word for word in words if len(word) > 1]
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(tokens)})
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    folder = tmp_path_factory.mktemp("encoder")
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


_SYNSETS: dict[str, list[tuple[str, str, str]]] = {
    # part of speech: (type, lemmas, pointer) of each synset
    "noun": [
        ("n", "loss misplacement", "@ 00000000 n 0000"),
        ("n", "card calling_card", ""),
        ("n", "rest remainder", ""),
        ("n", "Goose", ""),
    ],
    "verb": [
        ("v", "lose misplace", ""),
        ("v", "stay remain rest", "@ 00000000 v 0000"),
        ("v", "persist remain stay", ""),
        ("v", "take rob", ""),
    ],
    "adj": [
        ("a", "primary chief main(a)", ""),
        ("s", "missing lost(p)", ""),
        ("s", "stolen taken robbed", ""),
        ("a", "on galore(ip)", ""),
    ],
    "adv": [("r", "today nowadays", "")],
}
_IRREGULAR = {"noun": "geese goose\n", "verb": "lost lose\ntook take\ntaken take\n", "adj": "", "adv": ""}


@pytest.fixture(scope="session")
def tiny_wordnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the twelve files of a WordNet of a few synsets."""
    folder = tmp_path_factory.mktemp("wordnet")
    licence = "  1 This software and database\n  2 WordNet 9.1 Copyright 2006 by nobody.\n"
    for part, synsets in _SYNSETS.items():
        data, offsets = licence, {}
        for kind, lemmas, pointer in synsets:
            words = lemmas.split()
            offset = len(data)
            data += f"{offset:08d} 00 {kind} {len(words):02x} {' '.join(f'{word} 0' for word in words)} "
            data += f'{int(bool(pointer)):03d} {pointer} | what it means; "as in | this"  \n'
            for word in words:
                offsets.setdefault(word.split("(")[0].lower(), []).append(offset)
        index = licence
        for lemma, found in sorted(offsets.items()):
            places = " ".join(f"{offset:08d}" for offset in found)
            index += f"{lemma} {synsets[0][0]} {len(found)} 1 @ {len(found)} 0 {places}  \n"
        (folder / f"data.{part}").write_text(data)
        (folder / f"index.{part}").write_text(index)
        (folder / f"{part}.exc").write_text(_IRREGULAR[part])
    return folder


@pytest.fixture(scope="session")
def squad_file(tickets: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """When it was is asked of every ticket, in the format of SQuAD 2.0; those without an ending do not tell."""
    paragraphs = []
    for number, (text, _) in enumerate(tickets):
        ending = next(ending.strip() for ending in reversed(_ENDINGS) if text.endswith(ending))
        answers = [{"text": ending, "answer_start": len(text) - len(ending)}] if ending else []
        question = {"id": f"q{number}", "question": "when?", "answers": answers}
        paragraphs.append({"context": text, "qas": [question]})
    path = tmp_path_factory.mktemp("squad") / "when.json"
    path.write_text(json.dumps({"version": "2.0", "data": [{"title": "tickets", "paragraphs": paragraphs}]}))
    return path


class Elsewhere(Engine):
    """Pretends to be other processes: what travels is pickled, and one thread does everything in its order."""

    def __init__(self, slots: int, *, shares_files: bool, begun: list[Any]) -> None:
        self._slots, self.shares_files, self.begun = slots, shares_files, begun
        self._pool = ThreadPoolExecutor(1)

    @property
    def slots(self) -> int:
        return self._slots

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        self.begun.append(arguments)
        return self._pool.submit(_travelled, function, pickle.dumps(arguments))

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _travelled(function: Callable[..., Any], arguments: bytes) -> Any:
    return pickle.loads(pickle.dumps(function(*pickle.loads(arguments))))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Makes trials run as if in other processes; returns the arguments of those that have begun."""

    def start(slots: int = 1, *, shares_files: bool = True) -> list[Any]:
        begun: list[Any] = []

        def engine(_place: Place) -> Engine:
            return Elsewhere(slots, shares_files=shares_files, begun=begun)

        monkeypatch.setattr(Place, "engine", engine)
        return begun

    return start


_COUNTED = {"card", "stolen", "taken", "thief", "today", "credit", "company"}


@pytest.fixture(scope="session")
def scored(tickets: list[tuple[str, str]]) -> list[tuple[str, float]]:
    """The texts of the tickets with a score each: 200, and 12.5 for every word of a certain kind."""
    return [(text, 200 + 12.5 * sum(word in _COUNTED for word in text.split())) for text, _ in tickets]


@pytest.fixture(scope="session")
def score_file(scored: list[tuple[str, float]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scored texts as a CSV file with the columns text and score."""
    path = tmp_path_factory.mktemp("data") / "scores.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "score"), *scored])
    return path


@pytest.fixture
def recipe(ticket_file, tiny_encoder) -> Recipe:
    settings = [
        f"data.source={ticket_file}",
        f"encoder.name={tiny_encoder}",
        "encoder.max_length=24",
        "stages.0.epochs=6",
        "stages.0.learning_rate=0.005",
    ]
    return with_values(method_recipe("cross-entropy"), settings)


@pytest.fixture(scope="session")
def span_run(squad_file, tiny_encoder, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """The folder and the metrics of a model that has learnt to answer the questions about the tickets."""
    from tellapart.question_answering.runs import train_qa

    folder = tmp_path_factory.mktemp("spans") / "run"
    quick = {"max_length": 32, "stride": 8, "epochs": 12, "learning_rate": 0.01, "quiet": True}
    return folder, train_qa(squad_file, folder, encoder=tiny_encoder, validation=squad_file, **quick)


# lost is mostly a verb, rest may be either, robbed and taken are adjectives as well; "chief" was never met
_TAGGED = """lose%2:40:02:: 1 95
misplace%2:40:00:: 1 3
today%4:02:00:: 1 20
nowadays%4:02:00:: 1 2
"""
_MET = """lose%2:40:02:: 1 95
misplace%2:40:00:: 1 3
lost%5:00:00:missing:00 1 5
missing%5:00:00:missing:00 1 5
primary%3:00:00:: 1 9
main%3:00:00:: 1 9
rest%1:06:00:: 1 5
rest%2:42:00:: 1 5
stay%2:42:00:: 1 40
remain%2:42:00:: 1 30
persist%2:42:01:: 1 4
today%4:02:00:: 1 20
nowadays%4:02:00:: 1 2
card%1:06:00:: 1 8
loss%1:04:00:: 1 8
misplacement%1:04:00:: 1 1
"""


@pytest.fixture(scope="session")
def wordnet(tiny_wordnet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of WordNet whose tagged texts know one synonym each of lost, misplaced and today."""
    folder = shutil.copytree(tiny_wordnet, tmp_path_factory.mktemp("tagged") / "dict")
    (folder / "cntlist.rev").write_text(_TAGGED)
    return folder


@pytest.fixture(scope="session")
def met_wordnet(tiny_wordnet: Path, tmp_path_factory: pytest.TempPathFactory) -> WordNet:
    folder = shutil.copytree(tiny_wordnet, tmp_path_factory.mktemp("met") / "dict")
    (folder / "cntlist.rev").write_text(_MET)
    return WordNet(folder)


@pytest.fixture(scope="session")
def quick(tiny_encoder: str) -> tuple[str, ...]:
    """The options of a run that takes a second."""
    return (
        "--encoder",
        tiny_encoder,
        "--epochs",
        "8",
        "--learning-rate",
        "0.005",
        "--max-length",
        "24",
        "--quiet",
    )


@pytest.fixture(scope="module")
def browser():
    """A Chromium of the system."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: extra browser"
    )
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    chromium = next(filter(None, found), None)
    if chromium is None:
        pytest.skip("there is no Chromium to open pages in")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def violations() -> Callable[[Any], list[tuple[str, list[str]]]]:
    """Returns the rules of axe-core that an open page violates, with the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="extra browser").Axe()

    def found(page: Any) -> list[tuple[str, list[str]]]:
        rules = axe.run(page).response["violations"]
        return [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in rules]

    return found
