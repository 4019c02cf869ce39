"""Training speed of the small encoders: TextCNN against MiniLM, HAN against a HAN that loops over sentences.

    python benchmarks/encoder_speed.py --pairs 3
    python benchmarks/encoder_speed.py --rows 512 --documents 64 --pairs 3

First, one epoch each of MiniLM and TextCNN through `tellapart.Trainer` with the defaults of `tellapart train`, on the
same rows, batch size and maximum length; reading and tokenising are not timed. Then the same training steps of one
HAN twice, with the same weights and rows: with the encoder of tellapart, where all sentences of a batch pass through
one packed GRU, and with a loop that reads one sentence at a time. Only the ratios within a pair are meaningful; the
order alternates. Results go to benchmarks/results/encoder_speed.json.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from tellapart.data.batches.batching import LengthBucketBatchSampler, TokenisedDataset
from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import TextData
from tellapart.data.reading.rows import read_data
from tellapart.data.splits import prepare_splits, sample
from tellapart.encoders.loading import load_encoder, load_tokenizer
from tellapart.encoders.precision import use_bf16
from tellapart.encoders.scratch import build_encoder, texts_of
from tellapart.encoders.transformer import parameter_count
from tellapart.fitting.environment import environment
from tellapart.training.arguments import TrainingArguments
from tellapart.training.defaults import default_head_learning_rate, default_learning_rate
from tellapart.training.trainer import Trainer

RESULTS = Path(__file__).parent / "results"


def drawn(name: str, rows: int) -> TextData:
    """Returns a data set with a sample of its training rows."""
    data = prepare_splits(read_data(name), seed=0)
    train = sample(data.train, rows, seed=0) if rows < len(data.train) else data.train
    return TextData(train, None, None, data.labels)


def encoder(name: str, data: TextData, max_length: int) -> tuple[Any, TokenisedDataset]:
    """Returns a fresh model and its tokenised rows."""
    if name == "minilm":
        model, tokenizer = load_encoder(name, data.labels), load_tokenizer(name)
    else:
        model, tokenizer, _ = build_encoder(name, data.labels, texts_of(data.train))
    return model, tokenise(data.train, tokenizer, max_length=max_length, labels=data.labels)


def epoch(name: str, data: TextData, given: argparse.Namespace) -> float:
    """Returns the seconds of one training epoch."""
    transformers.set_seed(0)
    model, rows = encoder(name, data, given.max_length)
    scratch = name != "minilm"
    rate = default_learning_rate(parameter_count(model), scratch_kind=name if scratch else None)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=given.batch_size,
            num_train_epochs=1,
            learning_rate=rate,
            head_learning_rate=default_head_learning_rate(rate, from_scratch=scratch),
            bf16=use_bf16("auto", "cpu"),
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            log_level="error",
            logging_nan_inf_filter=False,
        )
        trainer = Trainer(model, arguments, train_dataset=rows)
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        start = time.perf_counter()
        trainer.train()
        return time.perf_counter() - start


class LoopedHAN(nn.Module):
    """The same network, one sentence after the other."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        vectors = [
            self._document(row[mask.bool()]) for row, mask in zip(input_ids, attention_mask, strict=True)
        ]
        return self.model.classifier(self.model.dropout(torch.stack(vectors)))

    def _document(self, tokens: Tensor) -> Tensor:
        han, config = self.model.han, self.model.config
        sentences: list[list[int]] = [[]]
        for token in tokens.tolist():
            if token == config.sep_token_id or len(sentences[-1]) == config.max_sentence_length:
                sentences.append([])
            if token != config.sep_token_id:
                sentences[-1].append(token)
        sentences = [sentence for sentence in sentences if sentence][: config.max_sentences]
        if not sentences:
            return torch.zeros(config.hidden_size)
        read = [_attended(han.words, han.dropout(han.embeddings(torch.tensor(words)))) for words in sentences]
        return _attended(han.sentences, torch.stack(read))


def _attended(layer: Any, vectors: Tensor) -> Tensor:
    states = layer.gru(vectors)[0]
    weights = torch.softmax(torch.tanh(layer.projection(states)) @ layer.context, 0)
    return weights @ states


def steps(
    model: Any, logits: Callable[[dict[str, Tensor]], Tensor], batches: list[dict[str, Tensor]]
) -> float:
    """Returns the seconds of one training step per batch."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    start = time.perf_counter()
    for batch in batches:
        labels = batch["labels"]
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        scores = logits(inputs)
        loss = (
            nn.functional.cross_entropy(scores, labels)
            if labels.dim() == 1
            else nn.functional.binary_cross_entropy_with_logits(scores, labels)
        )
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return time.perf_counter() - start


def alternated(
    pairs: int, first: Callable[[], float], second: Callable[[], float]
) -> list[tuple[float, float]]:
    """Returns the seconds of both sides in pairs, alternating which side runs first."""
    measured = []
    for pair in range(pairs):
        if pair % 2 == 0:
            one, two = first(), second()
        else:
            two, one = second(), first()
        measured.append((one, two))
        print(f"pair {pair}: {one:.2f} s and {two:.2f} s, {one / two:.1f}x", flush=True)
    return measured


def summary(names: tuple[str, str], texts: int, measured: list[tuple[float, float]]) -> dict[str, Any]:
    """Returns the result for the JSON file."""
    ratios = [one / two for one, two in measured]
    print(f"{names[1]} against {names[0]}: {statistics.median(ratios):.1f}x (median of {len(ratios)})")
    return {
        "texts": texts,
        "texts_per_second": {
            name: [texts / pair[side] for pair in measured] for side, name in enumerate(names)
        },
        "ratios": ratios,
        "median_ratio": statistics.median(ratios),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="r8")
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--document-data", default="20ng")
    parser.add_argument("--documents", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--document-length", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--output", type=Path, default=RESULTS / "encoder_speed.json")
    given = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    data = drawn(given.data, given.rows)
    epoch("textcnn", data, given)  # the first pass of a process also sets up threads and kernels
    training = alternated(
        given.pairs, lambda: epoch("minilm", data, given), lambda: epoch("textcnn", data, given)
    )

    documents = drawn(given.document_data, given.documents)
    transformers.set_seed(0)
    model, rows = encoder("han", documents, given.document_length)
    batches = [rows.batch(chosen) for chosen in LengthBucketBatchSampler(rows.lengths, given.batch_size)]
    packed, looped = model.train(), LoopedHAN(copy.deepcopy(model)).train()
    reading = alternated(
        given.pairs,
        lambda: steps(looped, lambda inputs: looped(**inputs), batches),
        lambda: steps(packed, lambda inputs: packed(**inputs).logits, batches),
    )

    texts, read = len(data.train), len(documents.train)
    result = {
        "command": {key: value for key, value in vars(given).items() if key != "output"},
        "environment": environment(),
        "mean_tokens": {
            "textcnn": float(np.mean(encoder("textcnn", data, given.max_length)[1].lengths.numpy())),
            "minilm": float(np.mean(encoder("minilm", data, given.max_length)[1].lengths.numpy())),
            "han": float(np.mean(rows.lengths.numpy())),
        },
        "textcnn": summary(("minilm", "textcnn"), texts, training),
        "han": summary(("loop", "han"), read, reading),
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
