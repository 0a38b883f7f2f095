"""What runs by itself: schedules. Each is stopped until a person starts it."""

import dagster as dg

from dagster_defs.graph import AUDIENCES, AssetGraph
from found_platform.audiences import specification

REFRESH = "refresh_audiences"
AT = "0 6 * * *"

IN_ORDER = {"found/in_order": "true"}
"""Tag of runs that the daemon starts one at a time, oldest first (`dagster.yaml`): an audience after those that it leaves out."""


def schedules(graph: AssetGraph) -> list[dg.ScheduleDefinition]:
    """The schedules of a home."""
    job = dg.define_asset_job(REFRESH, selection=["audience_members"], description="Finds the members of an audience anew.")

    @dg.schedule(
        name=f"{REFRESH}_daily",
        job=job,
        cron_schedule=AT,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Refreshes every saved audience once a day, each after those that it leaves out.",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        names = specification.moving(graph.settings)
        context.instance.add_dynamic_partitions(AUDIENCES, names)
        return [
            dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d} {name}", partition_key=name, tags=IN_ORDER)
            for name in names
        ]

    return [daily]
