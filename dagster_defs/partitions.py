"""The partitions of a home's graph as Dagster's: definitions, how one asset's keys map onto another's, how old an asset may be.

What belongs here: what Dagster's objects say of the table of assets. What does not: the table, and the keys themselves (`graph`),
which commands ask for that load no Dagster.
"""

import datetime as dt
import warnings

import dagster as dg

from dagster_defs.graph import AUDIENCE, AUDIENCES, CUTOFF, CUTOFFS, DAILY, NONE, AssetGraph, Read

warnings.filterwarnings("ignore", category=dg.BetaWarning)  # single-run backfills and mappings to days that may not exist

FRESHNESS = {
    kind: dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(days=fail), warn_window=dt.timedelta(days=warn))
    for kind, warn, fail in ((DAILY, 1.5, 3), (NONE, 1.5, 3), (AUDIENCE, 1.5, 3), (CUTOFF, 8, 15))
}
"""By kind of partitions: amber after a day that brought none, or a week for what is of a cutoff; red after two."""


NAMES = {CUTOFF: CUTOFFS, AUDIENCE: AUDIENCES}
"""Of kinds with dynamic partitions, what these are called."""


def definition(graph: AssetGraph, kind: str) -> dg.PartitionsDefinition | None:
    """The partitions of a kind of asset. Of days the keys are those of `AssetGraph.days`; of cutoffs and audiences those that were
    asked for, which the instance holds."""
    if kind == NONE:
        return None
    if kind in NAMES:
        return dg.DynamicPartitionsDefinition(name=NAMES[kind])
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
