"""Tokenises splits in memory-saving chunks, with a disk cache."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from tellapart.data.batches.batching import JointDataset, TokenisedDataset, part_suffix
from tellapart.data.batches.encodings import encodings, is_plain_fast
from tellapart.data.batches.token_cache import keep_tokens, kept_tokens, tokens_key
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import DataError, TellapartWarning

ROWS_AT_ONCE = 1024
"""Rows per tokeniser call: the encodings take kilobytes per row until the ids are extracted."""

IGNORED_LABEL = -100
"""The label of rows whose loss PyTorch and Transformers ignore."""

_RAGGED = ("input_ids", "token_type_ids")
_MASK = "attention_mask"


@dataclass(frozen=True)
class _Tokens:
    """Flat int32 ids by input name, the tokens of each row, and whether each row was truncated."""

    columns: dict[str, np.ndarray]
    lengths: np.ndarray
    cut: np.ndarray


def tokenise(
    split: TextSplit, tokenizer: Any, *, max_length: int, labels: LabelSpace | None = None
) -> TokenisedDataset:
    """Tokenises a split; the ids of large splits are cached, see `tellapart.data.batches.token_cache`.

    Args:
        split: Texts, or pairs (joined by the tokeniser, truncating the longer text first).
        tokenizer: A Transformers tokeniser, or one with `parts`, each of which tokenises the split for a
            `JointDataset`.
        max_length: Maximum length of a row in tokens, special tokens included.
        labels: If given, the split's labels are encoded.

    Raises:
        DataError: A label is not among `labels`.
    """
    parts = getattr(tokenizer, "parts", None)
    if parts is not None:
        return _joined([tokenise(split, part, max_length=max_length, labels=labels) for part in parts])
    ids = labels.encode(split.labels) if labels is not None and split.labels is not None else None
    tokens = _tokens(split, tokenizer, max_length)
    return _dataset(tokens.columns, tokens.lengths, ids, tokenizer, tokens.cut)


def tokenised_rows(dataset: Any, tokenizer: Any = None, *, ignored: bool = True) -> TokenisedDataset:
    """Converts a tokenised map-style data set, as Transformers scripts build it.

    Args:
        dataset: Rows with `input_ids` and, for training, `labels` or `label`; a `datasets.Dataset`
            or a sequence of dicts. `token_type_ids` are kept, and `input_ids_2` … of a fused encoder's other parts,
            for which a `JointDataset` is returned; tokens whose `attention_mask` is 0, such as padding, are left out;
            other columns are ignored.
        tokenizer: Provides the padding ids.
        ignored: Whether to keep the rows with the label -100, which have no loss.

    Raises:
        DataError: There are no rows or no `input_ids`, or a label is missing or no number.
    """
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise DataError(
            f"the data set is a {type(dataset).__name__}, which cannot be indexed",
            "give a datasets.Dataset, or a list of rows",
        )
    if not len(dataset):
        raise DataError("the data set has no rows", "give at least one row")
    names = getattr(dataset, "column_names", None) or list(dataset[0])
    if "input_ids" not in names:
        raise DataError(
            f"the data set has no input_ids, only {', '.join(names)}",
            "map the tokenizer over it first",
        )
    label_name = next((name for name in ("labels", "label") if name in names), None)

    def column(name: str) -> list:
        return list(dataset[name]) if hasattr(dataset, "column_names") else [row[name] for row in dataset]

    labels = None if label_name is None else _label_array(column(label_name), label_name)
    if labels is not None and labels.ndim == 1 and not ignored:
        kept = np.flatnonzero(labels != IGNORED_LABEL)
        if len(kept) < len(labels):
            return tokenised_rows(_chosen(dataset, kept), tokenizer)
    parts: list[TokenisedDataset] = []
    tokenizers = getattr(tokenizer, "parts", None)
    while "input_ids" + (suffix := part_suffix(len(parts))) in names:
        ragged = {name: column(name + suffix) for name in _RAGGED if name + suffix in names}
        if _MASK + suffix in names:
            ragged = _without_padding(ragged, column(_MASK + suffix))
        lengths = _lengths(ragged["input_ids"])
        flat = {name: _flatten(rows, int(lengths.sum())) for name, rows in ragged.items()}
        parts.append(_dataset(flat, lengths, labels, tokenizers[len(parts)] if tokenizers else tokenizer))
    return _joined(parts)


def _label_array(labels: list, name: str) -> np.ndarray:
    """Returns class ids int64 (N,), targets float (N,), or a multi-hot matrix float32 (N, K).

    Raises:
        DataError: A label is missing or no number, or the rows differ in their number of labels.
    """
    for row, label in enumerate(labels):
        if label is None or isinstance(label, str):
            raise DataError(
                f'row {row} of the data set has {"no" if label is None else "a text as"} label in "{name}"',
                "give class ids, or remove the column where labels are not known: "
                f'dataset.remove_columns("{name}")',
            )
    try:
        found = np.asarray(labels)
    except ValueError:  # rows of several lengths
        found = np.empty(0, dtype=object)
    if found.dtype.kind not in "biuf" or found.ndim > 2:
        raise DataError(
            f'the labels in "{name}" are neither class ids nor multi-hot vectors of one length',
            "give a class id for each row, or a vector of zeros and ones with one number per class",
        )
    if found.ndim == 2:
        return found.astype(np.float32)
    return found if found.dtype.kind == "f" else found.astype(np.int64)


def _chosen(dataset: Any, rows: np.ndarray) -> Any:
    """Returns some rows of a data set.

    Raises:
        DataError: None is left.
    """
    if not len(rows):
        raise DataError(
            f"all rows of the data set have the label {IGNORED_LABEL}, which has no loss",
            "give rows with class ids",
        )
    left_out = len(dataset) - len(rows)
    warnings.warn(
        f"{left_out} of {len(dataset)} training rows have the label {IGNORED_LABEL}, which has no loss, and are left "
        "out.",
        TellapartWarning,
        stacklevel=5,
    )
    return dataset.select(rows) if hasattr(dataset, "select") else [dataset[int(row)] for row in rows]


def _without_padding(ragged: Mapping[str, list], masks: list) -> dict[str, list]:
    """Returns the tokens whose attention mask is not 0."""
    kept = [np.asarray(mask, dtype=bool) for mask in masks]
    if not kept or np.concatenate(kept).all():
        return dict(ragged)
    return {
        name: [np.asarray(row)[mask] for row, mask in zip(rows, kept, strict=True)]
        for name, rows in ragged.items()
    }


def _tokens(split: TextSplit, tokenizer: Any, max_length: int) -> _Tokens:
    """Returns the ids of all rows, from the cache if possible."""
    key = tokens_key(split, tokenizer, max_length)
    kept = None if key is None else kept_tokens(key)
    if kept is not None:
        return _Tokens(kept, kept.pop("lengths"), kept.pop("cut"))
    encode = _encode_fast if is_plain_fast(tokenizer) else _encode
    pieces = [encode(piece, tokenizer, max_length) for piece in _pieces(split)]
    tokens = _Tokens(
        {name: _concatenated(piece.columns[name] for piece in pieces) for name in pieces[0].columns},
        _concatenated(piece.lengths for piece in pieces),
        _concatenated(piece.cut for piece in pieces),
    )
    if key is not None:
        keep_tokens(key, {**tokens.columns, "lengths": tokens.lengths, "cut": tokens.cut})
    return tokens


def _pieces(split: TextSplit) -> Iterator[TextSplit]:
    for start in range(0, max(1, len(split)), ROWS_AT_ONCE):
        end = start + ROWS_AT_ONCE
        yield TextSplit(
            split.texts[start:end],
            None if split.text_pairs is None else split.text_pairs[start:end],
        )


def _encode_fast(split: TextSplit, tokenizer: PreTrainedTokenizerFast, max_length: int) -> _Tokens:
    rows = encodings(split, tokenizer, max_length)
    ragged = {"input_ids": [row.ids for row in rows]}
    if split.text_pairs is not None and "token_type_ids" in tokenizer.model_input_names:
        ragged["token_type_ids"] = [row.type_ids for row in rows]
    cut = np.fromiter((bool(row.overflowing) for row in rows), dtype=bool, count=len(rows))
    return _flat(ragged, cut)


def _encode(split: TextSplit, tokenizer: Any, max_length: int) -> _Tokens:
    encoded = tokenizer(
        split.texts,
        split.text_pairs,
        truncation=True,
        max_length=max_length,
        padding=False,
        return_attention_mask=False,
    )
    ragged = {name: encoded[name] for name in _RAGGED if name in encoded}
    if split.text_pairs is None:
        ragged.pop("token_type_ids", None)  # all zero: the models' default
    return _flat(ragged, _cut_rows(split, tokenizer, encoded, max_length))


def _cut_rows(split: TextSplit, tokenizer: Any, encoded: Any, max_length: int) -> np.ndarray:
    """Returns whether each row was truncated, bool (N,), checking only rows of maximum length."""
    cut = np.fromiter((len(row) >= max_length for row in encoded["input_ids"]), dtype=bool)
    full = np.flatnonzero(cut)
    encodings = getattr(encoded, "encodings", None)
    if encodings is not None:  # the tokenizers library keeps the overflow
        cut[full] = [bool(encodings[row].overflowing) for row in full]
    elif len(full):
        rows = split.select(full)
        whole = tokenizer(rows.texts, rows.text_pairs, truncation=False, padding=False, verbose=False)
        cut[full] = [len(row) > max_length for row in whole["input_ids"]]
    return cut


def _flat(ragged: Mapping[str, list], cut: np.ndarray) -> _Tokens:
    lengths = _lengths(ragged["input_ids"])
    total = int(lengths.sum())
    return _Tokens({name: _flatten(rows, total) for name, rows in ragged.items()}, lengths, cut)


def _lengths(rows: list) -> np.ndarray:
    return np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))


def _flatten(rows: Iterable[Iterable[int]], total: int) -> np.ndarray:
    return np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=total)


def _concatenated(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(arrays))


def _dataset(
    columns: Mapping[str, np.ndarray],
    lengths: np.ndarray,
    labels: np.ndarray | None,
    tokenizer: Any,
    cut: np.ndarray | None = None,
) -> TokenisedDataset:
    padding = {}
    if tokenizer is not None:
        padding = {
            "input_ids": tokenizer.pad_token_id or 0,
            "token_type_ids": getattr(tokenizer, "pad_token_type_id", 0) or 0,
        }
    left = getattr(tokenizer, "padding_side", "right") == "left"
    return TokenisedDataset(columns, lengths, labels, padding, left, cut)


def _joined(parts: list[TokenisedDataset]) -> TokenisedDataset:
    return parts[0] if len(parts) == 1 else JointDataset(parts)
