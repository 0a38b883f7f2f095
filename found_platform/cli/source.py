"""`found source`: what a source file leads to."""

import contextlib
import datetime as dt
import io
from pathlib import Path

from rich.console import Console
from rich.table import Table

from found_platform.cli.app import print_json
from found_platform.contract import CHANNELS, EVENT_OPTIONAL
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources import scan, staging


def check(file: Path, *, as_json: bool) -> None:
    """Prints a line a channel, what the model can use, and what is missing."""
    source = source_config.load(file)
    with contextlib.redirect_stdout(io.StringIO()):
        report = staging.examine(source)
    found, reports, equal, profile = report.source, report.channels, report.equal_rows, report.profile
    assert found.span is not None
    mapped = {c: sorted({o for e in entries for o in e.columns if o in EVENT_OPTIONAL}) for c, entries in found.channels.items()}
    exposures = {c for c, entries in found.channels.items() if all(e.exposure for e in entries)}
    notes = [*report.notes, *(f"channel {c!r} is missing: the model does without" for c in CHANNELS if c not in found.channels)]
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
    limit = Settings.load(Path(".found")).quarantine_threshold  # as `found demo` would read it in the default home
    share = scan.bad_share(reports)
    refusals = list(report.refusals)
    for r in reports:
        if r.bad_share > limit:
            notes.append(f"{r.bad_share:.1%} of the rows of channel {r.channel!r} are bad: {', '.join(r.bad)}")
    if share > limit:
        refusals.append(f"{share:.1%} of all rows are bad, over the threshold of {limit:.1%}")
    if profile.bad_share > limit:
        refusals.append(f"{profile.bad_share:.1%} of the profile's rows are bad, over {limit:.1%}")
    if found.days[1] > dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1) or (found.days[1] - found.days[0]).days > 3650:
        notes.append(f"the days go from {found.span.start} to {found.span.end}: if that is a slip in a few rows, set `span:`")
    if as_json:
        document = {
            "source": found.name,
            "span": {"start": found.span.start, "end": found.span.end},
            "channels": [
                {
                    "channel": r.channel,
                    "rows": r.rows,
                    "good": r.good,
                    "users": r.users,
                    "texts": r.texts,
                    "days": _days(r),
                    "bad": r.bad,
                    "left_out": r.left_out,
                    "repeats": r.repeats,
                    "outside_span": r.outside,
                    "returns": r.returns,
                    "nulls": r.nulls,
                    "optional_columns": mapped[r.channel],
                }
                for r in reports
            ],
            "profile": found.profile_schema or {},
            "profile_rows": {"rows": profile.rows, "bad": profile.bad, "lost_cells": profile.lost, "nulls": profile.nulls},
            "equal_rows": equal,
            "notes": notes,
            "refusals": refusals,
        }
        print_json(document)
        _refuse(file, refusals)
        return
    console = Console(highlight=False, markup=False)
    table = Table(title=f"{found.name}: {found.span.start} to {found.span.end or 'open'}")
    for name in ("channel", "rows", "users", "texts", "days", "bad rows", "also has"):
        table.add_column(name, justify="right" if name in ("rows", "users", "texts", "days") else "left")
    for r in reports:
        bad = "\n".join(f"{n:,} {reason}" for reason, n in r.bad.items()) or "none"
        table.add_row(
            r.channel, f"{r.rows:,}", f"{r.users:,}", f"{r.texts:,}", f"{_days(r):,}", bad, ", ".join(mapped[r.channel]) or "-"
        )
    console.print(table)
    attributes = ", ".join(f"{k} ({v})" for k, v in (found.profile_schema or {}).items())
    console.print(f"Profile attributes: {attributes or 'none'}")
    for note in notes:
        console.print(f"- {note}", soft_wrap=True)
    _refuse(file, refusals)


def _refuse(file: Path, refusals: list[str]) -> None:
    """Raises BadInput where `found demo` would: a check that passes is one that can be relied on."""
    if refusals:
        raise BadInput(f"`found demo` would refuse {file}: {'; '.join(refusals)}.")


def _days(report: staging.ChannelReport) -> int:
    return (report.last_day - report.first_day).days + 1 if report.first_day and report.last_day else 0
