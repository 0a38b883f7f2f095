"""Looking at the result: the benchmark and the drift of features."""

import datetime as dt
from collections.abc import Sequence

import dagster as dg

from dagster_defs.house import House, Record
from found_platform import registry
from found_platform.evaluation import run, scenarios
from found_platform.monitoring import drift, figures


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
        the traffic of the week that ends with the day against the week 28 days earlier. What could not be judged does not pass."""
        record = Record(context, house)
        reports = [drift.report(settings, day) for day in map(dt.date.fromisoformat, record.keys)]
        last = reports[-1]
        unsound = [r for r in reports if r.state != figures.PASSED]
        why = "; ".join(f"{r.day}: {r.sentence}" if len(reports) > 1 else r.sentence for r in unsound) or last.sentence
        pages = (
            {"report": dg.MetadataValue.path(str(last.html)), "open_report": dg.MetadataValue.url(last.html.as_uri())}
            if last.html
            else {}
        )
        return record.result(
            hashes={str(r.day): str(sorted(r.figures, key=lambda f: f.name)) for r in reports},
            warnings={"nothing_drifted": (not unsound, why)},
            metadata={
                **pages,
                "reference_day": str(last.reference),
                "state": last.state,
                "drifted": last.drifted,
                "traffic": _table(last.traffic),
                "psi": _table(last.features),
            },
        )

    return [benchmark_results, feature_drift]


def _table(judged: Sequence[figures.Figure]) -> dg.TableMetadataValue:
    """Figures and what became of them, for the page of the run."""
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {"figure": f.name, "value": f.value, "reference": f.reference, "limit": f.limit, "state": f.state, "why": f.why}
            )
            for f in judged
        ],
        schema=dg.TableSchema.from_name_type_dict(
            {"figure": "string", "value": "float", "reference": "float", "limit": "float", "state": "string", "why": "string"}
        ),
    )
