"""One run of one asset: its locks, what it needs, what it reads, and the record that it leaves.

What belongs here: what is the same for every asset. What an asset does is in `assets/`, a function of an `AssetRun`.
"""

import contextlib
import datetime as dt
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from dagster_defs import checks, code_version, cutoffs, event_batches, fingerprints, links, locks, partitions, staleness
from dagster_defs.graph import ASKED_BY, CUTOFF, DAILY, AssetGraph
from found_platform import contract, lake, logs
from found_platform.errors import BadInput, JobFailed
from found_platform.lake import Written
from found_platform.privacy.actor import Actor, account, acting
from found_platform.settings import Settings
from found_platform.sources import config

log = logging.getLogger(__name__)

Outcomes = Mapping[str, tuple[bool, str]]
"""Of checks: name to (passed, why)."""


class AssetRun:
    """A run of an asset over some keys. The fingerprint is of what it is about to read, taken before its body starts."""

    def __init__(self, context: dg.AssetExecutionContext, graph: AssetGraph):
        self.instance = context.instance
        event_batches.install(self.instance)
        self.log = context.log
        self.asset = context.asset_key.path[-1]
        self.keys = list(context.partition_keys) if context.has_partition_key or context.has_partition_key_range else []
        self.config: Mapping[str, Any] = context.op_execution_context.op_config or {}
        self._context = context
        self._graph = graph
        self._fingerprints: dict[str, str] = {}
        self._reads: dict[str, int] = {}

    @property
    def days(self) -> tuple[dt.date, dt.date]:
        """The days `[start, end)` of this run."""
        return dt.date.fromisoformat(self.keys[0]), dt.date.fromisoformat(self.keys[-1]) + dt.timedelta(days=1)

    @property
    def cutoff(self) -> dt.date:
        return dt.date.fromisoformat(self.keys[0])

    @property
    def fingerprint(self) -> str:
        """What a run of one key is made from, hashed, see `fingerprints`."""
        return self._fingerprints[self.keys[0]]

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """The same, by key."""
        return self._fingerprints

    @property
    def _is_of_a_cutoff(self) -> bool:
        return self._graph.table[self.asset].partitions == CUTOFF

    def _tag(self, **tags: str | None) -> None:
        """Tags the run with what a person filters the page Runs by: source, cutoff, model."""
        present = {f"found/{name}": value for name, value in tags.items() if value is not None}
        self.instance.add_run_tags(self._context.run.run_id, present)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Around the body: holds the locks of what it writes, and records what it reads.

        What is done inside is done for whoever asked for the run. Raises BadInput where an upstream is missing.
        """
        settings = self._graph.settings
        if self._is_of_a_cutoff:
            cutoffs.check(self._graph, self.keys)
        writes = locks.names(self._graph, self.asset, self.keys)
        partition = self.keys[0] if len(self.keys) == 1 else f"{self.keys[0]}...{self.keys[-1]}" if self.keys else ""
        about = logs.bound(run=self._context.run.run_id, asset=self.asset, partition=partition)
        with about, acting(asked_by(self._context.run)), locks.hold(settings, writes), lake.recorded_reads() as self._reads:
            log.info("%s begins", self.asset)
            staleness.check_upstreams(self._graph, self.instance, self.asset, self.keys)
            self._fingerprints = fingerprints.of(self._graph, self.instance, self.asset, self.keys)
            self._reads.clear()  # what a fingerprint asks is no input
            self._tag(source=source_name(settings), cutoff=self.keys[0] if self._is_of_a_cutoff else None)
            yield
            log.info("%s is made", self.asset)

    def result(
        self,
        *,
        hashes: Mapping[str, str],
        rows: int | None = None,
        partition_rows: Mapping[str, int] | None = None,
        outcomes: Outcomes | None = None,
        metadata: Mapping[str, Any] | None = None,
        display: Mapping[str, Any] | None = None,
    ) -> dg.MaterializeResult:
        """The materialisation. Where a check that blocks has failed there is no fingerprint: the next run does it again.

        Args:
            metadata: of the run, few and short: each key's event holds them.
            display: what people look at, pictures and tables: the event of the last key holds them.
        """
        keep = not checks.blocked(self.asset, outcomes or {})
        if metadata and "model_version" in metadata:
            self._tag(model=str(metadata["model_version"]))
        about: dict[str, Any] = {}
        if self._is_of_a_cutoff and (days := fingerprints.days_present(self._graph, self.instance, self.asset, self.keys[0])):
            about["days_read"] = f"{days[0]} to {days[-1]}"
        about |= {"read_versions": {t: v for t, v in sorted(self._reads.items()) if t != self.asset}, **(metadata or {})}
        about |= links.of_run(self._graph, self.asset, self.keys, metadata or {})
        about = {name: in_home(self._graph.settings, value) for name, value in about.items()}
        for key in self.keys:
            own: dict[str, Any] = {"rows_hash": hashes[key]}
            if keep:
                own["fingerprint"] = self._fingerprints[key]
            if partition_rows is not None:
                own["dagster/partition_row_count"] = partition_rows[key]
            self._context.add_asset_metadata(own | dict(display or {} if key == self.keys[-1] else {}), partition_key=key)
        if not self.keys:
            about |= {"rows_hash": hashes[""], **(display or {})}
            if keep:
                about["fingerprint"] = self._fingerprints[""]
        if rows is not None:
            about["rows_written" if self.keys else "dagster/row_count"] = rows
        return dg.MaterializeResult(metadata=about, check_results=checks.results(self.asset, outcomes or {}))

    def written(
        self,
        outcome: Written,
        schema: pa.Schema | None = None,
        outcomes: Outcomes | None = None,
        metadata: Mapping[str, Any] | None = None,
        display: Mapping[str, Any] | None = None,
    ) -> dg.MaterializeResult:
        """The materialisation of a lake write: rows, version written, bytes, seconds; and its columns. Arguments as of `result`."""
        about: dict[str, Any] = {
            "delta_version": outcome.version,
            "bytes": outcome.bytes,
            "seconds": outcome.seconds,
            **(metadata or {}),
        }
        pictures = dict(display or {})
        if schema is not None:
            pictures["dagster/column_schema"] = dg.TableSchema(
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
            outcomes=outcomes,
            metadata=about,
            display=pictures,
        )


def in_home(settings: Settings, value: Any) -> Any:
    """A path of metadata as it is below the home, which may be moved; as text, since Dagster's page makes a `file://` link of a
    path, which browsers refuse. Any other value as it is."""
    if not isinstance(value, dg.PathMetadataValue) or value.path is None:
        return value
    place, home = Path(value.path).resolve(), settings.home.resolve()
    return dg.MetadataValue.text(str(place.relative_to(home))) if place.is_relative_to(home) else value


@contextlib.contextmanager
def in_words(name: str) -> Iterator[None]:
    """A failure inside is one sentence and the next step on the page of the run; its cause is below it, with the trace.

    Raises Failure, from the error that it was. `execution` finds that one.
    """
    try:
        yield
    except dg.Failure:
        raise
    except Exception as error:
        ours = isinstance(error, BadInput | JobFailed)
        sentence = str(error) if ours else f"{name} failed: {str(error) or 'no reason was given'}"
        step = "Do what the sentence says" if ours else "Look at the trace below, and mend the cause"
        about = {"what": sentence, "next_step": f"{step}; then press Re-execute: what was made before stays and is not made again."}
        raise dg.Failure(description=sentence, metadata=about, allow_retries=False) from error


def source_name(settings: Settings) -> str | None:
    """The name of the source of a home; None before it has one."""
    return config.of_home(settings).name if (settings.home / "source.yaml").exists() else None


def asked_by(run: dg.DagsterRun) -> Actor:
    """Who asked for a run: whoever its tag names, else who runs Dagster (a schedule, or a person in the UI)."""
    name = run.tags.get(ASKED_BY)
    return Actor.parse(name) if name else Actor(account(), "dagster")


Body = Callable[[AssetRun], dg.MaterializeResult]


def asset(
    graph: AssetGraph, name: str, *, kinds: set[str], description: str | None = None, config: Mapping[str, dg.Field] | None = None
) -> Callable[[Body], dg.AssetsDefinition]:
    """`@dg.asset` for a row of the table, around a body that gets an `AssetRun`. The body's docstring describes it by default.

    `config` is what a person may say of one run.
    """
    row = graph.table[name]

    def define(body: Body) -> dg.AssetsDefinition:
        def run(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            asset_run = AssetRun(context, graph)
            with in_words(name), asset_run.guarded():
                return body(asset_run)

        return dg.asset(
            name=name,
            group_name=row.group,
            kinds=kinds,
            code_version=code_version.reach(graph.settings, name).code,
            partitions_def=partitions.definition(graph, row.partitions),
            deps=[
                dg.AssetDep(upstream, partition_mapping=partitions.mapping(graph, row.partitions, upstream, read))
                for upstream, read in graph.upstreams(name).items()
            ],
            pool=row.pool,
            config_schema=config,
            description=description or inspect.getdoc(body),
            backfill_policy=dg.BackfillPolicy.single_run() if row.partitions == DAILY else None,
            check_specs=checks.specs(name),
        )(run)

    return define
