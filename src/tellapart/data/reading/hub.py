"""Loads data sets from the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from tellapart.data.reading.columns import Columns
from tellapart.data.reading.sources import split_tables
from tellapart.data.reading.values import is_unlabelled, standard_table
from tellapart.errors import DataError


@dataclass(frozen=True)
class HubSource:
    """A data set on the Hugging Face Hub.

    Args:
        name: `organisation/name`.
        columns: Its columns of texts and labels.
        config: Its configuration, or None for the default one.
        label_names: New name of each label; empty to keep the labels.
        splits: The Hub's name of each split to load; empty for the splits with usual names.
        regression: Whether its labels are numeric targets.
    """

    name: str
    columns: Columns
    config: str | None = None
    label_names: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)
    regression: bool = False

    def __str__(self) -> str:
        return f"Hub {self.name}" + (f"/{self.config}" if self.config else "")

    def tables(self) -> dict[str, pa.Table]:
        """Loads the splits that have labels, in columns `text`, `text_pair`, `label(s)`, `question_id`.

        Raises:
            DataError: The set could not be loaded, or its columns or labels have changed.
        """
        loaded = hub_tables(self.name, self.config, self.splits)
        return {
            split: standard_table(
                table,
                self.columns,
                self.label_names,
                regression=self.regression,
                where=f"{self.name} ({split})",
            )
            for split, table in loaded.items()
            if not is_unlabelled(table, str(self.columns.label))
        }


def hub_tables(
    name: str, config: str | None = None, splits: Mapping[str, str] | None = None
) -> dict[str, pa.Table]:
    """Loads a data set from the Hugging Face Hub, or from the cache of `datasets`.

    Args:
        name: `organisation/name`.
        config: One of its configurations; None for the default one.
        splits: The Hub's name of each split to load; by default those of `SPLIT_NAMES`.

    Raises:
        DataError: The set, its configuration or a split does not exist, or the Hub cannot be reached.
    """
    import datasets

    try:
        loaded = datasets.load_dataset(name, config)
        if splits:
            loaded = {standard: loaded[own] for standard, own in splits.items()}
    except ConnectionError as error:
        raise DataError(
            f'"{name}" could not be loaded, since the Hugging Face Hub cannot be reached',
            "check the name and the network, and unset HF_HUB_OFFLINE",
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f'"{name}" could not be loaded from the Hugging Face Hub ({reason})',
            'check the name on https://huggingface.co/datasets; a configuration is written "name/config"',
        ) from error
    return split_tables(loaded, name)
