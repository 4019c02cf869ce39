"""Where fetched sets are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Returns where fetched sets are kept: `TELLAPART_CACHE`, by default `~/.cache/tellapart`."""
    return Path(os.environ.get("TELLAPART_CACHE") or "~/.cache/tellapart").expanduser()
