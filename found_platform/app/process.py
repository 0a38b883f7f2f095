"""What a process sets for itself where it is a way in. What does not belong here: anything of one request."""

import contextlib
import os
from collections.abc import Iterator

from found_platform import workers
from found_platform.home import PRIVATE_UMASK, default

TRAINING = ("found_platform.training.loaded",)
"""What the processes of training load."""


FITS = ("found_platform.evaluation.loaded",)
"""What the processes of a benchmark load."""


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Every file that this process makes within, in a home or elsewhere, is for its owner alone: exports hold raw ids."""
    before = os.umask(PRIVATE_UMASK)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def training_beside() -> Iterator[None]:
    """Has a process load what training and the benchmark's fits need while this one goes on; the stages that this one trains
    within are forks of it, and so are the fits and the look at drift, each of which would load scikit-learn again."""
    from found_platform.sources import pace

    with pace.measured(), workers.beside(*TRAINING, *FITS):
        yield


@contextlib.contextmanager
def fits_beside() -> Iterator[None]:
    """Has a process load what a benchmark fits and draws with while this one goes on, of which its fits and maps are forks."""
    with workers.beside(*FITS):
        yield


def harm(error: Exception) -> str | None:
    """What an error that came through outside of every use case says of files or the machine; None where it is of the code."""
    from found_platform import damage

    return None if (what := damage.of(error, default())) is None else str(what)
