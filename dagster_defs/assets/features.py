"""Features: daily snapshots in the lake, and the latest state in the online store."""

import base64
import datetime as dt
from typing import Any

import dagster as dg

from dagster_defs import tables
from dagster_defs.fingerprints import row_hashes
from dagster_defs.graph import AssetGraph
from dagster_defs.materialization import AssetRun, asset
from found_platform import contract, feature_store
from found_platform.features import checks, describe, write


def build(graph: AssetGraph) -> list[dg.AssetsDefinition]:
    settings = graph.settings

    def daily(table: str, description: str, check: str | None = None) -> dg.AssetsDefinition:
        @asset(graph, table, kinds={"duckdb", "deltalake"}, description=description)
        def feature(run: AssetRun) -> dg.MaterializeResult:
            written = write.feature(settings, table, *run.days)
            outcomes = {check: getattr(checks, check)(settings, *run.days)} if check else {}
            return run.written(written, write.schema(settings, table), outcomes=outcomes, display=_described(table, *run.days))

        return feature

    def _described(table: str, start: dt.date, end: dt.date) -> dict[str, Any]:
        picture = base64.b64encode(describe.events_plot(settings, end)).decode()
        rates = describe.null_rates(settings, table, start, end)
        return {
            "events_by_channel": dg.MetadataValue.md(f"![events a day by channel](data:image/png;base64,{picture})"),
            "null_rates": tables.table(
                [{"column": name, "null_rate": rate} for name, rate in rates.items()], {"column": "string", "null_rate": "float"}
            ),
        }

    @asset(graph, "online_features", kinds={"feast", "redis" if settings.redis_url else "sqlite"})
    def online_features(run: AssetRun) -> dg.MaterializeResult:
        """The newest state of every user in Feast's online store: what is new since it was filled last, or everything where older
        days were made again. Unpartitioned: an old backfill must not overwrite a newer row."""
        newest = max(row_hashes(graph, run.instance, "user_tabular"))
        moment = contract.snapshot_time(contract.parse_day(newest, "the newest snapshot"))
        views = [row_hashes(graph, run.instance, view) for view in feature_store.VIEWS]
        days = {day for hashes in views for day in hashes}
        users = feature_store.materialize_online(settings, moment, {d: " ".join(h.get(d, "") for h in views) for d in days})
        return run.result(hashes={"": str(moment)}, rows=users, metadata={"as_of": str(moment)})

    return [
        daily("behavior_text", "The day's distinct event texts and how many events carry each; a text keeps its id for ever."),
        daily(
            "behavior_sequence",
            "For every user active that day: the last events but searches, oldest first, as parallel lists.",
            "no_event_after_snapshot",
        ),
        daily("search_text", "For every user who searched that day: the last searches, oldest first."),
        daily(
            "user_tabular",
            "For every user seen so far: activity aggregates by window and channel, and the profile attributes known by then.",
            "one_row_for_every_user",
        ),
        online_features,
    ]
