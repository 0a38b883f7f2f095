"""Ingest: scan the source once, stage by day, take days into the lake."""

import dagster as dg

from dagster_defs.graph import AssetGraph, Record
from found_platform import contract, lake
from found_platform.features import write
from found_platform.sources import staging


def build(house: AssetGraph) -> list[dg.AssetsDefinition]:
    settings = house.settings

    @house.asset("quarantine", group="ingest", kinds={"duckdb", "deltalake"}, checks=["bad_rows_under_threshold"])
    def quarantine(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Every refused row of the source, with file, row and reason. Scans the source once and stages the good rows by day."""
        record = Record(context, house)
        report = staging.stage(settings)
        sentence = "" if report.staged else staging.threshold_sentence(settings, report)
        return record.result(
            hashes={"": lake.table_hash(settings.lake, "quarantine")},
            rows=report.bad_rows,
            checks={"bad_rows_under_threshold": (report.staged, sentence or f"{report.bad_share:.2%} of rows are bad")},
            metadata={
                "bad_share": report.bad_share,
                "equal_rows_kept": report.equal_rows,
                "channels": staging.as_metadata(report)["channels"],
                "seconds": report.seconds,
            },
        )

    @house.asset("raw_events", group="ingest", kinds={"deltalake"})
    def raw_events(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The lake's events: one row an event, by UTC day and channel, under pseudonymous keys."""
        record = Record(context, house)
        return record.written(write.raw_events(settings, *record.days), contract.EVENTS)

    @house.asset("raw_profile", group="ingest", kinds={"deltalake"})
    def raw_profile(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The profile table as the source has it; each row keeps its `as_of`."""
        record = Record(context, house)
        return record.written(write.raw_profile(settings))

    return [quarantine, raw_events, raw_profile]
