"""Cutoffs as dynamic partitions: one for each day of which somebody has asked for a model, and no other.

What belongs here: adding them, those of a home of an earlier version too, and whether a key is a cutoff of the home. What does not:
which days could be one (`graph`).
"""

from collections.abc import Iterable

import dagster as dg

from dagster_defs.graph import CUTOFF, CUTOFFS, AssetGraph, table
from found_platform import home
from found_platform.errors import BadInput
from found_platform.settings import Settings


def add(graph: AssetGraph, instance: dg.DagsterInstance, keys: Iterable[str]) -> None:
    """Makes these cutoffs partitions. Dagster looks whether one is there, and then adds it: one process at a time.

    Raises BadInput where one is no cutoff of the home.
    """
    keys = list(keys)
    check(graph, keys)
    bring_up_to_date(graph.settings, instance)
    if not set(keys) <= set(instance.get_dynamic_partitions(CUTOFFS)):
        with home.lock(graph.settings.home, CUTOFFS):
            instance.add_dynamic_partitions(CUTOFFS, keys)


def check(graph: AssetGraph, keys: Iterable[str]) -> None:
    """Raises BadInput where a key is no cutoff of the home: a person may write any into the UI."""
    days = graph.days(CUTOFF)
    possible = set(days)
    for key in keys:
        if key not in possible:
            raise BadInput(
                f"{key} cannot be a cutoff of this home: a cutoff is the day after the last one that a model may see, "
                f"from {days[0]} to {days[-1]}, written YYYY-MM-DD."
            )


def bring_up_to_date(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Makes the cutoffs of a home partitions that was made when every day was one: those of which anything was made."""
    if instance.get_dynamic_partitions(CUTOFFS):
        return
    assets = [dg.AssetKey(asset) for asset, row in table(settings).items() if row.partitions == CUTOFF]
    materialized = {key for asset in assets for key in instance.get_materialized_partitions(asset)}
    if materialized:
        with home.lock(settings.home, CUTOFFS):
            instance.add_dynamic_partitions(CUTOFFS, sorted(materialized))
