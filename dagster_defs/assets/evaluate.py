"""Looking at the result: the benchmark and the drift of features."""

import datetime as dt

import dagster as dg

from dagster_defs.house import House, Record
from found_platform import registry
from found_platform.evaluation import run, scenarios
from found_platform.monitoring import drift


def build(house: House) -> list[dg.AssetsDefinition]:
    settings = house.settings

    @house.asset("benchmark_results", group="benchmark", kinds={"scikitlearn", "deltalake"}, pool="feast")
    def benchmark_results(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """One row a method, task, scenario and metric. Without labels it has no rows, and says why."""
        record = Record(context, house)
        version = registry.of_cutoff(settings, str(record.cutoff))
        wanted, why = scenarios.load(settings, record.cutoff)
        written, table = run.run(settings, record.cutoff, version, wanted)
        said = {"results": dg.MetadataValue.md(run.as_markdown(table))} if wanted else {"why_no_rows": why}
        return record.written(written, scenarios.RESULTS, metadata={"model_version": version, **said})

    @house.asset("feature_drift", group="monitor", kinds={"evidently"}, warnings=["nothing_drifted"])
    def feature_drift(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """What moved: an Evidently report on a dozen activity features, the day's snapshot against that of 28 days earlier, and
        the traffic of the week that ends with the day against the week 28 days earlier."""
        record = Record(context, house)
        reports = [drift.report(settings, day) for day in map(dt.date.fromisoformat, record.keys)]
        last = reports[-1]
        return record.result(
            hashes={str(r.day): str((sorted(r.psi.items()), r.traffic)) for r in reports},
            warnings={"nothing_drifted": (not last.drifted, ", ".join(last.drifted) or "all figures are within their limits")},
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
