"""Source files: what one leads to, before anything runs."""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from found_platform.app.context import Context
from found_platform.app.document import APART
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
    optional_columns: list[str]


@dataclass(frozen=True)
class SpannedDays:
    """The days of a source, the end excluded; an open end moves with the data."""

    start: dt.date
    end: dt.date
    is_open: bool = field(metadata=APART)


@dataclass(frozen=True)
class SourceReport:
    """A whole source as it was read: its channels, the attributes of its profile, what a person should know, and why
    `found demo` would refuse it."""

    source: str
    span: SpannedDays
    channels: tuple[SourceChannel, ...]
    profile: dict[str, str]
    notes: list[str]
    refusals: list[str]


@use_case(Effect.READS)
def check(context: Context, file: Path) -> SourceReport:
    """Reads a whole source. Raises BadInput for one that cannot be read."""
    from found_platform.sources import config as source_config
    from found_platform.sources import estimate, staging

    source = source_config.load(file)
    settings = Settings.load(context.home)  # as `found demo` would read them in this home
    found, reports, equal, profile, refusals, more = staging.examine(settings, source)
    first, end = found.days
    mapped = {c: sorted({o for e in entries for o in e.columns if o in EVENT_OPTIONAL}) for c, entries in found.channels.items()}
    exposures = {c for c, entries in found.channels.items() if all(e.exposure for e in entries)}
    notes = [f"channel {c!r} is missing: the model does without" for c in CHANNELS if c not in found.channels]
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
    notes += [
        f"{n:,} values of the attribute {name!r} do not fit its type ({(found.profile_schema or {})[name]}): they are null"
        for name, n in profile.lost.items()
    ]
    for r in reports:
        if r.rows - r.good > settings.quarantine_threshold * r.rows:
            notes.append(f"{(r.rows - r.good) / r.rows:.1%} of the rows of channel {r.channel!r} are bad: {', '.join(r.bad)}")
    notes += more
    if not refusals:
        notes.append(estimate.of_source(found).sentence(Path("its home")))
    channels = tuple(
        SourceChannel(
            channel=r.channel,
            rows=r.rows,
            good=r.good,
            users=r.users,
            texts=r.texts,
            days=(r.last_day - r.first_day).days + 1 if r.first_day and r.last_day else 0,
            bad=dict(r.bad),
            optional_columns=mapped[r.channel],
        )
        for r in reports
    )
    is_open = not (source.span and source.span.end)
    return SourceReport(found.name, SpannedDays(first, end, is_open), channels, dict(found.profile_schema or {}), notes, refusals)
