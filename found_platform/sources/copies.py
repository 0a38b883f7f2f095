"""Copies: a text file in another form than it was brought in, for as long as somebody reads it.

What belongs here: where they are. What does not: what is in them (`dialects`, `sieve`). One folder of a process holds them all, so
that a connection can be told beforehand what it may read (`sandbox`). Like what spills, it goes with its process, however it ends.
"""

import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

from found_platform import spill

_folders: dict[int, Path] = {}


def folder() -> Path:
    """The folder of this process."""
    own = _folders.get(os.getpid())
    if own is None or not own.is_dir():
        own = _folders[os.getpid()] = spill.folder()
        own.mkdir(mode=0o700)
    return own


def new() -> Any:
    """An empty file that goes with its last user."""
    copy = tempfile.NamedTemporaryFile(dir=folder(), suffix=".csv", delete=False)  # noqa: SIM115 (closed with its last user)
    weakref.finalize(copy, Path(copy.name).unlink, missing_ok=True)  # at the end of a process its folder may go first
    return copy
