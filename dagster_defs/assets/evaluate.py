"""Looking at the result: the benchmark and the drift of features."""

import base64
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import dagster as dg

from dagster_defs.graph import AssetGraph
from dagster_defs.materialization import AssetRun, asset
from dagster_defs.tables import table
from found_platform import registry
from found_platform.evaluation import report, scenarios, tables
from found_platform.evaluation import run as benchmark
from found_platform.evaluation.extent import FULL, Extent, check_scenarios
from found_platform.evaluation.extent import QUICK as QUICK_EXTENT
from found_platform.evaluation.scenario import Scenario
from found_platform.monitoring import drift, figures

QUICK, METHODS, SCENARIOS, MOST_SCENARIOS = "quick", "methods", "scenarios", "most_scenarios"
TRAINING_SEEDS = "training_seeds"
"""Names of the configuration of `benchmark_results`."""


def build(graph: AssetGraph) -> list[dg.AssetsDefinition]:
    settings = graph.settings

    about = "No few-shot heads, no trained rivals, one training seed, fewer splits, no other wordings: a fraction of the time."
    config = {
        QUICK: dg.Field(bool, default_value=False, description=about),
        METHODS: dg.Field([str], default_value=[], description="Methods by name; none takes all."),
        SCENARIOS: dg.Field([str], default_value=[], description="Scenarios by name; none takes all."),
        MOST_SCENARIOS: dg.Field(
            int, default_value=0, description="So many scenarios at most, those with the most positives; 0 takes all."
        ),
        TRAINING_SEEDS: dg.Field(int, default_value=0, description="Seeds that FOUND is trained with; 0 takes three, quick one."),
    }

    @asset(graph, "benchmark_results", kinds={"scikitlearn", "deltalake"}, config=config)
    def benchmark_results(run: AssetRun) -> dg.MaterializeResult:
        """One row a method, task, scenario and metric. Without labels it has no rows, and says why. A run that was killed is gone
        on with, as long as its inputs are the same."""
        version = registry.of_cutoff(settings, str(run.cutoff))
        tasks, why = scenarios.load(settings, run.cutoff)
        check_scenarios(run.config[SCENARIOS], tasks)
        extent = extent_of(run.config, tasks)
        written, table = benchmark.run(settings, run.cutoff, version, tasks, extent, run.fingerprint)
        results: dict[str, Any] = {"results": dg.MetadataValue.md(tables.as_markdown(table))} if tasks else {"why_no_rows": why}
        if extent.scenarios is not None:
            results["left_out"] = ", ".join(t.name for t in tasks if t.name not in extent.scenarios) or "no scenario"
        return run.written(written, scenarios.RESULTS, metadata={"model_version": version, **results})

    @asset(graph, "benchmark_report", kinds={"evidently", "matplotlib"})
    def benchmark_report(run: AssetRun) -> dg.MaterializeResult:
        """The benchmark as one page that is read offline: what has to be beaten on top, whether a difference is chance, curves; and
        Evidently's classification report of each scenario."""
        page = report.write(settings, run.cutoff)
        key = str(run.cutoff)
        if page is None:
            return run.result(hashes={key: "0" * 16}, metadata={"why_no_page": "the benchmark has no rows at this cutoff"})
        findings = "\n".join(f"- {sentence}" for sentence in page.sentences)
        about = {
            "report": dg.MetadataValue.path(str(page.html)),
            "findings": dg.MetadataValue.md(findings),
        }
        encoded = {title: base64.b64encode(png).decode() for title, png in page.pictures.items()}
        pictures = {title: dg.MetadataValue.md(f"![{title}](data:image/png;base64,{png})") for title, png in encoded.items()}
        return run.result(hashes={key: page.content}, metadata=about, display=pictures)

    @asset(graph, "feature_drift", kinds={"evidently"})
    def feature_drift(run: AssetRun) -> dg.MaterializeResult:
        """What moved: an Evidently report on a dozen activity features, the day's snapshot against that of 28 days earlier, and
        the traffic of the week that ends with the day against the week 28 days earlier. What could not be judged does not pass."""
        reports = [drift.of(settings, dt.date.fromisoformat(key), run.fingerprints[key]) for key in run.keys]
        last = reports[-1]
        unsound = [r for r in reports if r.state != figures.PASSED]
        why = "; ".join(f"{r.day}: {r.sentence}" if len(reports) > 1 else r.sentence for r in unsound) or last.sentence
        pages = {"report": dg.MetadataValue.path(str(last.html))} if last.html is not None else {}
        values = [figure.value for figure in last.features if figure.value is not None]
        return run.result(
            hashes={str(r.day): str(sorted(r.figures, key=lambda f: f.name)) for r in reports},
            outcomes={"nothing_drifted": (not unsound, why)},
            metadata={
                **pages,
                "reference_day": str(last.reference),
                "state": last.state,
                "drifted": ", ".join(last.drifted) or "nothing",
                "drifted_figures": len(last.drifted),
                "not_judged_figures": sum(figure.state == figures.NOT_JUDGED for figure in last.figures),
                **({"largest_psi": max(values)} if values else {}),
                "traffic": _table(last.traffic),
                "psi": _table(last.features),
            },
        )

    return [benchmark_results, benchmark_report, feature_drift]


def extent_of(config: Mapping[str, Any], tasks: Sequence[Scenario]) -> Extent:
    """How much of the benchmark a configuration asks for; what it does not name is as without it."""
    extent = QUICK_EXTENT if config.get(QUICK) else FULL
    return replace(
        extent,
        methods=config.get(METHODS) or None,
        scenarios=config.get(SCENARIOS) or _with_most_positives(tasks, config.get(MOST_SCENARIOS, 0)),
        training_seeds=config.get(TRAINING_SEEDS) or extent.training_seeds,
    )


def _with_most_positives(tasks: Sequence[Scenario], count: int) -> list[str] | None:
    """The names of so many scenarios, those with the most positives; None where that is all of them."""
    most = sorted(tasks, key=lambda task: -int(task.labels.sum()))[: count or None]
    return [task.name for task in most] if len(most) < len(tasks) else None


def _table(judged: Sequence[figures.Figure]) -> dg.TableMetadataValue:
    """Figures and what became of them, for the page of the run."""
    columns = {"name": "string", "value": "float", "reference": "float", "limit": "float", "state": "string", "why": "string"}
    return table([asdict(figure) for figure in judged], columns)
