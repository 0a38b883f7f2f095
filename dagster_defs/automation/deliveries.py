"""Deliveries: a new refresh of an audience goes to the destinations that it names.

What belongs here: when a delivery is asked for, and why not. What it does is `found_platform.audiences.deliveries`'s.
"""

import dagster as dg

from dagster_defs.automation.common import REQUEST, earlier, sensor_status
from dagster_defs.graph import AssetGraph
from dagster_defs.service import DELIVER, OPS
from found_platform.audiences import deliveries, membership, specification
from found_platform.audiences.specification import Specification

SENSOR = "deliveries_follow"


def sensor(graph: AssetGraph) -> dg.SensorDefinition:
    """Sends what was found anew, and nothing twice."""
    settings = graph.settings

    @dg.sensor(
        name=SENSOR,
        job_name=DELIVER,
        minimum_interval_seconds=60,
        default_status=sensor_status(settings),
        description="Sends the members of a new refresh to the destinations that the audience names.",
    )
    def deliveries_follow(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        missing = [each for spec in specification.all_newest(settings).values() for each in _missing(graph, spec)]
        due, begun = [], []
        for request, config in missing:
            if earlier(context.instance, request) is None:
                run_config = {"ops": {OPS[DELIVER]: {"config": config}}}
                due.append(dg.RunRequest(run_key=request, run_config=run_config, tags={REQUEST: request}))
            else:
                begun.append(f"{config['audience']} to {config['destination']}")
        if due:
            return due
        if begun:
            return dg.SkipReason(f"{', '.join(begun)}: asked for already; the run is at work, or its page says why it failed.")
        return dg.SkipReason("Every refresh is where it should be, or no audience names a destination.")

    return deliveries_follow


def _missing(graph: AssetGraph, spec: Specification) -> list[tuple[str, dict[str, object]]]:
    """The deliveries of the newest refresh that are still to come: what they are called, and what the job needs to know."""
    if not spec.deliver_to:
        return []
    name = spec.audience
    refresh = membership.last(graph.settings, name)
    if refresh is None:
        return []
    sent: dict[str, int] = {}
    for each in deliveries.history(graph.settings, name):
        if each.status == deliveries.DELIVERED:
            sent[each.destination] = max(each.refresh, sent.get(each.destination, 0))
    return [
        (
            f"deliver {name} {refresh.refresh} to {place}",
            {"audience": name, "destination": place, "changes": spec.deliver_changes and place in sent},
        )
        for place in spec.deliver_to
        if sent.get(place, 0) < refresh.refresh
    ]
