"""The tokeniser of a fused encoder: tokenises each text once per part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import BatchEncoding

from tellapart.data.batches.batching import part_suffix
from tellapart.encoders.pretrained import read_tokenizer
from tellapart.errors import ModelError
from tellapart.files import replacing, write_text

TOKENIZER_FILE = "fused_tokenizer.json"


class FusedTokenizer:
    """Combines the tokenisers of a fused encoder's parts into one.

    Args:
        parts: Transformers tokenisers, in the order of the encoder's parts.

    Raises:
        ModelError: There are fewer than two, or one is a `FusedTokenizer` itself.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        if len(parts) < 2:
            raise ModelError(f"a fused tokeniser has two or more parts, not {len(parts)}", "name another one")
        if any(isinstance(part, FusedTokenizer) for part in parts):
            raise ModelError("a fused encoder cannot be a part of another one", "name its parts one by one")
        self.parts = list(parts)

    def __call__(
        self,
        text: str | Sequence[str],
        text_pair: str | Sequence[str] | None = None,
        *,
        return_tensors: str | None = None,
        **options: Any,
    ) -> BatchEncoding:
        """Tokenises texts or text pairs with every part.

        Args:
            text: One text or several.
            text_pair: The second texts.
            return_tensors: `pt` or `np` for tensors; by default lists.
            options: Options of Transformers tokenisers, such as `truncation`, `max_length` (per part) and
                `padding`; the same for all parts.

        Returns:
            `input_ids`, `attention_mask` … of the first part, `input_ids_2`, `attention_mask_2` … of the second,
            and so on.
        """
        encoded: dict[str, Any] = {}
        for number, part in enumerate(self.parts):
            own = part(text, text_pair, return_tensors=return_tensors, **options)
            encoded |= {name + part_suffix(number): values for name, values in own.items()}
        return BatchEncoding(encoded)

    @property
    def model_max_length(self) -> int:
        """The maximum input length in tokens that every part supports; setting it sets it for all parts."""
        return min(part.model_max_length for part in self.parts)

    @model_max_length.setter
    def model_max_length(self, length: int) -> None:
        for part in self.parts:
            part.model_max_length = length

    @property
    def pad_token_id(self) -> int | None:
        """The padding id of the first part; the other parts use their own."""
        return self.parts[0].pad_token_id

    @property
    def model_input_names(self) -> list[str]:
        """The names of all inputs."""
        return [
            name + part_suffix(number)
            for number, part in enumerate(self.parts)
            for name in part.model_input_names
        ]

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes each part to `tokenizer-1`, `tokenizer-2` … and the number of parts to a JSON file.

        Raises:
            OutputError: The folder cannot be written.
        """
        for number, part in enumerate(self.parts, start=1):
            with replacing(Path(folder) / f"tokenizer-{number}") as temporary:
                part.save_pretrained(temporary)
        write_text(Path(folder) / TOKENIZER_FILE, json.dumps({"parts": len(self.parts)}) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> FusedTokenizer:
        """Reads the files of `save_pretrained`.

        Raises:
            ModelError: The folder holds no fused tokeniser.
        """
        try:
            count = int(json.loads((Path(folder) / TOKENIZER_FILE).read_text(encoding="utf-8"))["parts"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ModelError(
                f"{folder} holds no fused tokeniser (no readable {TOKENIZER_FILE})",
                "use a folder that tellapart wrote",
            ) from None
        return cls([read_tokenizer(Path(folder) / f"tokenizer-{number}") for number in range(1, count + 1)])
