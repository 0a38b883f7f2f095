"""Drift through the graph: what goes wrong with a source ends as a warning on the page of `feature_drift`."""

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from dagster_defs import runs
from dagster_defs.execution import open_instance
from found_platform.settings import Settings
from found_platform.sources import staging
from found_platform.sources.config import SourceConfig

LAST = dt.date(2026, 2, 25)
FOUR_WEEKS = dt.timedelta(days=28)


@pytest.mark.slow
def test_a_drifted_source_warns_and_says_what_moved(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "found", profile="tiny")
    drifts = dict.fromkeys(("broken_units", "dead_channel"), LAST - dt.timedelta(days=6))
    simulator = {"users": 500, "days": 56, "seed": 7, "drifts": drifts}
    source = SourceConfig.model_validate({"name": "simulated", "simulator": simulator})
    staging.open_home(settings, staging.discover(settings, source))
    list(runs.backfill(settings, dt.date(2026, 1, 1), LAST, assets=["raw_events", "behavior_text"]))
    for day in (LAST - FOUR_WEEKS, LAST):
        list(runs.backfill(settings, day, day, assets=["user_tabular"]))
    runs.materialize(settings, "feature_drift", str(LAST))
    with open_instance(settings) as instance:
        key = dg.AssetCheckKey(dg.AssetKey("feature_drift"), "nothing_drifted")
        (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)  # the newest
        materialization = instance.get_latest_materialization_event(dg.AssetKey("feature_drift"))
    assert record.event is not None
    event = record.event.dagster_event
    assert event is not None
    check = event.asset_check_evaluation_data
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    why = str(check.metadata["why"].value)
    assert why.startswith("drifted: ")
    names = why.removeprefix("drifted: ").split("; ")[0].split(", ")
    assert {"price_level", "share_search", "search_7d"} <= set(names)
    assert materialization is not None
    assert materialization.asset_materialization is not None
    assert materialization.asset_materialization.metadata["drifted"].value == ", ".join(names)
