"""The benchmark of a home: every method on every scenario of labelled users."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.contract import parse_cutoff
from found_platform.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Run:
    """Labels and scenarios, both or neither; `cutoff` is a day, `latest`, or None: that of the published index.

    `quick` leaves out few-shot heads, other wordings and some of the splits.
    """

    labels: Path | None = None
    scenarios: Path | None = None
    cutoff: str | None = None
    quick: bool = False


@dataclass(frozen=True)
class Results:
    """The rows of `benchmark_results` at a cutoff."""

    rows: "pa.Table"

    def as_dict(self) -> dict[str, Any]:
        from found_platform.evaluation import tables

        return tables.as_document(self.rows)

    def grids(self) -> list[tuple[list[str], list[list[str]]]]:
        """Tables for people: for each, its header and its rows; a last row `mean` is one of means."""
        from found_platform.evaluation import tables

        return tables.grids(self.rows)

    def counts(self) -> list[dict[str, Any]]:
        """For each scenario: its name, its `users` and its `positives`."""
        rows = [r for r in self.rows.to_pylist() if r["metric"] == "auc" and r["scenario"] != "mean"]
        return list({r["scenario"]: r for r in rows}.values())


@use_case(Effect.CHANGES, "benchmark")
def run(context: Context, request: Run) -> Results:
    """Materialises `benchmark_results` at the cutoff. Raises BadInput where there is nothing to compare."""
    import pyarrow.dataset as pad

    from dagster_defs import runs
    from dagster_defs.assets.evaluate import QUICK
    from found_platform import index, lake
    from found_platform.evaluation import run as evaluation
    from found_platform.evaluation import scenarios
    from found_platform.privacy import audit
    from found_platform.sources import config as source_config

    settings = context.settings
    config = source_config.of_home(settings)
    day = parse_cutoff(request.cutoff, dt.date.fromisoformat(index.live(settings).as_of), config.days[1])
    if (request.labels is None) != (request.scenarios is None):
        raise BadInput("--labels and --scenarios belong together: give both files.")
    if request.labels is not None and request.scenarios is not None:
        scenarios.keep_label_files(settings, day, request.labels, request.scenarios)
    elif not config.simulator and not scenarios.label_files(settings):
        raise BadInput(f"The source {config.name!r} brings no labels: pass --labels and --scenarios.")
    audit.record(settings, "benchmark", question={"cutoff": str(day), "labels": request.labels and request.labels.name})
    runs.materialize(settings, "benchmark_results", str(day), {QUICK: request.quick})
    rows = lake.read(settings.lake, evaluation.TABLE, pad.field("cutoff") == day)
    if not rows.num_rows:
        raise BadInput(f"There is nothing to compare: {scenarios.load(settings, day)[1]}.")
    return Results(rows)
