"""Every asset, job and schedule of a home, built afresh.

What belongs here: putting the parts together. The code location that Dagster loads is `definitions`; commands build what they run.
"""

from collections.abc import Iterable

import dagster as dg

from dagster_defs import automation, service
from dagster_defs.assets import audience, evaluate, features, ingest, prompts, publish, training
from dagster_defs.graph import AssetGraph
from found_platform import home
from found_platform.settings import Settings


def build_assets(graph: AssetGraph) -> list[dg.AssetsDefinition]:
    """Fresh asset definitions for a home."""
    return [asset for module in (ingest, features, training, publish, prompts, audience, evaluate) for asset in module.build(graph)]


def build_jobs(graph: AssetGraph) -> list[dg.JobDefinition]:
    """Fresh jobs for a home that are no materialisation of an asset."""
    return service.build(graph)


def build_defs(settings: Settings | None = None, *, assets: Iterable[dg.AssetsDefinition] = ()) -> dg.Definitions:
    """Fresh definitions for a home. Those of `assets` take the place of the home's assets with the same keys."""
    graph = AssetGraph(settings or Settings.load(home.default()))
    overrides = {asset.key: asset for asset in assets}
    return dg.Definitions(
        assets=[overrides.get(asset.key, asset) for asset in build_assets(graph)],
        jobs=build_jobs(graph),
        schedules=automation.schedules(graph),
        executor=dg.in_process_executor,
    )
