from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tellapart.training import allocation

PROGRAM = """
import resource
import torch
from tellapart.training.allocation import keep_large_blocks

def faults(blocks):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(blocks):
        torch.zeros(48 << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(1)
anew = faults(4)
assert keep_large_blocks()
faults(1)
print(anew, faults(4))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_large_blocks_are_used_again():
    """In a process of its own, since the setting is the process's."""
    finished = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    anew, kept = map(int, finished.stdout.split())
    assert anew > 100  # pages that the system had to clear again
    assert kept < anew / 10


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocation.platform, "libc_ver", lambda: ("", ""))
    assert not allocation.keep_large_blocks()
