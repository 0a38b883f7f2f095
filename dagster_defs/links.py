"""Links from the pages of assets and runs to those of the console, MLflow and Evidently, where the settings say where these are.

What belongs here: which page is about what. What does not: the pages; and the addresses, which are of a machine or a deployment
(`found serve --all` tells Dagster its own).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from dagster_defs.graph import AUDIENCE, AssetGraph
from found_platform import registry, reports
from found_platform.settings import Settings

PAGES = {
    "found_model": "/models",
    "promotion": "/models",
    "user_index": "/",
    "tuned_prompts": "/",
    "audience_members": "/audiences",
}
"""Pages of the console by asset; of all others it shows the state on `DATA`."""

DATA = "/data"
OF_MODELS = ("found_model", "promotion", "user_index")
"""Assets that are about versions of the registered model."""
OF_REPORTS = {"feature_drift": reports.FEATURE_DRIFT, "benchmark_report": reports.BENCHMARK}
"""Assets that keep reports in the home's Evidently workspace, and its project."""


def of_asset(settings: Settings, asset: str) -> dict[str, dg.MetadataValue]:
    """Links on the page of an asset."""
    return {
        **_link("console", settings.console_url, PAGES.get(asset, DATA)),
        **(_link("mlflow", settings.mlflow_url, f"/#/models/{registry.MODEL}") if asset in OF_MODELS else {}),
        **(_link("evidently", settings.evidently_url, reports.pages(OF_REPORTS[asset])) if asset in OF_REPORTS else {}),
    }


def of_run(graph: AssetGraph, asset: str, keys: Sequence[str], metadata: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    """Links on the page of what a run has made: its model version, its audience, its drift report."""
    settings, version = graph.settings, metadata.get("model_version")
    links: dict[str, dg.MetadataValue] = {}
    if version is not None:
        links |= _link("model_in_console", settings.console_url, f"/models/{version}")
        links |= _link("model_in_mlflow", settings.mlflow_url, f"/#/models/{registry.MODEL}/versions/{version}")
    if graph.table[asset].partitions == AUDIENCE and len(keys) == 1:
        links |= _link("audience_in_console", settings.console_url, f"/audiences/{keys[0]}")
    if asset == "feature_drift" and "report" in metadata:
        links |= _link("report_in_console", settings.console_url, f"/api/v1/drift/{keys[-1]}/page")
        links |= _link("report_in_evidently", settings.evidently_url, reports.page(reports.FEATURE_DRIFT, keys[-1]))
    return links


def _link(name: str, address: str | None, page: str) -> dict[str, dg.MetadataValue]:
    return {name: dg.MetadataValue.url(address.rstrip("/") + page)} if address else {}
