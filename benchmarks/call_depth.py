"""Counts the package's own stack frames between `tellapart train` and `LabelDistance.forward`.

Trains a random BERT of two layers for one step in a temporary folder and prints the stack of the first call of the
objective: one line per frame of `tellapart`, outermost first, then the number of frames and modules. Frames of other
packages are left out.

    python benchmarks/call_depth.py
"""

from __future__ import annotations

import csv
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizer

import tellapart
from tellapart.cli import main
from tellapart.objectives import LabelDistance

SOURCE = Path(tellapart.__file__).parent
ROWS = [(f"my card {verb} {day}", verb) for verb in ("lost", "stolen") for day in range(20)]


class _Reached(BaseException):
    """Ends the run at the first call of the objective."""


def write_encoder(folder: Path) -> None:
    """Saves a BERT with random weights and a tokeniser of the rows' words."""
    learned = BertWordPieceTokenizer()
    learned.train_from_iterator((text for text, _ in ROWS), vocab_size=100, show_progress=False)
    tokenizer = BertTokenizer(vocab=learned.get_vocab())
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def own_frames() -> list[tuple[str, str]]:
    """Runs `tellapart train` and returns the module and function of each own frame, outermost first."""
    found: list[tuple[str, str]] = []

    def forward(self: Any, *_: Any, **__: Any) -> None:
        for frame in traceback.extract_stack()[:-1]:
            path = Path(frame.filename)
            if path.is_relative_to(SOURCE):
                found.append((".".join(path.relative_to(SOURCE).with_suffix("").parts), frame.name))
        found.append(("objectives.label_distance", "forward"))
        raise _Reached

    try:
        with patch.object(LabelDistance, "forward", forward), tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_encoder(folder / "encoder")
            with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("text", "label"), *ROWS])
            options = {"encoder": folder / "encoder", "method": "label-distance", "output": folder / "run"}
            given = [part for key, value in options.items() for part in (f"--{key}", str(value))]
            main(["train", str(folder / "rows.csv"), *given, "--max-length", "16", "--quiet"])
    except _Reached:
        pass
    return found


if __name__ == "__main__":
    frames = own_frames()
    for module, function in frames:
        print(f"{module}: {function}")
    print(f"{len(frames)} frames in {len({module for module, _ in frames})} modules")
    sys.exit(0 if frames else 1)
