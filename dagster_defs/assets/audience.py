"""Saved audiences: their members, a partition each, and the schedule that refreshes them."""

import base64

import dagster as dg

from dagster_defs.house import AUDIENCES, House, Record
from found_platform import lake
from found_platform.audiences import membership, pictures, preview, specification

REFRESH = "refresh_audiences"
AT = "0 6 * * *"


def build(house: House) -> list[dg.AssetsDefinition]:
    settings = house.settings

    @house.asset("audience_members", group="audience", kinds={"deltalake"}, pool="audiences", warnings=["size_is_steady"])
    def audience_members(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The members of a saved audience, found anew by its newest specification and what is published now; who joined and who
        left since the last time. Earlier memberships are kept."""
        record = Record(context, house)
        (name,) = record.keys
        done = membership.refresh(settings, name)
        made, scores = done.made, preview.histogram(done.scored, done.made.size)
        jumped = membership.jump(done.size_before, made.size)
        picture = base64.b64encode(pictures.plot(scores, done.scored.curve)).decode()
        return record.result(
            hashes={name: membership.rows_hash(settings, made)},
            rows=made.size if done.changed else 0,
            partition_rows={name: made.size},
            warnings={"size_is_steady": (jumped is None, jumped or "the size is about that of the last refresh")},
            metadata={
                "refresh": made.refresh,
                "specification_version": made.spec_version,
                "size": made.size,
                "size_because": made.size_because,
                "joins": made.joins if done.changed else 0,
                "leaves": made.leaves if done.changed else 0,
                "held_out": made.held_out,
                "threshold": "none" if made.threshold is None else made.threshold,
                "model_version": made.model_version,
                "index": made.index_version,
                "mode": f"{made.mode}: {made.reason}",
                "delta_version": lake.version(settings.lake, membership.MEMBERS),
                "scores": dg.MetadataValue.md(f"![scores of the audience](data:image/png;base64,{picture})"),
            },
        )

    return [audience_members]


def schedule(house: House) -> dg.ScheduleDefinition:
    """Refreshes every saved audience once a day, each after those that it leaves out. Stopped until a person starts it."""
    job = dg.define_asset_job(REFRESH, selection=["audience_members"], description="Finds the members of an audience anew.")

    @dg.schedule(name=f"{REFRESH}_daily", job=job, cron_schedule=AT, default_status=dg.DefaultScheduleStatus.STOPPED)
    def daily(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        names = specification.in_order(house.settings)
        context.instance.add_dynamic_partitions(AUDIENCES, names)
        return [dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d} {n}", partition_key=n) for n in names]

    return daily
