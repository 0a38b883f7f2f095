"""History: which days are there, for people and for what is made of a cutoff."""

import base64
import hashlib

import dagster as dg

from dagster_defs.fingerprints import newest
from dagster_defs.graph import HISTORY, AssetGraph
from dagster_defs.materialization import AssetRun, asset
from dagster_defs.tables import table
from found_platform.features import history as days


def build(graph: AssetGraph) -> list[dg.AssetsDefinition]:
    @asset(graph, "history", kinds={"matplotlib"})
    def history(run: AssetRun) -> dg.MaterializeResult:
        """The days of events and features that are there, by table: the first and the last one, how many, which are missing between
        them, and how many rows each had when it was written.

        What is made of a cutoff follows from this one: a cutoff reads the days before it and none after, which its fingerprint and
        its rows go by. A day that comes later changes the history and no cutoff.
        """
        tables = []
        for name in graph.table[HISTORY].reads:
            recorded = newest(graph, run.instance, name)
            rows = {day: int(record["rows"]) if "rows" in record else None for day, record in recorded.items()}
            tables.append(days.of(name, graph.keys(name), rows))
        missing = [each.sentence for each in tables if each.gaps]
        picture = base64.b64encode(days.plot(tables)).decode()
        content = repr([(each.table, each.days, each.rows) for each in tables])
        events = tables[0]
        return run.result(
            hashes={"": hashlib.sha256(content.encode()).hexdigest()[:16]},
            outcomes={
                "no_day_is_missing": (not missing, "; ".join(missing) or "no table lacks a day between its first and its last")
            },
            metadata={
                "first_day": events.first or "none",
                "last_day": events.last or "none",
                "number_of_days": len(events.days),
                "missing_days": sum(each.missing for each in tables),
                "days": table(
                    [
                        {
                            "table": each.table,
                            "first_day": each.first or "none",
                            "last_day": each.last or "none",
                            "days": len(each.days),
                            "missing_days": each.missing,
                            "rows": each.total,
                        }
                        for each in tables
                    ],
                    {
                        "table": "string",
                        "first_day": "string",
                        "last_day": "string",
                        "days": "int",
                        "missing_days": "int",
                        "rows": "int",
                    },
                ),
                "rows_a_day": dg.MetadataValue.md(f"![rows a day of each table](data:image/png;base64,{picture})"),
            },
        )

    return [history]
