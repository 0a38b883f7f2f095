"""Conditions of assets: what is made by itself because something else was made, and the sensor that evaluates them.

What belongs here: the conditions. What does not: files, trainings and audiences, which are asked for by sensors of their own.

`AutomationCondition.eager()` is none of these conditions: it asks for partitions whose parents do not exist, and goes on past a
blocking check that failed in an earlier run.
"""

import dagster as dg

from dagster_defs.automation.common import sensor_status
from dagster_defs.graph import DAYS, HISTORY, AssetGraph

SENSOR = "what_follows"

TRIGGERS = {
    "feature_drift": ("user_tabular",),
    "user_embeddings": ("found_model",),
    "promotion": ("user_embeddings",),
    "user_index": ("promotion",),
    "tuned_prompts": ("promotion",),
}
"""By asset of a day or a cutoff: the upstreams of which a new partition asks for the same partition of it. An older day that is
made again asks for neither an older report nor an older cutoff: `found status` tells of those."""


def condition(asset: str) -> dg.AutomationCondition | None:
    """The condition of an asset; None where it is asked for otherwise.

    The history follows every day, see `_history`. Of the others an upstream in `TRIGGERS` has a new materialization since the asset
    was last asked for; nothing that the partition reads is missing or being made; no blocking check of an upstream has failed; and
    no run makes the partition at the moment. Of days the newest alone is asked for.
    """
    if asset == HISTORY:
        return _history()
    triggers = TRIGGERS.get(asset)
    if triggers is None:
        return None
    of = dg.AutomationCondition
    updated = of.any_deps_match(of.newly_updated() | of.will_be_requested()).allow(dg.AssetSelection.assets(*triggers))
    whole = (
        updated.since_last_handled().with_label(f"{' or '.join(triggers)} was made since this was asked for")
        & ~of.any_deps_missing().with_label("something that it reads is missing")
        & ~of.any_deps_in_progress().with_label("something that it reads is being made")
        & ~_days_in_progress()
        & of.all_deps_blocking_checks_passed().with_label("every blocking check before it passed")
        & ~of.in_progress().with_label("it is being made")
    )
    if asset == "feature_drift":
        whole = of.in_latest_time_window() & whole
    return whole.with_label(f"after {' or '.join(triggers)}")


def _days_in_progress() -> dg.AutomationCondition:
    """Whether days are being made that the history will tell of, for what follows from the history."""
    of = dg.AutomationCondition
    days = of.any_deps_match(of.any_deps_in_progress()).allow(dg.AssetSelection.assets(HISTORY))
    return days.with_label("days are being made")


def _history() -> dg.AutomationCondition:
    """After every run of days, whoever asked for it: the history says which days are there. Also in a home that has days and was
    made before there was a history. One that failed is not repeated by itself."""
    of = dg.AutomationCondition
    whole = (
        (
            of.any_deps_updated().since_last_handled().with_label("days were made since this was asked for")
            | (of.missing() & ~of.execution_failed()).with_label("it was never made")
        )
        & of.any_deps_match(~of.missing()).allow(dg.AssetSelection.assets(DAYS[0])).with_label(f"days of {DAYS[0]} are there")
        & ~of.any_deps_in_progress().with_label("days are being made")
        & ~of.in_progress().with_label("it is being made")
    )
    return whole.with_label("after days")


def sensor(graph: AssetGraph) -> dg.AutomationConditionSensorDefinition:
    """What evaluates them; its ticks show each condition, asset by asset."""
    return dg.AutomationConditionSensorDefinition(
        SENSOR,
        target=dg.AssetSelection.assets(HISTORY, *TRIGGERS),
        run_tags={"found/because_of": "condition"},
        minimum_interval_seconds=30,
        default_status=sensor_status(graph.settings),
        description="Makes what follows from a trained model (states, verdict, index, prompts) and from new days (history, drift).",
    )
