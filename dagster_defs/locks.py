"""Locks on what a run writes, so that two runs never write the same at a time, and nobody waits who writes something else.

What belongs here: which locks a run needs, and holding them. How a lock works is `found_platform.home`'s.
"""

import contextlib
import logging
from collections.abc import Iterable, Iterator

from dagster_defs.graph import DAILY, AssetGraph
from found_platform import command_line, home
from found_platform.settings import Settings

log = logging.getLogger(__name__)


def names(graph: AssetGraph, asset: str, keys: Iterable[str]) -> list[str]:
    """The locks of a run over these keys.

    Days share a lock a month: a run over thirty years of days would else hold more open files than a process may.
    """
    row = graph.table[asset]
    units = {key[:7] if row.partitions == DAILY else key for key in keys} or {""}
    return sorted({f"run-{(row.writes or f'{asset}-{{key}}').format(key=unit)}".rstrip("-") for unit in units})


@contextlib.contextmanager
def hold(settings: Settings, needed: Iterable[str], seconds: float | None = None) -> Iterator[bool]:
    """Holds locks of a home, and says on the log whom it waits for. Yields whether it had to. Raises JobFailed after `seconds`,
    by default what the settings say.

    Who goes through the whole home (an erasure, a backup) holds every lock of a run that there is. One that there is not yet is
    made while nobody does: so a run over a month that the home never had waits for them too.
    """
    purpose = command_line.own()
    needed = set(needed)
    seconds = settings.wait_seconds if seconds is None else seconds
    if unmade := [name for name in needed if not home.is_made(settings.home, name)]:
        with home.hold(settings.home, [home.WHOLE], purpose, seconds=seconds, waiting=log.warning):
            for name in unmade:
                home.make_lock(settings.home, name)
    with home.hold(settings.home, needed, purpose, seconds=seconds, waiting=log.warning) as waited:
        yield waited
