"""Jobs that make no asset: a version takes service, or gives it back to the one before it; an audience goes, or its members go to a
destination; rows that are too old go.

What belongs here: the jobs and the form in which their outcome travels. What they do is `found_platform`'s.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from dagster_defs import locks
from dagster_defs.graph import AUDIENCES, PROMPTS, SERVICE, AssetGraph
from dagster_defs.materialization import asked_by, in_words
from found_platform import index, registry
from found_platform.audiences import deliveries, membership, prompts, specification
from found_platform.housekeeping import expiry
from found_platform.index import champion
from found_platform.index.champion import Change
from found_platform.index.pointer import Publication, publication
from found_platform.privacy.actor import acting

PROMOTE, ROLLBACK, ROLLBACK_INDEX, FORGET = "promote", "rollback", "rollback_index", "forget_audience"
DELIVER, EXPIRE = "deliver_audience", "expire"
OPS = {
    PROMOTE: "take_service",
    ROLLBACK: "give_service_back",
    ROLLBACK_INDEX: "point_at_the_earlier_index",
    FORGET: "remove_audience",
    DELIVER: "send_members",
    EXPIRE: "let_go_of_old_rows",
}
"""The one op of each job."""


@dataclass(frozen=True)
class ServiceChange:
    """What changed: the champion and the index, and by name of each saved prompt how tuning it for the new version went."""

    change: Change
    prompts: Mapping[str, str]

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "ServiceChange":
        """As the op of a job has recorded it."""
        document = metadata["change"].value
        before, after = document["index"]
        old, new = document["champion"]
        return cls(Change((old, new), (publication(before) if before else None, publication(after))), metadata["prompts"].value)


class Promote(dg.Config):
    """Which version: by default the candidate."""

    version: str | None = None


class Forget(dg.Config):
    """Which saved audience."""

    audience: str


class Deliver(dg.Config):
    """Which saved audience, where to, and whether only who joined and who left since the last time."""

    audience: str
    destination: str
    changes: bool = False


AGAIN = dg.RetryPolicy(max_retries=3, delay=60, backoff=dg.Backoff.EXPONENTIAL)
"""A receiver that does not answer may do so a few minutes later; the same delivery is never sent twice."""


def build(graph: AssetGraph) -> list[dg.JobDefinition]:
    """The jobs of a home."""
    settings = graph.settings

    def changed(context: dg.OpExecutionContext, change: Change) -> dg.Output[None]:
        live: Publication = change.index[1]
        tuned: dict[str, str] = {}
        if prompts.names(settings):
            retuned, failed = prompts.retune(settings, live.model_version, dt.date.fromisoformat(live.as_of))
            tuned = {p.name: f"tuned for version {live.model_version}" for p in retuned} | failed
        for event in _observations(context, change):
            context.log_event(event)
        document = {"champion": change.champion, "index": [p and p.as_dict() for p in change.index]}
        return dg.Output(None, metadata={"change": dg.MetadataValue.json(document), "prompts": dg.MetadataValue.json(tuned)})

    @dg.op(name=OPS[PROMOTE], out=dg.Out(dg.Nothing))
    def promote(context: dg.OpExecutionContext, config: Promote) -> dg.Output[None]:
        with (
            in_words(context.run.job_name),
            acting(asked_by(context.run)),
            locks.hold(settings, [f"run-{SERVICE}", f"run-{PROMPTS}"]),
        ):
            return changed(context, champion.promote(settings, config.version))

    @dg.op(name=OPS[ROLLBACK], out=dg.Out(dg.Nothing))
    def rollback(context: dg.OpExecutionContext) -> dg.Output[None]:
        with (
            in_words(context.run.job_name),
            acting(asked_by(context.run)),
            locks.hold(settings, [f"run-{SERVICE}", f"run-{PROMPTS}"]),
        ):
            return changed(context, champion.rollback(settings))

    @dg.op(name=OPS[ROLLBACK_INDEX], out=dg.Out(dg.Nothing))
    def rollback_index(context: dg.OpExecutionContext) -> dg.Output[None]:
        with (
            in_words(context.run.job_name),
            acting(asked_by(context.run)),
            locks.hold(settings, [f"run-{PROMPTS}"]),
        ):  # it waits for no publisher
            version = registry.version_of(settings, registry.CHAMPION) or ""
            return changed(context, Change((version, version), index.rollback(settings)))

    @dg.job(name=PROMOTE, description="Makes a version the champion and publishes its users.")
    def promote_job() -> None:
        promote()

    @dg.job(name=ROLLBACK, description="Makes the version before it the champion again, with its index.")
    def rollback_job() -> None:
        rollback()

    @dg.job(name=ROLLBACK_INDEX, description="Makes the index before it answer look-ups again; the champion stays.")
    def rollback_index_job() -> None:
        rollback_index()

    @dg.op(name=OPS[FORGET], out=dg.Out(dg.Nothing))
    def forget(context: dg.OpExecutionContext, config: Forget) -> dg.Output[None]:
        with (
            in_words(context.run.job_name),
            acting(asked_by(context.run)),
            locks.hold(settings, locks.names(graph, "audience_members", [config.audience])),
        ):
            specification.check_unused(settings, config.audience)
            # before the audience: whoever is interrupted can ask for the rest by its name
            context.instance.delete_dynamic_partition(AUDIENCES, config.audience)
            membership.forget(settings, config.audience)
        return dg.Output(None, metadata={"audience": config.audience})

    @dg.job(name=FORGET, description="Removes a saved audience, its members and its partition.")
    def forget_job() -> None:
        forget()

    @dg.op(name=OPS[DELIVER], out=dg.Out(dg.Nothing), retry_policy=AGAIN)
    def deliver(context: dg.OpExecutionContext, config: Deliver) -> dg.Output[None]:
        with in_words(context.run.job_name), acting(asked_by(context.run)):
            sent = deliveries.deliver(settings, config.audience, config.destination, changes=config.changes)
        about = {"audience": sent.audience, "destination": sent.destination, "refresh": sent.refresh, "users": sent.users}
        return dg.Output(None, metadata={**about, "removed": sent.removed, "delivery": sent.id, "content": sent.content})

    @dg.job(name=DELIVER, description="Sends the members of a saved audience to a destination.")
    def deliver_job() -> None:
        deliver()

    @dg.op(name=OPS[EXPIRE], out=dg.Out(dg.Nothing))
    def let_go(context: dg.OpExecutionContext) -> dg.Output[None]:
        with in_words(context.run.job_name), acting(asked_by(context.run)):
            went = expiry.expire(settings, dt.datetime.now(dt.UTC).date())
        rows = {each.name: each.why_not or f"{each.count:,} rows of before {each.before}" for each in went}
        return dg.Output(None, metadata={**rows, "held": sum(each.held for each in went)})

    @dg.job(name=EXPIRE, description="Lets go of rows that are older than the setting `retention` lets them be.")
    def expire_job() -> None:
        let_go()

    return [promote_job, rollback_job, rollback_index_job, forget_job, deliver_job, expire_job]


def _observations(context: dg.OpExecutionContext, change: Change) -> list[dg.AssetObservation]:
    """What the pages of the verdict and of the index show of a change that a person asked for: neither asset is made by it."""
    (old, new), (before, after) = change.champion, change.index
    about = {
        "champion_before": old or "none",
        "champion": new,
        "index_before": before.name if before else "none",
        "index": after.name,
        "asked_by": str(asked_by(context.run)),
        "job": context.run.job_name,
    }
    description = f"{context.run.job_name}: version {new} serves, with the index {after.name}."
    return [
        dg.AssetObservation(asset, description=description, partition=after.as_of, metadata=about)
        for asset in ("promotion", "user_index")
    ]
