"""Expiry: once a day, what is older than the setting `retention` lets it be goes.

What belongs here: whether anything is due, in words where nothing is. What goes is `found_platform.housekeeping.expiry`'s.
"""

import dagster as dg

from dagster_defs.automation.common import at_work, schedule_status
from dagster_defs.graph import AssetGraph
from dagster_defs.service import EXPIRE
from found_platform.errors import BadInput
from found_platform.housekeeping import expiry

AT = "30 4 * * *"
"""Cron, UTC: before audiences are found anew in the morning."""


def schedule(graph: AssetGraph) -> dg.ScheduleDefinition:
    """Lets go of what is too old, where anything is."""

    @dg.schedule(
        name=expiry.SCHEDULE,
        job_name=EXPIRE,
        cron_schedule=AT,
        execution_timezone="UTC",
        default_status=schedule_status(graph.settings),
        description="Lets go of rows that are older than the setting `retention` lets them be, every day.",
    )
    def expire_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        settings, at = graph.settings, context.scheduled_execution_time
        if not settings.retention_days:
            return dg.SkipReason("Everything is kept as long as the home: FOUND_RETENTION names no days.")
        if (busy := at_work(context.instance, EXPIRE)) is not None:
            return dg.SkipReason(f"Waiting: {busy}.")
        try:
            plan = expiry.plan(settings, at.date())
        except BadInput as error:
            return dg.SkipReason(str(error))
        if not any(each.count for each in plan):
            held = [f" {each.name} stays: {each.why_not}." for each in plan if each.why_not]
            return dg.SkipReason(f"Nothing is older than FOUND_RETENTION lets it be.{''.join(held)}")
        return dg.RunRequest(run_key=f"expire {at:%Y-%m-%d}")

    return expire_daily
