"""One place for the policy of every asset: partitions, what it reads, owners, and the record each materialisation leaves.

A materialisation's metadata carries a `rows_hash` (of what was written) and a `fingerprint` (of what it was made from: code
version, settings, and the row hashes of the partitions it read). Where the fingerprint would come out the same, nothing is to do.
Fingerprints are ours because Delta versions are table-wide and Dagster's data versions stop at 100 upstream partitions.
"""

import datetime as dt
import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg
import pyarrow as pa
from dagster import DagsterEventType

from found_platform import contract
from found_platform.audiences import membership, prompts, specification
from found_platform.evaluation import scenarios
from found_platform.lake import Written
from found_platform.settings import Settings
from found_platform.sources import staging
from found_platform.sources.config import SourceConfig, Span, of_home

warnings.filterwarnings("ignore", category=dg.BetaWarning)  # single-run backfills and mappings to days that may not exist

EVERYTHING = -20_000
"""Days back that stand for "all days before"."""

OWNER = "team:feature-platform"
CODE_VERSION = "5"

DAILY, CUTOFF, AUDIENCE, NONE = "daily", "cutoff", "audience", "none"

AUDIENCES = "audiences"
"""Name of the dynamic partitions: one a saved audience."""


@dataclass(frozen=True)
class Read:
    """A range of upstream days relative to the own key, both ends included; None means the upstream as a whole or the same key."""

    first: int
    last: int


def graph(settings: Settings) -> dict[str, tuple[str, dict[str, Read | None]]]:
    """Every asset: its kind of partitions, and what it reads of which upstream asset. The order is one in which they can run."""
    lookback = Read(1 - settings.lookback_days, 0)
    # a TTL of n days reaches the snapshot that is n days old: the one of the day before that
    before = Read(-settings.lookback_days - 1, -1)
    history = Read(-settings.history_days - 1, -1)
    ever = Read(EVERYTHING, -1)
    return {
        "quarantine": (NONE, {}),
        "raw_events": (DAILY, {"quarantine": None}),
        "raw_profile": (NONE, {"quarantine": None}),
        "behavior_text": (DAILY, {"raw_events": Read(0, 0)}),
        "behavior_sequence": (DAILY, {"raw_events": lookback}),
        "search_text": (DAILY, {"raw_events": lookback}),
        # who was seen first when is a question to all earlier days
        "user_tabular": (DAILY, {"raw_events": Read(EVERYTHING, 0), "raw_profile": None}),
        "online_features": (NONE, {"behavior_sequence": None, "search_text": None, "user_tabular": None}),
        "training_set": (
            CUTOFF,
            {"behavior_sequence": history, "search_text": history, "user_tabular": history, "raw_events": ever},
        ),
        "text_vectors": (CUTOFF, {"behavior_text": ever}),
        "user_text_pairs": (CUTOFF, {"training_set": None, "text_vectors": None, "raw_events": ever}),
        "behavior_encoder": (CUTOFF, {"user_text_pairs": None}),
        "tabular_encoder": (CUTOFF, {"user_text_pairs": None}),
        "found_model": (CUTOFF, {"user_text_pairs": None, "behavior_encoder": None, "tabular_encoder": None}),
        "user_embeddings": (
            CUTOFF,
            {
                "found_model": None,
                "text_vectors": None,
                "behavior_sequence": history,
                "search_text": history,
                "user_tabular": history,
                "raw_events": ever,
            },
        ),
        "promotion": (
            CUTOFF,
            {
                "user_embeddings": None,
                "found_model": None,
                "training_set": None,
                "text_vectors": None,
                "raw_events": Read(-settings.horizon_days, -1),
            },
        ),
        "user_index": (CUTOFF, {"user_embeddings": None, "promotion": None, "user_tabular": Read(-1, -1)}),
        "tuned_prompts": (
            CUTOFF,
            {"user_embeddings": None, "promotion": None, "text_vectors": None, "user_tabular": history, "raw_events": ever},
        ),
        "audience_members": (AUDIENCE, {"user_index": None, "tuned_prompts": None}),
        "benchmark_results": (
            CUTOFF,
            {
                "user_embeddings": None,
                "behavior_text": ever,
                "behavior_sequence": before,
                "search_text": before,
                "user_tabular": history,  # replay asks past cutoffs
                "raw_events": ever,
            },
        ),
        # texts that occurred on any day before are known
        "feature_drift": (DAILY, {"user_tabular": Read(-28, 0), "raw_events": Read(-34, 0), "behavior_text": Read(EVERYTHING, 0)}),
    }


@dataclass(frozen=True)
class House:
    """The graph of one home."""

    settings: Settings

    @cached_property
    def graph(self) -> dict[str, tuple[str, dict[str, Read | None]]]:
        return graph(self.settings)

    @cached_property
    def span(self) -> Span:
        """The days of the home's source; of a default simulation before anything has run."""
        if (self.settings.home / "source.yaml").exists():
            span = of_home(self.settings).span
            assert span is not None
            return span
        return Span(start=SourceConfig.model_validate({"name": "simulated", "simulator": {}}).simulator.start)  # pyright: ignore

    @cached_property
    def _partitions(self) -> dict[str, dg.PartitionsDefinition | None]:
        day = dt.timedelta(days=1)
        start, end = self.span.start, self.span.end
        return {
            DAILY: dg.DailyPartitionsDefinition(start_date=str(start), end_date=str(end) if end else None),
            # a cutoff is the day after the last one a model may see: it can be the day after the data's end
            CUTOFF: dg.DailyPartitionsDefinition(
                start_date=str(start + day), end_date=str(end + day) if end else None, end_offset=0
            ),
            AUDIENCE: dg.DynamicPartitionsDefinition(name=AUDIENCES),
            NONE: None,
        }

    def keys(self, asset: str) -> list[str]:
        """All partition keys of an asset, oldest first."""
        if self.graph[asset][0] == AUDIENCE:
            return specification.names(self.settings)
        partitions = self._partitions[self.graph[asset][0]]
        return list(partitions.get_partition_keys()) if partitions else []

    def asset(
        self,
        asset: str,
        *,
        group: str,
        kinds: set[str],
        pool: str | None = None,
        checks: Iterable[str] = (),
        warnings: Iterable[str] = (),
        description: str | None = None,
    ) -> Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]:
        """`@dg.asset` under the policy of the house. `checks` block what is downstream, `warnings` do not."""
        kind, reads = self.graph[asset]
        deps = [dg.AssetDep(upstream, partition_mapping=self._mapping(kind, upstream, read)) for upstream, read in reads.items()]
        return dg.asset(
            name=asset,
            group_name=group,
            kinds=kinds,
            owners=[OWNER],
            code_version=CODE_VERSION,
            partitions_def=self._partitions[kind],
            deps=deps,
            pool=pool,
            description=description,
            backfill_policy=dg.BackfillPolicy.single_run() if kind == DAILY else None,
            check_specs=[
                *(dg.AssetCheckSpec(name, asset=asset, blocking=True) for name in checks),
                *(dg.AssetCheckSpec(name, asset=asset) for name in warnings),
            ],
        )

    def _mapping(self, kind: str, upstream: str, read: Read | None) -> dg.PartitionMapping | None:
        if kind == AUDIENCE:
            return dg.AllPartitionMapping()
        if read is None or kind == NONE or self.graph[upstream][0] == NONE:
            return None
        return dg.TimeWindowPartitionMapping(
            start_offset=read.first, end_offset=read.last, allow_nonexistent_upstream_partitions=True
        )

    def fingerprints(self, instance: dg.DagsterInstance, asset: str, keys: list[str]) -> dict[str, str]:
        """What each key's materialisation would be made from, hashed; the key is "" for an unpartitioned asset."""
        kind, reads = self.graph[asset]
        if asset == "quarantine":
            return {"": _hash(CODE_VERSION, staging.source_fingerprint(self.settings))}
        base = json.dumps([asset, CODE_VERSION, self._settings_read(asset)])
        if kind == AUDIENCE:  # it asks what is published, whichever cutoff that is of
            return {k: _hash(base, membership.made_from(self.settings, k)) for k in keys}
        if asset in ("raw_events", "raw_profile"):
            manifest = staging.manifest(self.settings)
            staged = {"": manifest["profile"]} if kind == NONE else manifest["days"]
            return {k: _hash(base, json.dumps(staged.get(k, 0))) for k in keys or [""]}
        outputs = {upstream: self.hashes(instance, upstream) for upstream in reads}
        return {k: _hash(base, *(_taken(outputs[u], self.graph[u][0], k, read) for u, read in reads.items())) for k in keys or [""]}

    def _settings_read(self, asset: str) -> dict[str, Any]:
        if asset in ("raw_events", "raw_profile", "behavior_text", "audience_members"):
            return {}
        names = ["lookback_days", "sequence_length", "search_length"]
        if self.graph[asset][0] == CUTOFF:
            names += ["horizon_days", "text_encoder", "training_days", "grid_days"]
        read = {n: getattr(self.settings, n) for n in names}
        if asset in ("behavior_encoder", "tabular_encoder", "found_model"):
            read["sizes"] = self.settings.sizes.model_dump(mode="json")
        if asset == "benchmark_results":
            read["labels"] = scenarios.given(self.settings)
        if asset == "tuned_prompts":
            read["prompts"] = prompts.fingerprint(self.settings)
        return read

    def hashes(self, instance: dg.DagsterInstance, asset: str) -> dict[str, str]:
        """The row hash of each materialised key of an asset."""
        return {k: v["rows_hash"] for k, v in self.records(instance, asset).items() if "rows_hash" in v}

    def records(self, instance: dg.DagsterInstance, asset: str) -> dict[str, dict[str, str]]:
        """`fingerprint` and `rows_hash` of the newest materialisation of each key; "" for an unpartitioned asset."""
        key = dg.AssetKey(asset)
        if self.graph[asset][0] == NONE:
            event = instance.get_latest_materialization_event(key)
            return {"": _ours(event.asset_materialization.metadata)} if event and event.asset_materialization else {}
        newest = instance.event_log_storage.get_latest_storage_id_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION)
        if not newest:
            return {}
        found = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, storage_ids=list(newest.values())), limit=len(newest)
        )
        return {str(r.partition_key): _ours(r.asset_materialization.metadata) for r in found.records if r.asset_materialization}


def _taken(outputs: dict[str, str], upstream_kind: str, key: str, read: Read | None) -> str:
    if upstream_kind == NONE:
        return outputs.get("", "missing")
    if read is None and key == "":
        return json.dumps(sorted(outputs.items()))
    if read is None:
        return outputs.get(key, "missing")
    day = dt.date.fromisoformat(key)
    first, last = (str(day + dt.timedelta(days=d)) for d in (read.first, read.last))
    return json.dumps(sorted((k, v) for k, v in outputs.items() if first <= k <= last))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _ours(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {k: str(metadata[k].value) for k in ("fingerprint", "rows_hash") if k in metadata}


class Record:
    """Made when an asset starts, so that the fingerprint is of what it is about to read; turns the outcome into metadata."""

    def __init__(self, context: dg.AssetExecutionContext, house: House):
        self._context = context
        self._house = house
        self.asset = context.asset_key.path[-1]
        self.keys = list(context.partition_keys) if context.has_partition_key or context.has_partition_key_range else []
        self._fingerprints = house.fingerprints(context.instance, self.asset, self.keys)

    @property
    def days(self) -> tuple[dt.date, dt.date]:
        """The days `[start, end)` of this run."""
        return dt.date.fromisoformat(self.keys[0]), dt.date.fromisoformat(self.keys[-1]) + dt.timedelta(days=1)

    @property
    def cutoff(self) -> dt.date:
        return dt.date.fromisoformat(self.keys[0])

    def result(
        self,
        *,
        hashes: Mapping[str, str],
        rows: int | None = None,
        partition_rows: Mapping[str, int] | None = None,
        checks: Mapping[str, tuple[bool, str]] | None = None,
        warnings: Mapping[str, tuple[bool, str]] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> dg.MaterializeResult:
        """The materialisation. `checks` and `warnings` map name to (passed, why); where a check fails there is no fingerprint."""
        keep = all(passed for passed, _ in (checks or {}).values())
        said = dict(metadata or {})
        for key in self.keys:
            own: dict[str, Any] = {"rows_hash": hashes[key]}
            if keep:
                own["fingerprint"] = self._fingerprints[key]
            if partition_rows is not None:
                own["dagster/partition_row_count"] = partition_rows[key]
            self._context.add_asset_metadata(own, partition_key=key)
        if not self.keys:
            said["rows_hash"] = hashes[""]
            if keep:
                said["fingerprint"] = self._fingerprints[""]
        if rows is not None:
            said["rows_written" if self.keys else "dagster/row_count"] = rows
        return dg.MaterializeResult(
            metadata=said,
            check_results=[
                dg.AssetCheckResult(check_name=name, passed=passed, metadata={"why": why}, severity=severity)
                for severity, found in ((dg.AssetCheckSeverity.ERROR, checks), (dg.AssetCheckSeverity.WARN, warnings))
                for name, (passed, why) in (found or {}).items()
            ],
        )

    def written(
        self,
        outcome: Written,
        schema: pa.Schema | None = None,
        checks: Mapping[str, tuple[bool, str]] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> dg.MaterializeResult:
        """The materialisation of a lake write: rows, versions read and written, bytes, seconds, columns."""
        said: dict[str, Any] = {
            "delta_version": outcome.version,
            "read_versions": dict(outcome.read_versions),
            "bytes": outcome.bytes,
            "seconds": outcome.seconds,
            **(metadata or {}),
        }
        if schema is not None:
            said["dagster/column_schema"] = dg.TableSchema(
                [
                    dg.TableColumn(
                        f.name, str(f.type), contract.describe(f.name), constraints=dg.TableColumnConstraints(nullable=f.nullable)
                    )
                    for f in schema
                ]
            )
        return self.result(
            hashes={k: h for k, (_, h) in outcome.partitions.items()},
            partition_rows={k: n for k, (n, _) in outcome.partitions.items()} if self.keys else None,
            rows=outcome.rows,
            checks=checks,
            metadata=said,
        )
