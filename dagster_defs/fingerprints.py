"""Fingerprints: what a materialisation was made from, hashed; where it would come out the same, nothing is to do.

A materialisation's metadata carry a `rows_hash` (of what was written) and a `fingerprint` of the code that its asset reaches
(`code_version`), the settings that this code reads, files that a person gave, and the row hashes of the partitions that were read.
They are ours because Delta versions are table-wide and Dagster's data versions stop at 100 upstream partitions.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster import DagsterEventType

from dagster_defs import code_version
from dagster_defs.graph import AUDIENCE, NONE, AssetGraph, Read
from found_platform.audiences import membership, prompts
from found_platform.evaluation import scenarios
from found_platform.settings import Settings
from found_platform.sources import staging

WITHOUT_EFFECT = {
    "home": "where the home is",
    "lake": "where the home is",
    "staging": "where the home is",
    "truth": "where the home is",
    "pulled": "where the home is",
    "dagster_home": "where the home is",
    "secret": "a home has one for its life",
    "duckdb_memory": "how much is computed at once",
    "milvus_uri": "where the index lies; whether it is there is asked separately",
    "milvus_token": "who asks Milvus",
    "rewriter_host": "whether an endpoint may be asked, not which",
    "profile": "a name; what it stands for is in `sizes`",
    "sizes.encode_batch": "how many texts are encoded at once",
    "sizes.gpu": "a warning",
}
"""Settings that change no outcome, and why."""


def settings_read(settings: Settings, asset: str) -> dict[str, Any]:
    """The settings that decide what an asset's outcome is, with their values."""
    names = code_version.reach(settings, asset).settings - WITHOUT_EFFECT.keys()
    return {name: _value(settings, name) for name in sorted(names)}


def _value(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def of(graph: AssetGraph, instance: dg.DagsterInstance, asset: str, keys: list[str]) -> dict[str, str]:
    """What each key's materialisation would be made from, hashed; the key is "" for an unpartitioned asset."""
    settings, row = graph.settings, graph.table[asset]
    base = json.dumps([asset, code_version.reach(settings, asset).code, settings_read(settings, asset)])
    if asset == "quarantine":
        return {"": _hash(base, staging.source_fingerprint(settings))}
    if row.partitions == AUDIENCE:  # it asks what is published, whichever cutoff that is of
        return {key: _hash(base, membership.made_from(settings, key)) for key in keys}
    if asset in ("raw_events", "raw_profile"):
        manifest = staging.manifest(settings)
        staged = {"": manifest["profile"]} if row.partitions == NONE else manifest["days"]
        return {key: _hash(base, json.dumps(staged.get(key, 0))) for key in keys or [""]}
    if asset == "benchmark_results":
        base += scenarios.fingerprint(settings)
    if asset == "tuned_prompts":
        base += prompts.fingerprint(settings)
    outputs = {upstream: row_hashes(graph, instance, upstream) for upstream in row.reads}
    return {
        key: _hash(base, *(_read(outputs[u], graph.table[u].partitions, key, read) for u, read in row.reads.items()))
        for key in keys or [""]
    }


def row_hashes(graph: AssetGraph, instance: dg.DagsterInstance, asset: str) -> dict[str, str]:
    """The row hash of each materialised key of an asset."""
    return {k: v["rows_hash"] for k, v in newest(graph, instance, asset).items() if "rows_hash" in v}


def newest(graph: AssetGraph, instance: dg.DagsterInstance, asset: str) -> dict[str, dict[str, str]]:
    """`fingerprint` and `rows_hash` of the newest materialisation of each key; "" for an unpartitioned asset."""
    key = dg.AssetKey(asset)
    if graph.table[asset].partitions == NONE:
        event = instance.get_latest_materialization_event(key)
        return {"": _ours(event.asset_materialization.metadata)} if event and event.asset_materialization else {}
    ids = instance.event_log_storage.get_latest_storage_id_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION)
    if not ids:
        return {}
    materializations = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, storage_ids=list(ids.values())), limit=len(ids)
    )
    return {
        str(r.partition_key): _ours(r.asset_materialization.metadata) for r in materializations.records if r.asset_materialization
    }


def _read(outputs: dict[str, str], upstream_kind: str, key: str, read: Read | None) -> str:
    if upstream_kind == NONE:
        return outputs.get("", "missing")
    if read is None and key == "":
        return json.dumps(sorted(outputs.items()))
    if read is None:
        return outputs.get(key, "missing")
    first, last = days_read(key, read)
    return json.dumps(sorted((k, v) for k, v in outputs.items() if first <= k <= last))


def days_read(key: str, read: Read) -> tuple[str, str]:
    """The first and the last day of a range that a key reads."""
    day = dt.date.fromisoformat(key)
    return str(day + dt.timedelta(days=read.first)), str(day + dt.timedelta(days=read.last))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _ours(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {k: str(metadata[k].value) for k in ("fingerprint", "rows_hash") if k in metadata}
