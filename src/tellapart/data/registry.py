"""The benchmark sets that tellapart knows by name: where each comes from and what to watch out for."""

from __future__ import annotations

from tellapart.data.sets.base import BenchmarkSet
from tellapart.data.sets.chinese import CHINESE
from tellapart.data.sets.english import ENGLISH
from tellapart.data.sets.glue import GLUE
from tellapart.data.sets.medweb import MEDWEB

__all__ = ["SETS", "BenchmarkSet"]

SETS = (*ENGLISH, *GLUE, *MEDWEB, *CHINESE)
