"""What an audience was worth, once time has passed: who did what it is about, of the members who could be reached and the holdout.

Everybody stays in the group that the refresh put them in, whether they were exported, reached, or suppressed since: the holdout was
drawn by chance, so the two groups differ in nothing but that. What was exported when is read from the audit: before the first
export nothing can have been done.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from found_platform import lake, metrics, outcomes
from found_platform.audiences import membership, specification
from found_platform.audiences.membership import Refresh
from found_platform.contract import CHANNELS, OWN_ACT, normalise_text
from found_platform.errors import BadInput
from found_platform.index.past import day_of
from found_platform.outcomes import Outcome, in_full
from found_platform.privacy import audit
from found_platform.scoring import stated
from found_platform.scoring.demand import Demand
from found_platform.scoring.population import Population
from found_platform.settings import Settings

FEWEST = 50
"""Users in the smaller group under which nothing is said."""


@dataclass(frozen=True)
class Group:
    """`did` of the `users` did it."""

    users: int
    did: int

    @property
    def share(self) -> float:
        return self.did / self.users if self.users else 0.0


@dataclass(frozen=True)
class Lift:
    """`difference` of the shares, exposed less holdout, with its 95 % interval `low` to `high`: None where a group is too small.

    Counted is who did it in `[first, end)`, UTC days; `outcome` says what "it" is, `word` what may be concluded, `exports` when
    members of this refresh left the platform.
    """

    audience: str
    refresh: int
    exports: tuple["Export", ...]
    first: dt.date
    end: dt.date
    outcome: str
    exposed: Group
    holdout: Group
    difference: float | None
    low: float | None
    high: float | None
    word: str

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exposed_share": self.exposed.share, "holdout_share": self.holdout.share}


def measure(
    settings: Settings, audience: str, *, days: int | None = None, texts: tuple[str, ...] = (), categories: tuple[str, ...] = ()
) -> Lift:
    """The lift of the newest exported refresh for which `days` have passed in the data, or else of the newest refresh.

    The window begins on the day after the first export, since nobody could be reached before; without an export, on the day after
    the refresh, and then no difference is called an effect.

    Args:
        days: length of the window; by default the horizon that was asked for, or else of the home.
        texts, categories: what counts, in any case of letters; by default the texts that the audience's demand matches, done in
            the channels and for the amount that it means.

    Raises BadInput where no refresh held anybody out, where the data does not reach to the end of any window (as for an audience
    that was saved after the days it is about), or where nothing is known to count.
    """
    specification.newest(settings, audience)
    campaign, data_end = _campaigns(settings, audience, days)
    if campaign.end > data_end:
        raise BadInput(campaign.too_early(data_end))
    refresh, first, end = campaign.refresh, campaign.first, campaign.end
    by_demand = not texts and not categories
    stated_outcome = Demand.of_dict(refresh.demand).stated if by_demand else None
    if stated_outcome is not None:
        outcome = outcomes.describe(stated_outcome, (end - first).days)
        groups = _groups_of_outcome(settings, refresh, stated_outcome, first, end)
        return _recorded(settings, campaign, outcome, groups)
    counted = _matched(settings, refresh) if by_demand else [normalise_text(text).lower() for text in texts]
    if by_demand:
        min_amount = refresh.demand.get("min_amount", 0.0)
        much = f", for {in_full(min_amount)} or more" if min_amount else ""
        outcome = (
            f"did something that the demand matches ({len(counted):,} texts, in {', '.join(refresh.demand['channels'])}{much})"
        )
    else:
        min_amount = 0.0
        outcome = f"did one of: {', '.join([*texts, *(f'category {c}' for c in categories)])}"
    channels = refresh.demand["channels"] if by_demand else CHANNELS
    groups = _groups(settings, refresh, first, end, counted, [c.lower() for c in categories], channels, min_amount)
    return _recorded(settings, campaign, outcome, groups)


def _recorded(settings: Settings, campaign: "Campaign", outcome: str, groups: tuple[Group, Group]) -> Lift:
    """The lift that two groups show, and its row in the audit."""
    refresh, first, end = campaign.refresh, campaign.first, campaign.end
    difference, low, high = interval(*groups)
    word = _word(*groups, difference, low, high, exports=campaign.exports)
    lift = Lift(refresh.audience, refresh.refresh, campaign.exports, first, end, outcome, *groups, difference, low, high, word)
    audit.record(
        settings,
        "lift",
        audience=refresh.audience,
        question={"outcome": outcome, "first": str(first), "end": str(end)},
        rows=groups[0].users + groups[1].users,
        model_version=refresh.model_version,
        index_version=refresh.index_version,
        reason=f"refresh {refresh.refresh}",
    )
    return lift


@dataclass(frozen=True)
class Export:
    """A file of the members of a refresh left the platform: when, with how many users, and whether the holdout was in it."""

    at: dt.datetime
    users: int
    with_holdout: bool


@dataclass(frozen=True)
class Campaign:
    """What can have been done with a refresh: its exports, oldest first, and the window `[first, end)` in which it could show."""

    refresh: Refresh
    exports: tuple[Export, ...]
    days: int

    @property
    def first(self) -> dt.date:
        begun = self.exports[0].at if self.exports else self.refresh.refreshed_at
        return max(self.refresh.as_of, begun.date() + dt.timedelta(days=1))

    @property
    def end(self) -> dt.date:
        return self.first + dt.timedelta(days=self.days)

    def too_early(self, data_end: dt.date) -> str:
        """Why nothing can be said of it with data up to before `data_end`."""
        refreshed = f"refresh {self.refresh.refresh} was made on {self.refresh.refreshed_at:%Y-%m-%d}"
        exported = f"first exported on {self.exports[0].at:%Y-%m-%d}" if self.exports else "never exported"
        message = (
            f"Too little time has passed: {refreshed} as of {self.refresh.as_of} and {exported}, so a campaign can show from "
            f"{self.first} on, and the data goes to {data_end - dt.timedelta(days=1)}."
        )
        if data_end <= self.first:
            return f"{message} No campaign can have come of it in this data: bring the days that follow."
        return f"{message} Bring the days to before {self.end}, or ask for fewer by --days."


def _campaigns(settings: Settings, audience: str, days: int | None) -> tuple[Campaign, dt.date]:
    """The campaign to measure, and the day after the data's last: the newest of an exported refresh whose window is in the data, or
    else the newest of any; where no window is, the oldest."""
    refreshes = [refresh for refresh in membership.history(settings, audience) if refresh.held_out]
    if not refreshes:
        raise BadInput(f"No refresh of {audience!r} held anybody out: save it with --holdout, and ask again once time has passed.")
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "events", settings.lake, "raw_events")
    (newest,) = con.execute("SELECT max(event_date) FROM events").fetchall()[0]
    data_end = newest + dt.timedelta(days=1)
    campaigns = [Campaign(r, _exports(settings, r), days or _horizon(settings, r)) for r in refreshes]
    over = [c for c in campaigns if c.end <= data_end]
    return next((c for c in over if c.exports), over[0] if over else min(campaigns, key=lambda c: c.end)), data_end


def _horizon(settings: Settings, refresh: Refresh) -> int:
    horizon_days = specification.version(settings, refresh.audience, refresh.spec_version).question.horizon_days
    return horizon_days or settings.horizon_days


def _exports(settings: Settings, refresh: Refresh) -> tuple[Export, ...]:
    """The exports of a refresh, by the audit, oldest first."""
    rows = [
        Export(row["at"], row["rows"], "with the holdout" in row["reason"])
        for row in audit.entries(settings)
        if row["action"] == "export"
        and row["audience"] == refresh.audience
        and row["reason"].split(",")[0] == f"refresh {refresh.refresh}"
        and row["at"] >= refresh.refreshed_at  # an audience of this name that was forgotten had refreshes of its own
    ]
    return tuple(sorted(rows, key=lambda export: export.at))


def _matched(settings: Settings, refresh: Refresh) -> list[str]:
    """The texts, known at the refresh, that its demand matches."""
    population = Population.stored(settings, refresh.model_version, refresh.as_of)
    weights = Demand.of_dict(refresh.demand).matched(population).weights()
    matched = [text.lower() for text, weight in zip(population.words, weights, strict=True) if weight >= 0.5]
    if not matched:
        raise BadInput(f"No text of the data is what {refresh.audience!r} is about: say what counts by --text or --category.")
    return matched


def _groups(
    settings: Settings,
    refresh: Refresh,
    first: dt.date,
    end: dt.date,
    texts: list[str],
    categories: list[str],
    channels: Sequence[str],
    min_amount: float,
) -> tuple[Group, Group]:
    """The exposed and the holdout. Exposures in the data are what was done to users, and count for nothing."""
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "events", settings.lake, "raw_events")
    con.register("members", membership.members(settings, refresh).select(["user_key", "holdout"]))
    con.register("wanted_texts", pa.table({"wanted": pa.array(texts, pa.string())}))
    con.register("wanted_categories", pa.table({"wanted": pa.array(categories, pa.string())}))
    rows = con.execute(
        f"WITH did AS (SELECT DISTINCT user_key FROM events WHERE event_date >= $first AND event_date < $end AND {OWN_ACT} "
        "AND list_contains($channels, channel) AND abs(coalesce(amount, 0)) >= $min_amount "
        "AND (lower(text) IN (FROM wanted_texts) OR lower(category) IN (FROM wanted_categories))) "
        "SELECT holdout, count(*), count(did.user_key) FROM members LEFT JOIN did USING (user_key) GROUP BY 1",
        {"first": first, "end": end, "channels": list(channels), "min_amount": min_amount},
    ).fetchall()
    groups = {held_out: Group(users, did) for held_out, users, did in rows}
    return groups.get(False, Group(0, 0)), groups.get(True, Group(0, 0))


def _groups_of_outcome(settings: Settings, refresh: Refresh, outcome: Outcome, first: dt.date, end: dt.date) -> tuple[Group, Group]:
    """The exposed and the holdout, by the very outcome that was asked for."""
    before = Population.stored(settings, refresh.model_version, refresh.as_of)
    after = Population.of_lake(settings, before.model, before.version, end, before.keys, before.vectors, before.events)
    came_true = stated.came_true(after, outcome, day_of(first), (end - first).days)
    members = membership.members(settings, refresh).select(["user_key", "holdout"]).to_pylist()
    rows = after.keys.rows([member["user_key"] for member in members])
    counts = {held_out: [0, 0] for held_out in (False, True)}
    for member, row in zip(members, rows.tolist(), strict=True):
        counts[member["holdout"]][0] += 1
        counts[member["holdout"]][1] += bool(row >= 0 and came_true[row])
    return Group(*counts[False]), Group(*counts[True])


def interval(exposed: Group, holdout: Group) -> tuple[float, float, float] | tuple[None, None, None]:
    """The difference of two shares and its 95 % interval (Newcombe); None where a group is too small."""
    if min(exposed.users, holdout.users) < FEWEST:
        return None, None, None
    return exposed.share - holdout.share, *metrics.newcombe(exposed.did, exposed.users, holdout.did, holdout.users)


def _word(
    exposed: Group,
    holdout: Group,
    difference: float | None,
    low: float | None,
    high: float | None,
    *,
    exports: Sequence[Export],
) -> str:
    if difference is None or low is None or high is None:
        return (
            f"nothing can be said: {exposed.users:,} exposed and {holdout.users:,} held out, where each takes {FEWEST} at least; "
            "a larger audience or holdout would do"
        )
    if not exports:
        return (
            "this refresh was never exported, so no campaign can have come of it: whatever the difference, it is chance or "
            "something else, and no effect"
        )
    if any(export.with_holdout for export in exports):
        return (
            "the holdout was exported too, so what was done to it is not known here, and the difference is no measure of an effect"
        )
    if low > 0 or high < 0:
        return f"{'more' if low > 0 else 'fewer'} of the exposed did it, beyond chance (95 %)"
    users, did = exposed.users + holdout.users, exposed.did + holdout.did
    share = max(did, 1) / users
    visible = metrics.visible_difference(share, exposed.users, holdout.users)
    return f"no difference that could not be chance; with groups of this size one of {100 * visible:.1f} points would mostly show"
