"""What a process sets for itself where it is a way in. What does not belong here: anything of one request."""

import contextlib
import os
from collections.abc import Iterator

from found_platform.home import PRIVATE_UMASK


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Every file that this process makes within, in a home or elsewhere, is for its owner alone: exports hold raw ids."""
    before = os.umask(PRIVATE_UMASK)
    try:
        yield
    finally:
        os.umask(before)
