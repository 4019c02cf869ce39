"""Class names from the metadata that `datasets` writes into Arrow and Parquet schemas."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from tellapart.errors import DataError

_KEY = b"huggingface"


def class_names(schema: pa.Schema, name: str, where: str) -> list[str] | None:
    """Returns the names of a `datasets.ClassLabel` column, or of a list of them; None if the metadata have none.

    Args:
        schema: A schema with metadata.
        name: The column.
        where: Name of the data in messages.

    Raises:
        DataError: The metadata are not as `datasets` writes them. The ids would otherwise pass for class names.
    """
    block = (schema.metadata or {}).get(_KEY)
    if block is None:
        return None
    try:
        features = _member(_member(json.loads(block), "info"), "features")
        names = _member(_without_lists(_member(features, name)), "names")
    except (ValueError, TypeError, RecursionError):
        raise _damaged(name, where) from None
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise _damaged(name, where)
    if len(set(names)) < len(names):
        raise _damaged(name, where)
    return names


def _member(section: Any, key: str) -> Any:
    """Returns a member of an object; None for a member of None.

    Raises:
        TypeError: The section is neither.
    """
    if section is not None and not isinstance(section, dict):
        raise TypeError(f"{key} of {type(section).__name__}")
    return None if section is None else section.get(key)


def _without_lists(feature: Any) -> Any:
    """Returns the feature of the elements, for a list of features in either notation.

    Raises:
        TypeError: The list names no feature.
    """
    while isinstance(feature, list) or (isinstance(feature, dict) and "feature" in feature):
        if isinstance(feature, list) and len(feature) != 1:
            raise TypeError("a list of features has one element")
        feature = feature[0] if isinstance(feature, list) else feature["feature"]
    return feature


def _damaged(name: str, where: str) -> DataError:
    return DataError(
        f'the Hugging Face metadata of {where} are damaged, so the class names of column "{name}" are unknown',
        "save the data again with datasets, or without these metadata and with class names in the column",
    )
