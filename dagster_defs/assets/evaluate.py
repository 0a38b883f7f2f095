"""Looking at the result: the benchmark and the drift of features."""

import datetime as dt

import dagster as dg

from dagster_defs.graph import AssetGraph
from dagster_defs.materialization import AssetRun, asset
from found_platform import registry
from found_platform.evaluation import run as benchmark
from found_platform.evaluation import scenarios
from found_platform.monitoring import drift


def build(graph: AssetGraph) -> list[dg.AssetsDefinition]:
    settings = graph.settings

    @asset(graph, "benchmark_results", kinds={"scikitlearn", "deltalake"})
    def benchmark_results(run: AssetRun) -> dg.MaterializeResult:
        """One row a method, task, scenario and metric. Without labels it has no rows, and says why."""
        version = registry.of_cutoff(settings, str(run.cutoff))
        tasks, why = scenarios.load(settings, run.cutoff)
        written, table = benchmark.run(settings, run.cutoff, version, tasks)
        results = {"results": dg.MetadataValue.md(benchmark.as_markdown(table))} if tasks else {"why_no_rows": why}
        return run.written(written, scenarios.RESULTS, metadata={"model_version": version, **results})

    @asset(graph, "feature_drift", kinds={"evidently"})
    def feature_drift(run: AssetRun) -> dg.MaterializeResult:
        """What moved: an Evidently report on a dozen activity features, the day's snapshot against that of 28 days earlier, and
        the traffic of the week that ends with the day against the week 28 days earlier."""
        reports = [drift.report(settings, day) for day in map(dt.date.fromisoformat, run.keys)]
        last = reports[-1]
        return run.result(
            hashes={str(r.day): str((sorted(r.psi.items()), r.traffic)) for r in reports},
            outcomes={"nothing_drifted": (not last.drifted, ", ".join(last.drifted) or "all figures are within their limits")},
            metadata={
                "report": dg.MetadataValue.path(str(last.html)),
                "open_report": dg.MetadataValue.url(last.html.resolve().as_uri()),
                "reference_day": str(last.reference),
                "drifted": last.drifted,
                "traffic": dg.MetadataValue.table(
                    [
                        dg.TableRecord({"figure": f.name, "week": f.value, "reference": f.reference, "drifted": f.drifted})
                        for f in last.traffic
                    ],
                    schema=dg.TableSchema.from_name_type_dict(
                        {"figure": "string", "week": "float", "reference": "float", "drifted": "bool"}
                    ),
                ),
                "psi": dg.MetadataValue.table(
                    [dg.TableRecord({"feature": k, "psi": v, "drifted": v > drift.PSI_DRIFTED}) for k, v in last.psi.items()]
                ),
            },
        )

    return [benchmark_results, feature_drift]
