"""The benchmark sets that tellapart knows by name: where each comes from and what to watch out for."""

from __future__ import annotations

from tellapart.data.benchmarks.base import BenchmarkSet
from tellapart.data.benchmarks.chinese import CHINESE
from tellapart.data.benchmarks.english import ENGLISH
from tellapart.data.benchmarks.glue import GLUE
from tellapart.data.benchmarks.medweb import MEDWEB

__all__ = ["SETS", "BenchmarkSet"]

SETS = (*ENGLISH, *GLUE, *MEDWEB, *CHINESE)
