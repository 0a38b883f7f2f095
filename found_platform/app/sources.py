"""Source files: what one leads to, before anything runs."""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from found_platform.app.context import Context
from found_platform.app.document import APART
from found_platform.app.use_case import Effect, use_case
from found_platform.contract import CHANNELS, EVENT_OPTIONAL
from found_platform.settings import Settings
from found_platform.sources import examination


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
    """The days of a source, the end excluded; an open end moves with the data."""

    start: dt.date
    end: dt.date
    is_open: bool = field(metadata=APART)


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
    from found_platform.sources import estimate

    source = source_config.load(file)
    settings = Settings.load(context.home)  # as `found demo` would read them in this home
    checked = examination.examine(settings, source)
    completed, reports, equal, profile_rows = checked.source, checked.channels, checked.equal_rows, checked.profile
    first, end = completed.days
    mapped = {
        c: sorted({o for e in entries for o in e.columns if o in EVENT_OPTIONAL}) for c, entries in completed.channels.items()
    }
    exposures = {c for c, entries in completed.channels.items() if all(e.exposure for e in entries)}
    notes = [
        *checked.notes,
        *(f"channel {c!r} is missing: the model does without" for c in CHANNELS if c not in completed.channels),
    ]
    notes += [f"channel {c!r} holds exposures only: history, never an outcome" for c in sorted(exposures)]
    if not completed.profile:
        notes.append("no profile: filters know activity alone")
    elif not completed.profile.as_of:
        notes.append("the profile has no `as_of`: it is taken as known for ever, and may leak what was learned after a cutoff")
    if equal:
        repeat = "1 row without an event_id repeats another" if equal == 1 else f"{equal:,} rows without an event_id repeat another"
        notes.append(f"{repeat} in every column: {'it is' if equal == 1 else 'they are'} kept")
    if profile_rows.bad:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in profile_rows.bad.items())
        notes.append(
            f"{profile_rows.bad_rows:,} of {profile_rows.rows:,} profile rows are bad and would go to quarantine: {reasons}"
        )
    for r in reports:
        if r.bad_share > settings.quarantine_threshold:
            notes.append(f"{r.bad_share:.1%} of the rows of channel {r.channel!r} are bad: {', '.join(r.bad)}")
    if not checked.refusals:
        users, texts = max(r.users for r in reports), sum(r.texts for r in reports)
        guess = estimate.Estimate(sum(r.good for r in reports), (end - first).days, users, texts=texts)
        guess = estimate.on_this_machine(estimate.in_profile(guess, settings, trains=True))
        notes.append(guess.sentence(Path("its home")))
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
    span = SpannedDays(first, end, not (source.span and source.span.end))
    rows = ProfileRows(profile_rows.rows, dict(profile_rows.bad), dict(profile_rows.lost), dict(profile_rows.nulls))
    return SourceReport(completed.name, span, channels, dict(completed.profile_schema or {}), rows, equal, notes, checked.refusals)


@dataclass(frozen=True)
class Init:
    """Files of a person, or folders of them, for which a source file is to be written to `out`."""

    files: tuple[Path, ...]
    out: Path
    name: str | None = None
    force: bool = False


@dataclass(frozen=True)
class SourceDraft:
    """A source file that was written.

    Attributes:
        recipe: the export that was recognised; None where the content alone decided.
        tables: what each file was taken for.
        questions: what a person should look at; each stands in the file too.
        not_used: files that are no part of the source, and why.
        next: the commands to run next.
    """

    file: Path
    recipe: str | None
    tables: dict[str, str]
    questions: list[str]
    not_used: dict[str, str]
    next: list[str]


@use_case(Effect.READS)
def init(context: Context, request: Init) -> SourceDraft:
    """Looks at files and writes the source file that reads them. Raises BadInput for files that cannot be used, and for a source
    file that exists unless `force`."""
    from found_platform.sources import init as recognition

    draft = recognition.write(request.files, out=request.out, name=request.name, force=request.force)
    commands = [f"found source check {draft.file}", f"found demo --source {draft.file}"]
    return SourceDraft(draft.file, draft.recipe, dict(draft.tables), list(draft.questions), dict(draft.not_used), commands)


@dataclass(frozen=True)
class Pulled:
    """What was new of one entry of a source that is in a database or a store: so many rows or files (`unit`)."""

    entry: str
    new: int
    unit: str


@use_case(Effect.CHANGES, "pull")
def pull(context: Context, full: bool = False) -> list[Pulled]:
    """Reads what is new in the databases and stores of a home's source; `full` reads everything anew. The next run takes it up."""
    from found_platform.privacy import audit
    from found_platform.sources import config as source_config
    from found_platform.sources import pulls

    settings = context.settings
    source = source_config.of_home(settings)
    audit.record(settings, "pull", question={"source": source.name, "full": full or None})
    return [Pulled(r.entry, r.new, r.unit) for r in pulls.refresh(source, settings.pulled, full=full)[1]]
