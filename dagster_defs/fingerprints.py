"""Fingerprints: what a materialisation was made from, hashed; where it would come out the same, nothing is to do.

A materialisation's metadata carry a `rows_hash` (of what was written) and a `fingerprint` of the code that its asset reaches
(`code_version`), the settings that this code reads, files that a person gave, and the row hashes of the partitions that were read.
They are ours because Delta versions are table-wide and Dagster's data versions stop at 100 upstream partitions.
"""

import bisect
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dagster_defs import code_version, records
from dagster_defs.graph import AUDIENCE, NONE, AssetGraph, Read
from dagster_defs.records import Instance
from found_platform.settings import Settings

WITHOUT_EFFECT = {
    "secret": "a home has one for its life",
    "duckdb_memory": "how much is computed at once",
    "engine": "where rows are computed: every engine gives the same",
    "engine_token": "who asks the engine",
    "database_url": "where records lie",
    "postgres": "where records lie",
    "lake_uri": "where the lake lies",
    "lake": "where the lake lies",
    "redis_url": "where the online store lies; whether it was filled is asked separately",
    "milvus_uri": "where the index lies; whether it is there is asked separately",
    "milvus_token": "who asks Milvus",
    "milvus_import_uri": "on which way rows come to Milvus",
    "rewriter_host": "whether an endpoint may be asked, not which",
    "profile": "a name; what it stands for is in `sizes`",
    "sizes.encode_batch": "how many texts are encoded at once",
    "sizes.gpu": "a warning",
}
"""Settings that change no outcome, and why; nor do those that are paths, which say where a home is."""


def settings_read(settings: Settings, asset: str) -> dict[str, Any]:
    """The settings that decide what an asset's outcome is, with their values."""
    names = code_version.reach(settings, asset).settings - WITHOUT_EFFECT.keys()
    values = {name: _value(settings, name) for name in sorted(names)}
    return {name: value for name, value in values.items() if not isinstance(value, Path)}


def _value(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def of(graph: AssetGraph, instance: Instance, asset: str, keys: list[str]) -> dict[str, str]:
    """What each key's materialisation would be made from, hashed; the key is "" for an unpartitioned asset."""
    settings, row = graph.settings, graph.table[asset]
    base = json.dumps([asset, code_version.reach(settings, asset).code, settings_read(settings, asset)])
    if asset in ("quarantine", "raw_events", "raw_profile"):
        from found_platform.sources import staging

        if asset == "quarantine":
            return {"": _hash(base, staging.source_fingerprint(settings))}
        manifest = staging.manifest(settings)
        staged = {"": manifest["profile"]} if row.partitions == NONE else manifest["days"]
        return {key: _hash(base, json.dumps(staged.get(key, 0))) for key in keys or [""]}
    if row.partitions == AUDIENCE:  # it asks what is published, whichever cutoff that is of
        from found_platform.audiences import membership

        return {key: _hash(base, membership.made_from(settings, key)) for key in keys}
    if asset == "benchmark_results":
        from found_platform.evaluation import scenarios

        base += scenarios.fingerprint(settings)
    if asset == "tuned_prompts":
        from found_platform.audiences import prompts

        base += prompts.fingerprint(settings)
    reads = [
        _reader(row_hashes(graph, instance, upstream), graph.table[upstream].partitions, read)
        for upstream, read in row.reads.items()
    ]
    return {key: _hash(base, *(read(key) for read in reads)) for key in keys or [""]}


def row_hashes(graph: AssetGraph, instance: Instance, asset: str) -> dict[str, str]:
    """The row hash of each materialised key of an asset."""
    return {k: v["rows_hash"] for k, v in newest(graph, instance, asset).items() if "rows_hash" in v}


def newest(graph: AssetGraph, instance: Instance, asset: str) -> dict[str, records.Record]:
    """`fingerprint` and `rows_hash` of the newest materialisation of each key; "" for an unpartitioned asset."""
    return records.newest(graph.settings.dagster_home, instance, asset)


def _reader(outputs: dict[str, str], upstream_kind: str, read: Read | None) -> Callable[[str], str]:
    """What a key reads of an upstream with these outputs, as a string that changes with it."""
    if upstream_kind == NONE:
        return lambda _: outputs.get("", "missing")
    days = Days(outputs)
    if read is None:
        return lambda key: outputs.get(key, "missing") if key else days.whole
    return lambda key: days.between(*days_read(key, read))


class Days:
    """Outputs by day, of which a run asks for many ranges: the days from the first one on are hashed once, in their order."""

    def __init__(self, outputs: Mapping[str, str]):
        self._days = sorted(outputs)
        self._lines = [f"{day} {outputs[day]}\n".encode() for day in self._days]
        self._beginning, self._hashed = hashlib.sha256(), 0

    @property
    def whole(self) -> str:
        """A hash of all outputs."""
        return self._digest(0, len(self._days))

    def between(self, first: str, last: str) -> str:
        """A hash of the outputs of the days from `first` to `last`, both included."""
        return self._digest(bisect.bisect_left(self._days, first), bisect.bisect_right(self._days, last))

    def _digest(self, start: int, end: int) -> str:
        if start > 0 or end < self._hashed:
            return hashlib.sha256(b"".join(self._lines[start:end])).hexdigest()
        self._beginning.update(b"".join(self._lines[self._hashed : end]))
        self._hashed = end
        return self._beginning.hexdigest()


def days_read(key: str, read: Read) -> tuple[str, str]:
    """The first and the last day of a range that a key reads."""
    day = dt.date.fromisoformat(key)
    return str(day + dt.timedelta(days=read.first)), str(day + dt.timedelta(days=read.last))


def days_present(graph: AssetGraph, instance: Instance, asset: str, key: str) -> list[str]:
    """The days that are there of those that a key reads, of any upstream, oldest first."""
    days: set[str] = set()
    for upstream, read in graph.table[asset].reads.items():
        if read is not None:
            first, last = days_read(key, read)
            days.update(day for day in newest(graph, instance, upstream) if first <= day <= last)
    return sorted(days)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
