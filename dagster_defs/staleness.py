"""Missing and stale: which partitions there are, which would come out of other inputs now, and what an asset waits for.

What belongs here: comparing what was recorded with what is. What does not: doing anything about it (`runs`).
"""

import contextlib
import datetime as dt
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster_defs import fingerprints
from dagster_defs.graph import CUTOFF, DAILY, NONE, AssetGraph, Read
from dagster_defs.records import Instance
from found_platform.errors import BadInput
from found_platform.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

TRAINED = {"user_text_pairs": "", "behavior_encoder": "behavior", "tabular_encoder": "", "found_model": "align"}
"""Assets with files under `HOME/training/CUTOFF`: a stage's folder, or none (a source without a profile trains no table)."""

IN_LAKE = frozenset(
    {
        "quarantine",
        "raw_events",
        "raw_profile",
        "behavior_text",
        "behavior_sequence",
        "search_text",
        "user_tabular",
        "training_set",
        "text_vectors",
        "user_embeddings",
        "benchmark_results",
    }
)
"""Assets that are a lake table of the same name."""


@dataclass(frozen=True)
class State:
    """What is there of an asset: keys it could have, keys made, and of those the ones that would come out of other inputs now."""

    asset: str
    kind: str
    possible: int
    materialized: list[str]
    stale: list[str]


def of_home(settings: Settings) -> list[State]:
    """`states` of a home, without Dagster where everything that it would be asked has been read before."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def instance() -> "dg.DagsterInstance":
            from dagster_defs.execution import open_instance

            return stack.enter_context(open_instance(settings))

        return states(AssetGraph(settings), instance)


def states(graph: AssetGraph, instance: Instance) -> list[State]:
    """The state of every asset, in the order of the graph. An upstream that has to be redone first may make more of it stale."""
    rows = []
    for asset, row in graph.table.items():
        recorded = fingerprints.newest(graph, instance, asset)
        keys = graph.keys(asset) or ([""] if row.partitions == NONE else [])
        materialized = [k for k in keys if k in recorded]
        current = fingerprints.of(graph, instance, asset, [k for k in materialized if k]) if materialized else {}
        stale = [k for k in materialized if recorded[k].get("fingerprint") != current[k]]
        rows.append(State(asset, row.partitions, len(keys), materialized, stale))
    return rows


def stale(graph: AssetGraph, instance: Instance, asset: str, keys: list[str]) -> list[str]:
    """Of these keys those that are missing, or would come out of other inputs now."""
    if keys and not (files_exist(graph.settings, asset, keys[-1]) and serves(graph.settings, asset, keys[-1])):
        return keys
    current = fingerprints.of(graph, instance, asset, [k for k in keys if k])
    recorded = fingerprints.newest(graph, instance, asset)
    return [k for k in keys if recorded.get(k, {}).get("fingerprint") != current[k]]


def check_upstreams(graph: AssetGraph, instance: Instance, asset: str, keys: list[str]) -> None:
    """Raises BadInput that names what to materialise first, where an asset would read what is not there.

    Of a range of days one at least has to be there: the first days of a home have no days before them.
    """
    row = graph.table[asset]
    for upstream, read in row.reads.items():
        if upstream in row.optional:
            continue
        recorded = fingerprints.newest(graph, instance, upstream)
        for key in keys or [""]:
            missing = _missing(graph, asset, key, upstream, read, set(recorded))
            if missing is not None:
                raise BadInput(
                    f"{asset}{_of(key)} reads {upstream}{_of(missing)}, which has not been made yet: "
                    f"{_command(graph, upstream, missing)}, or materialise {upstream} in the Dagster UI first."
                )


def _missing(graph: AssetGraph, asset: str, key: str, upstream: str, read: Read | None, recorded: set[str]) -> str | None:
    """The key of an upstream that would be read and is not there; None where nothing is missing."""
    settings, kind = graph.settings, graph.table[upstream].partitions
    if kind == NONE:
        return None if recorded and files_exist(settings, upstream, "") else ""
    if graph.table[asset].partitions not in (DAILY, CUTOFF):  # asks whatever is there
        return None if recorded else graph.keys(upstream)[-1]
    if read is None:
        return None if key in recorded and files_exist(settings, upstream, key) else key
    first, last = fingerprints.days_read(key, read)
    if any(first <= k <= last for k in recorded) and files_exist(settings, upstream, last):
        return None
    return min(last, graph.keys(upstream)[-1])


def _of(key: str) -> str:
    return f" of {key}" if key else ""


def _command(graph: AssetGraph, upstream: str, key: str) -> str:
    at = f"--home {graph.settings.home}"
    kind = graph.table[upstream].partitions
    if kind == DAILY and upstream != "feature_drift":
        return f"run `found backfill --from {key} --to {key} {at}`"
    return f"run `found demo --cutoff {key} {at}`" if kind == CUTOFF else f"run `found demo {at}`"


def files_exist(settings: Settings, asset: str, key: str) -> bool:
    """Whether the files that an asset's materialisation speaks of still exist."""
    from found_platform import feature_store, lake
    from found_platform.sources import staging
    from found_platform.training_data import export

    if asset in IN_LAKE and not lake.exists(settings.lake, asset):
        return False
    if asset == "quarantine":
        return staging.is_staged(settings) and not staging.waits(settings)
    if asset in TRAINED:
        folder = export.folder(settings, dt.date.fromisoformat(key))
        return (folder / "data").exists() and (folder / TRAINED[asset]).exists()
    return asset != "online_features" or feature_store.is_filled(settings)


def serves(settings: Settings, asset: str, key: str) -> bool:
    """Whether model, alias and index of a cutoff are still in place; true for every other asset.

    A champion or an index that a person took back is gone on purpose: only something new makes it again. A version that waits
    behind the champion of a newer cutoff has its place too.
    """
    from found_platform import index, registry

    if asset not in ("found_model", "promotion", "user_index"):
        return True
    version = registry.serving(settings, key)
    if version is None:
        return False
    if asset == "promotion":
        return registry.version_of(settings, registry.CHAMPION) == version or _waits(settings, version)
    if asset == "user_index":
        return index.is_live(settings, version, key) or index.withdrawn(settings, version, key) or _waits(settings, version)
    return True


def _waits(settings: Settings, version: str) -> bool:
    from found_platform import registry

    return registry.reason_to_wait(settings, version) is not None
