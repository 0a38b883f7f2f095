"""Every asset, job, schedule and sensor of a home, built afresh.

What belongs here: putting the parts together. The code location that Dagster loads is `definitions`; commands build what they run.
"""

from collections.abc import Iterable

import dagster as dg

from dagster_defs import jobs, links, partitions, service
from dagster_defs.assets import audience, evaluate, features, history, ingest, prompts, publish, training
from dagster_defs.automation import audiences, conditions, deliveries, expiry, files, retraining
from dagster_defs.automation.common import Clock, utc_now
from dagster_defs.graph import AssetGraph
from found_platform import home
from found_platform.settings import Settings


def build_assets(graph: AssetGraph) -> list[dg.AssetsDefinition]:
    """Fresh asset definitions for a home."""

    def with_policy(spec: dg.AssetSpec) -> dg.AssetSpec:
        name = spec.key.path[-1]
        kind = graph.table[name].partitions
        return spec.replace_attributes(
            owners=[graph.settings.owner],
            tags={"domain": graph.table[name].group},
            metadata={**spec.metadata, **links.of_asset(graph.settings, name)},
            freshness_policy=partitions.FRESHNESS[kind],
            automation_condition=conditions.condition(name),
        )

    modules = (ingest, features, history, training, publish, prompts, audience, evaluate)
    return [asset.map_asset_specs(with_policy) for module in modules for asset in module.build(graph)]


def build_defs(
    settings: Settings | None = None, *, assets: Iterable[dg.AssetsDefinition] = (), clock: Clock = utc_now
) -> dg.Definitions:
    """Fresh definitions for a home. Those of `assets` take the place of the home's assets with the same keys; `clock` is that
    of sensors."""
    graph = AssetGraph(settings or Settings.load(home.default()))
    overrides = {asset.key: asset for asset in assets}
    return dg.Definitions(
        assets=[overrides.get(asset.key, asset) for asset in build_assets(graph)],
        jobs=[*jobs.build(), *service.build(graph)],
        schedules=[audiences.schedule(graph), expiry.schedule(graph), retraining.schedule(graph)],
        sensors=[
            files.sensor(graph, clock),
            conditions.sensor(graph),
            audiences.sensor(graph),
            deliveries.sensor(graph),
            retraining.sensor(graph, clock),
        ],
        executor=dg.in_process_executor,
    )
