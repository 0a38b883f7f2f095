"""The partitions of a home's graph as Dagster's: definitions, how one asset's keys map onto another's, how old an asset may be.

What belongs here: what Dagster's objects say of the table of assets. What does not: the table, and the keys themselves (`graph`),
which commands ask for that load no Dagster.
"""

import datetime as dt
import warnings

import dagster as dg

from dagster_defs.graph import AUDIENCE, AUDIENCES, CUTOFF, DAILY, NONE, AssetGraph, Read

warnings.filterwarnings("ignore", category=dg.BetaWarning)  # single-run backfills and mappings to days that may not exist

FRESHNESS = {
    kind: dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(days=fail), warn_window=dt.timedelta(days=warn))
    for kind, warn, fail in ((DAILY, 1.5, 3), (NONE, 1.5, 3), (AUDIENCE, 1.5, 3), (CUTOFF, 8, 15))
}
"""By kind of partitions: amber after a day that brought none, or a week for what is of a cutoff; red after two."""


ASKED_FOR = (
    "A partition is a day that could be a cutoff. It is made where somebody asks for a model of that day, or the schedule does "
    "(`retrain_weekly`); all others stay *missing*, and nothing is wrong with that. `found status` counts those that were made."
)
"""At the end of the description of what is of a cutoff: the page counts every other day as missing."""


def definition(graph: AssetGraph, kind: str) -> dg.PartitionsDefinition | None:
    """The partitions of a kind of asset; its keys are those of `AssetGraph.days`."""
    if kind == NONE:
        return None
    if kind == AUDIENCE:
        return dg.DynamicPartitionsDefinition(name=AUDIENCES)
    start, end = (str(day) if day else None for day in graph.bounds(kind))
    assert start is not None
    return dg.DailyPartitionsDefinition(start_date=start, end_date=end)


def mapping(graph: AssetGraph, kind: str, upstream: str, read: Read | None) -> dg.PartitionMapping | None:
    """What of an upstream an asset of this kind reads."""
    if kind == NONE or graph.table[upstream].partitions == NONE:
        return None
    if kind == AUDIENCE:
        return dg.AllPartitionMapping()
    if read is None:
        return None
    return dg.TimeWindowPartitionMapping(start_offset=read.first, end_offset=read.last, allow_nonexistent_upstream_partitions=True)
