"""What an audience was worth, once time has passed: who did what it is about, of the members who could be reached and the holdout.

Everybody stays in the group that the refresh put them in, whether they were exported, reached, or suppressed since: the holdout was
drawn by chance, so the two groups differ in nothing but that.
"""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from found_platform import lake
from found_platform.audiences import membership, specification
from found_platform.audiences.membership import Refresh
from found_platform.contract import CHANNELS, OWN_ACT, normalise_text
from found_platform.errors import BadInput
from found_platform.privacy import audit
from found_platform.scoring.modes import Demand
from found_platform.scoring.population import Population
from found_platform.settings import Settings

FEWEST = 50
"""Users in the smaller group under which nothing is said."""

Z, POWER = 1.96, 0.84
"""Of a 95 % interval, and of finding a difference in four cases of five."""


@dataclass(frozen=True)
class Group:
    """`did` of the `users` did it."""

    users: int
    did: int

    @property
    def share(self) -> float:
        return self.did / self.users if self.users else 0.0

    @property
    def wilson(self) -> tuple[float, float]:
        """The 95 % interval of the share."""
        n = self.users
        middle, half = self.share + Z**2 / (2 * n), Z * math.sqrt(self.share * (1 - self.share) / n + Z**2 / (4 * n**2))
        return (middle - half) / (1 + Z**2 / n), (middle + half) / (1 + Z**2 / n)


@dataclass(frozen=True)
class Lift:
    """`difference` of the shares, exposed less holdout, with its 95 % interval `low` to `high`: None where a group is too small.

    Counted is who did it in `[first, end)`, UTC days; `outcome` says what "it" is, `word` what may be concluded.
    """

    audience: str
    refresh: int
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
    """The lift of the newest refresh for which `days` have passed in the data.

    Args:
        days: length of the window after the refresh's `as_of`; by default the horizon that was asked for, or else of the home.
        texts, categories: what counts, in any case of letters; by default the texts that the audience's demand matches, done in
            the channels and for the amount that it means.

    Raises BadInput where no refresh is old enough or held anybody out, or where nothing is known to count.
    """
    specification.newest(settings, audience)
    refresh, end = _old_enough(settings, audience, days)
    by_demand = not texts and not categories
    known = _matched(settings, refresh) if by_demand else [normalise_text(text).lower() for text in texts]
    if by_demand:
        least = refresh.demand.get("least", 0.0)  # refreshes of before amounts were heeded have none
        much = f", for {least:,g} or more" if least else ""
        outcome = f"did something that the demand matches ({len(known):,} texts, in {', '.join(refresh.demand['channels'])}{much})"
    else:
        least = 0.0
        outcome = f"did one of: {', '.join([*texts, *(f'category {c}' for c in categories)])}"
    channels = refresh.demand["channels"] if by_demand else CHANNELS
    groups = _groups(settings, refresh, end, known, [c.lower() for c in categories], channels, least)
    difference, low, high = interval(*groups)
    found = Lift(
        audience,
        refresh.refresh,
        refresh.as_of,
        end,
        outcome,
        *groups,
        difference,
        low,
        high,
        _word(*groups, difference, low, high),
    )
    audit.record(
        settings,
        "lift",
        audience=audience,
        question={"outcome": outcome, "first": str(found.first), "end": str(end)},
        rows=groups[0].users + groups[1].users,
        model_version=refresh.model_version,
        index_version=refresh.index_version,
        reason=f"refresh {refresh.refresh}",
    )
    return found


def _old_enough(settings: Settings, audience: str, days: int | None) -> tuple[Refresh, dt.date]:
    refreshes = membership.history(settings, audience)
    if not any(refresh.held_out for refresh in refreshes):
        raise BadInput(f"No refresh of {audience!r} held anybody out: save it with --holdout, and ask again once time has passed.")
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "events", settings.lake, "raw_events")
    (newest,) = con.execute("SELECT max(event_date) FROM events").fetchall()[0]
    data_end = newest + dt.timedelta(days=1)
    for refresh in refreshes:
        length = (
            days or specification.version(settings, audience, refresh.spec_version).question.horizon_days or settings.horizon_days
        )
        end = refresh.as_of + dt.timedelta(days=length)
        if refresh.held_out and end <= data_end:
            return refresh, end
    oldest = min(refresh.as_of for refresh in refreshes if refresh.held_out)
    raise BadInput(
        f"Too little time has passed: the data goes to {newest}, and the oldest refresh of {audience!r} with a holdout is as of "
        f"{oldest}. Bring more days, or ask for fewer by --days."
    )


def _matched(settings: Settings, refresh: Refresh) -> list[str]:
    """The texts, known at the refresh, that its demand matches."""
    population = Population.stored(settings, refresh.model_version, refresh.as_of)
    weights = Demand(**refresh.demand).matched(population).weights()
    known = [text.lower() for text, weight in zip(population.words, weights, strict=True) if weight >= 0.5]
    if not known:
        raise BadInput(f"No text of the data is what {refresh.audience!r} is about: say what counts by --text or --category.")
    return known


def _groups(
    settings: Settings,
    refresh: Refresh,
    end: dt.date,
    texts: list[str],
    categories: list[str],
    channels: Sequence[str],
    least: float,
) -> tuple[Group, Group]:
    """The exposed and the holdout. Exposures in the data are what was done to users, and count for nothing."""
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "events", settings.lake, "raw_events")
    con.register("members", membership.members(settings, refresh).select(["user_key", "holdout"]))
    con.register("wanted_texts", pa.table({"wanted": pa.array(texts, pa.string())}))
    con.register("wanted_categories", pa.table({"wanted": pa.array(categories, pa.string())}))
    rows = con.execute(
        f"WITH did AS (SELECT DISTINCT user_key FROM events WHERE event_date >= $first AND event_date < $end AND {OWN_ACT} "
        "AND list_contains($channels, channel) AND abs(coalesce(amount, 0)) >= $least "
        "AND (lower(text) IN (FROM wanted_texts) OR lower(category) IN (FROM wanted_categories))) "
        "SELECT holdout, count(*), count(did.user_key) FROM members LEFT JOIN did USING (user_key) GROUP BY 1",
        {"first": refresh.as_of, "end": end, "channels": list(channels), "least": least},
    ).fetchall()
    found = {held_out: Group(users, did) for held_out, users, did in rows}
    return found.get(False, Group(0, 0)), found.get(True, Group(0, 0))


def interval(exposed: Group, holdout: Group) -> tuple[float, float, float] | tuple[None, None, None]:
    """The difference of two shares and its 95 % interval, by Newcombe from Wilson's; None where a group is too small."""
    if min(exposed.users, holdout.users) < FEWEST:
        return None, None, None
    difference = exposed.share - holdout.share
    (low, high), (low_held, high_held) = exposed.wilson, holdout.wilson
    return (
        difference,
        difference - math.hypot(exposed.share - low, high_held - holdout.share),
        difference + math.hypot(high - exposed.share, holdout.share - low_held),
    )


def _word(exposed: Group, holdout: Group, difference: float | None, low: float | None, high: float | None) -> str:
    if difference is None or low is None or high is None:
        return (
            f"nothing can be said: {exposed.users:,} exposed and {holdout.users:,} held out, where each takes {FEWEST} at least; "
            "a larger audience or holdout would do"
        )
    if low > 0 or high < 0:
        return f"{'more' if low > 0 else 'fewer'} of the exposed did it, beyond chance (95 %)"
    users, did = exposed.users + holdout.users, exposed.did + holdout.did
    share = max(did, 1) / users
    visible = (Z + POWER) * math.sqrt(share * (1 - share) * (1 / exposed.users + 1 / holdout.users))
    return f"no difference that could not be chance; with groups of this size one of {100 * visible:.1f} points would mostly show"
