"""Source files: what one leads to, before anything runs."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.contract import CHANNELS, EVENT_OPTIONAL
from found_platform.settings import Settings


@dataclass(frozen=True)
class SourceChannel:
    """What a channel brings. `days` counts from its first day to its last; `bad` is rows by reason."""

    channel: str
    rows: int
    good: int
    users: int
    texts: int
    days: int
    bad: dict[str, int]
    left_out: int  # rows that `where` leaves out
    repeats: int  # of an event_id that came before
    outside_span: int
    returns: int  # rows that bring something back
    nulls: dict[str, int]  # how often a placeholder stands for no value, by `column: text`
    optional_columns: list[str]


@dataclass(frozen=True)
class SpannedDays:
    """The days of a source, the end excluded; None where it is open."""

    start: dt.date | None
    end: dt.date | None


@dataclass(frozen=True)
class ProfileRows:
    """What the profile brings: `bad` rows by reason, `lost_cells` that are not of their attribute's type."""

    rows: int
    bad: dict[str, int]
    lost_cells: dict[str, int]
    nulls: dict[str, int]


@dataclass(frozen=True)
class SourceReport:
    """A whole source as it was read: its channels, the attributes of its profile, and what a person should know.

    `refusals` are the reasons for which `found demo` would refuse it.
    """

    source: str
    span: SpannedDays
    channels: tuple[SourceChannel, ...]
    profile: dict[str, str]
    profile_rows: ProfileRows
    equal_rows: int
    notes: list[str]
    refusals: list[str]


@use_case(Effect.READS)
def check(context: Context, file: Path) -> SourceReport:
    """Reads a whole source. Raises BadInput for one that cannot be read."""
    from found_platform.sources import config as source_config
    from found_platform.sources import scan, staging

    source = source_config.load(file)
    checked = staging.examine(source)
    found, reports, equal, profile = checked.source, checked.channels, checked.equal_rows, checked.profile
    assert found.span is not None
    mapped = {c: sorted({o for e in entries for o in e.columns if o in EVENT_OPTIONAL}) for c, entries in found.channels.items()}
    exposures = {c for c, entries in found.channels.items() if all(e.exposure for e in entries)}
    notes = [*checked.notes, *(f"channel {c!r} is missing: the model does without" for c in CHANNELS if c not in found.channels)]
    notes += [f"channel {c!r} holds exposures only: history, never an outcome" for c in sorted(exposures)]
    if not found.profile:
        notes.append("no profile: filters know activity alone")
    elif not found.profile.as_of:
        notes.append("the profile has no `as_of`: it is taken as known for ever, and may leak what was learned after a cutoff")
    if equal:
        notes.append(f"{equal:,} rows without an event_id repeat another in every column: they are kept")
    if profile.bad:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in profile.bad.items())
        notes.append(f"{profile.bad_rows:,} of {profile.rows:,} profile rows are bad and would go to quarantine: {reasons}")
    limit = Settings.load(context.home).quarantine_threshold  # as `found demo` would read it in this home
    refusals = list(checked.refusals)
    for r in reports:
        if r.bad_share > limit:
            notes.append(f"{r.bad_share:.1%} of the rows of channel {r.channel!r} are bad: {', '.join(r.bad)}")
    if (share := scan.bad_share(reports)) > limit:
        refusals.append(f"{share:.1%} of all rows are bad, over the threshold of {limit:.1%}")
    if profile.bad_share > limit:
        refusals.append(f"{profile.bad_share:.1%} of the profile's rows are bad, over {limit:.1%}")
    if found.days[1] > dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1) or (found.days[1] - found.days[0]).days > 3650:
        notes.append(f"the days go from {found.span.start} to {found.span.end}: if that is a slip in a few rows, set `span:`")
    channels = tuple(
        SourceChannel(
            channel=r.channel,
            rows=r.rows,
            good=r.good,
            users=r.users,
            texts=r.texts,
            days=(r.last_day - r.first_day).days + 1 if r.first_day and r.last_day else 0,
            bad=dict(r.bad),
            left_out=r.left_out,
            repeats=r.repeats,
            outside_span=r.outside,
            returns=r.returns,
            nulls=dict(r.nulls),
            optional_columns=mapped[r.channel],
        )
        for r in reports
    )
    span = SpannedDays(found.span.start, found.span.end)
    rows = ProfileRows(profile.rows, dict(profile.bad), dict(profile.lost), dict(profile.nulls))
    return SourceReport(found.name, span, channels, dict(found.profile_schema or {}), rows, equal, notes, refusals)
