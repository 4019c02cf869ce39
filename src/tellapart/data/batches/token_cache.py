"""Disk cache of token ids for large data sets.

Files are in the cache folder (`TELLAPART_CACHE`), readable only by their owner, as safetensors named by a hash of the
texts, the tokeniser and the maximum length. Above `LARGEST_CACHE` bytes the least recently used files are deleted.
`TELLAPART_TOKEN_CACHE=0` disables the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from tellapart.data.examples import TextSplit
from tellapart.errors import OutputError
from tellapart.files import cache_folder, replacing

FEWEST_ROWS = 20_000
"""Minimum number of rows: tokenising fewer takes hardly any time."""

LARGEST_CACHE = 4 << 30

_TEXTS_AT_ONCE = 10_000

_VERSION = 1  # of the file format


def tokens_key(split: TextSplit, tokenizer: Any, max_length: int) -> str | None:
    """Returns the cache key of a split.

    Args:
        split: The texts.
        tokenizer: The tokeniser.
        max_length: Maximum length of a row in tokens.

    Returns:
        A hexadecimal SHA-256; None if the ids are not cached, because there are few rows or the tokeniser cannot be
        hashed.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if len(split) < FEWEST_ROWS or backend is None or os.environ.get("TELLAPART_TOKEN_CACHE") == "0":
        return None
    described = json.loads(backend.to_str())
    settings = {
        # Without the settings of the last call.
        "backend": {name: part for name, part in described.items() if name not in ("truncation", "padding")},
        "version": _VERSION,
        "max_length": max_length,
        "class": type(tokenizer).__qualname__,
        "inputs": tokenizer.model_input_names,
        "truncation_side": tokenizer.truncation_side,
        "split_special_tokens": tokenizer.split_special_tokens,
        "pairs": split.text_pairs is not None,
    }
    digest = hashlib.sha256(json.dumps(settings).encode())
    for texts in (split.texts, split.text_pairs or ()):
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            piece = texts[start : start + _TEXTS_AT_ONCE]
            # The lengths make the concatenation unambiguous.
            digest.update(np.fromiter(map(len, piece), dtype=np.int64, count=len(piece)).tobytes())
            digest.update("".join(piece).encode(errors="surrogatepass"))
    return digest.hexdigest()


def kept_tokens(key: str) -> dict[str, np.ndarray] | None:
    """Returns the cached arrays of a key; None if missing or unreadable."""
    file = _file(key)
    try:
        tokens = load_file(file)
        os.utime(file)
    except (OSError, SafetensorError):
        return None
    return tokens


def keep_tokens(key: str, tokens: Mapping[str, np.ndarray]) -> None:
    """Caches arrays under a key; failures to write are ignored."""
    with contextlib.suppress(OutputError, OSError):
        folder = _file(key).parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(_file(key)) as temporary:
            save_file(dict(tokens), temporary)
        _forget_oldest(folder)


def _file(key: str) -> Path:
    return cache_folder() / "tokens" / f"{key}.safetensors"


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > LARGEST_CACHE:
            file.unlink(missing_ok=True)
