"""`found source`: what a source file leads to."""

import contextlib
import io
from pathlib import Path

from rich.console import Console
from rich.table import Table

from found_platform.cli.app import print_json
from found_platform.contract import CHANNELS, EVENT_OPTIONAL
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources import estimate, staging


def check(file: Path, *, as_json: bool) -> None:
    """Prints a line a channel, what the model can use, and what is missing. Raises BadInput where `found demo` would refuse it."""
    source = source_config.load(file)
    with contextlib.redirect_stdout(io.StringIO()):
        settings = Settings.load(Path(".found"))  # as `found demo` would read them in the default home
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
    if as_json:
        document = {
            "source": found.name,
            "span": {"start": first, "end": end},
            "channels": [
                {
                    "channel": r.channel,
                    "rows": r.rows,
                    "good": r.good,
                    "users": r.users,
                    "texts": r.texts,
                    "days": _days(r),
                    "bad": r.bad,
                    "optional_columns": mapped[r.channel],
                }
                for r in reports
            ],
            "profile": found.profile_schema or {},
            "notes": notes,
            "refusals": refusals,
        }
        print_json(document)
        _refuse(refusals)
        return
    console = Console(highlight=False, markup=False)
    table = Table(title=f"{found.name}: {first} to {end}{'' if source.span and source.span.end else ', open'}")
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
    _refuse(refusals)


def _refuse(refusals: list[str]) -> None:
    """Raises BadInput where `found demo` would, with the same sentence."""
    if refusals:
        raise BadInput(" ".join(refusals))


def _days(report: staging.ChannelReport) -> int:
    return (report.last_day - report.first_day).days + 1 if report.first_day and report.last_day else 0
