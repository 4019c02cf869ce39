"""Memory of training steps on CPUs: what a step frees is kept for the next one."""

from __future__ import annotations

import contextlib
import ctypes
import platform

# Parameters of glibc's mallopt (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_UP_TO = 1 << 30


def keep_large_blocks() -> bool:
    """Has glibc keep freed blocks of up to 1 GiB in the process rather than give them back to the system.

    By default blocks above 32 MiB, such as the attention weights of a large batch, are mapped afresh whenever they
    are needed, and the system clears them page by page, at every step anew. The process holds on to the memory of its
    largest step until it ends. Without glibc (macOS, Windows, musl) nothing is done.

    Returns:
        Whether the library took the setting.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        taken = [mallopt(_MMAP_THRESHOLD, _KEPT_UP_TO), mallopt(_TRIM_THRESHOLD, 2 * _KEPT_UP_TO - 1)]
        return all(taken)
    return False
