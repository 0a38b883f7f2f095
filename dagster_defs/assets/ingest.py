"""Ingest: scan the source once, stage by day, take days into the lake."""

from dataclasses import asdict

import dagster as dg

from dagster_defs.graph import AssetGraph
from dagster_defs.materialization import AssetRun, asset
from dagster_defs.tables import table
from found_platform import contract, row_hash
from found_platform.features import write
from found_platform.sources import stage_report, staging


def build(graph: AssetGraph) -> list[dg.AssetsDefinition]:
    settings = graph.settings

    @asset(graph, "quarantine", kinds={"duckdb", "deltalake"})
    def quarantine(run: AssetRun) -> dg.MaterializeResult:
        """Every refused row of the source, with file, row and reason. Scans the source once and stages the good rows by day."""
        report = staging.stage(settings)
        sentence = "" if report.staged else stage_report.threshold_sentence(settings, report)
        return run.result(
            hashes={"": row_hash.of_table(settings.lake, "quarantine")},
            rows=report.bad_rows,
            outcomes={"bad_rows_under_threshold": (report.staged, sentence or f"{report.bad_share:.2%} of rows are bad")},
            metadata={
                "bad_share": report.bad_share,
                "equal_rows_kept": report.equal_rows,
                "rows_read": sum(channel.rows for channel in report.channels),
                "good_rows": sum(channel.good for channel in report.channels),
                "channels": table(
                    [
                        {**asdict(channel), "refused": sum(channel.bad.values()), "reasons": ", ".join(channel.bad) or "none"}
                        for channel in report.channels
                    ],
                    {"channel": "string", "rows": "int", "good": "int", "users": "int", "refused": "int", "reasons": "string"},
                ),
                "seconds": report.seconds,
            },
        )

    @asset(graph, "raw_events", kinds={"deltalake"})
    def raw_events(run: AssetRun) -> dg.MaterializeResult:
        """The lake's events: one row an event, in the order of UTC days and channels, under pseudonymous keys."""
        return run.written(write.raw_events(settings, *run.days), contract.EVENTS)

    @asset(graph, "raw_profile", kinds={"deltalake"})
    def raw_profile(run: AssetRun) -> dg.MaterializeResult:
        """The profile table as the source has it; each row keeps its `as_of`."""
        return run.written(write.raw_profile(settings))

    return [quarantine, raw_events, raw_profile]
