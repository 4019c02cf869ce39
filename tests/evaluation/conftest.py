"""A WordNet that has met its words."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tellapart.pretraining.wordnet import WordNet

# lost is mostly a verb, rest may be either, robbed and taken are adjectives as well; "chief" was never met
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
def met_wordnet(tiny_wordnet: Path, tmp_path_factory: pytest.TempPathFactory) -> WordNet:
    folder = shutil.copytree(tiny_wordnet, tmp_path_factory.mktemp("met") / "dict")
    (folder / "cntlist.rev").write_text(_MET)
    return WordNet(folder)
