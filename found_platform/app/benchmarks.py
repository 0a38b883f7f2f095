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

    from found_platform.evaluation.bootstrap import Difference


@dataclass(frozen=True)
class Run:
    """Labels and scenarios, both or neither; `cutoff` is a day, `latest`, or None: that of the published index.

    `quick` leaves out few-shot heads, trained rivals, training seeds, other wordings and some of the splits. `methods` and
    `only_scenarios` are names; none takes all. `training_seeds` is how often FOUND is trained; None takes three, quick one.
    """

    labels: Path | None = None
    scenarios: Path | None = None
    cutoff: str | None = None
    quick: bool = False
    methods: tuple[str, ...] = ()
    only_scenarios: tuple[str, ...] = ()
    training_seeds: int | None = None


@dataclass(frozen=True)
class Results:
    """The rows of `benchmark_results` at a cutoff, and the page about them in the home, where it was made."""

    rows: "pa.Table"
    page: Path | None = None

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
    from dagster_defs import runs
    from dagster_defs.assets.evaluate import METHODS, QUICK, SCENARIOS, TRAINING_SEEDS
    from found_platform.evaluation import extent, scenarios
    from found_platform.privacy import audit
    from found_platform.sources import config as source_config

    settings = context.settings
    config = source_config.of_home(settings)
    day = _cutoff(context, request.cutoff)
    extent.check_methods(request.methods)
    if (request.labels is None) != (request.scenarios is None):
        raise BadInput("--labels and --scenarios belong together: give both files.")
    if request.labels is not None and request.scenarios is not None:
        scenarios.keep_label_files(settings, day, request.labels, request.scenarios)
    elif not config.simulator and not scenarios.label_files(settings):
        raise BadInput(f"The source {config.name!r} brings no labels: pass --labels and --scenarios.")
    audit.record(settings, "benchmark", question={"cutoff": str(day), "labels": request.labels and request.labels.name})
    part = {METHODS: list(request.methods), SCENARIOS: list(request.only_scenarios)}
    runs.materialize(
        settings, "benchmark_results", str(day), {QUICK: request.quick, TRAINING_SEEDS: request.training_seeds or 0, **part}
    )
    if not _rows(context, day).num_rows:
        raise BadInput(f"There is nothing to compare: {scenarios.load(settings, day)[1]}.")
    runs.materialize(settings, "benchmark_report", str(day))
    return _results(context, day)


@dataclass(frozen=True)
class At:
    """A cutoff: a day, `latest`, or None: that of the published index."""

    cutoff: str | None = None


@use_case(Effect.READS)
def show(context: Context, request: At) -> Results:
    """The rows that the last run at the cutoff left. Raises BadInput where there are none."""
    return _results(context, _cutoff(context, request.cutoff))


@dataclass(frozen=True)
class Compare:
    """Whom to compare with: a method, or None for the one that leads; in a scenario, by default over the mean."""

    cutoff: str | None = None
    against: str | None = None
    scenario: str = "mean"


@dataclass(frozen=True)
class Comparison:
    """Every pair of methods of one task, each scenario and the mean; `beside` is what was asked for, by task."""

    cutoff: dt.date
    pairs: "list[Difference]"
    beside: "list[list[Difference]]"

    def as_dict(self) -> dict[str, Any]:
        return {"cutoff": self.cutoff, "metric": "auc", "pairs": [{**vars(d), "verdict": d.verdict} for d in self.pairs]}

    def grids(self) -> list[tuple[list[str], list[list[str]]]]:
        """Tables for people: for each task, its header and its rows."""
        from found_platform.evaluation import tables

        return [tables.differences_grid(differences) for differences in self.beside]


@use_case(Effect.READS)
def compare(context: Context, request: Compare) -> Comparison:
    """Says of each pair of methods whether their difference is chance: a paired bootstrap over users.

    Raises BadInput where no benchmark has run at the cutoff, and for a method or a scenario that it does not have.
    """
    from found_platform.evaluation import bootstrap, scores

    day = _cutoff(context, request.cutoff)
    rows = _results(context, day).rows
    for name, column, value in (("--against", "method", request.against), ("--scenario", "scenario", request.scenario)):
        names = dict.fromkeys(rows[column].to_pylist())
        if value is not None and value not in names:
            raise BadInput(f"{name} {value!r} has no rows at the cutoff {day}: choose among {', '.join(names)}.")
    methods = set(zip(rows["task"].to_pylist(), rows["method"].to_pylist(), strict=True))
    pairs = bootstrap.differences(scores.read(context.settings, day))
    pairs = [pair for pair in pairs if {(pair.task, pair.method), (pair.task, pair.other)} <= methods]
    tasks = dict.fromkeys(pair.task for pair in pairs)
    beside = [bootstrap.against(pairs, task, request.scenario, request.against) for task in tasks]
    return Comparison(day, pairs, [differences for differences in beside if differences])


def _cutoff(context: Context, cutoff: str | None) -> dt.date:
    from found_platform import index
    from found_platform.sources import config as source_config

    settings = context.settings
    published = dt.date.fromisoformat(index.live(settings).as_of)
    return parse_cutoff(cutoff, published, source_config.of_home(settings).days[1])


def _results(context: Context, day: dt.date) -> Results:
    from found_platform.evaluation import report

    rows = _rows(context, day)
    if not rows.num_rows:
        raise BadInput(f"No benchmark has run at the cutoff {day}: run `found benchmark run` first.")
    page = report.path(context.settings, day)
    return Results(rows, page.relative_to(context.settings.home) if page.exists() else None)


def _rows(context: Context, day: dt.date) -> "pa.Table":
    import pyarrow.dataset as pad

    from found_platform import lake
    from found_platform.evaluation import run as evaluation
    from found_platform.evaluation import scenarios

    settings = context.settings
    if not lake.exists(settings.lake, evaluation.TABLE):
        return scenarios.RESULTS.empty_table()
    return lake.read(settings.lake, evaluation.TABLE, pad.field("cutoff") == day)
