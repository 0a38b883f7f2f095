"""`found source`: what a source file leads to."""

from pathlib import Path
from typing import Annotated

import typer

from found_platform.cli.asking import ask
from found_platform.cli.options import Place
from found_platform.cli.tables import print_json, table, terminal
from found_platform.errors import BadInput


def check(file: Annotated[Path, typer.Argument(help="A source file (YAML).")], place: Place) -> None:
    """Read a whole source and say what is in it, before anything runs."""
    from found_platform.app import sources

    report = ask(sources.check, place.home, file)
    if place.as_json:
        print_json(report)
        _refuse(file, report.refusals)
        return
    console = terminal()
    console.print(f"{report.source}: {report.span.start} to {report.span.end or 'open'}", style="bold")
    words = ("channel", "bad rows", "also has")
    channels = table("channel", "rows", "users", "texts", "days", "bad rows", "also has", left=words)
    for c in report.channels:
        bad = "\n".join(f"{n:,} {reason}" for reason, n in c.bad.items()) or "none"
        figures = (f"{n:,}" for n in (c.rows, c.users, c.texts, c.days))
        channels.add_row(c.channel, *figures, bad, ", ".join(c.optional_columns) or "-")
    console.print(channels)
    attributes = ", ".join(f"{k} ({v})" for k, v in report.profile.items())
    console.print(f"Profile attributes: {attributes or 'none'}")
    for note in report.notes:
        console.print(f"- {note}", soft_wrap=True)
    _refuse(file, report.refusals)


def _refuse(file: Path, refusals: list[str]) -> None:
    """Raises BadInput where `found demo` would: a source that passes the check is one that can be run."""
    if refusals:
        raise BadInput(f"`found demo` would refuse {file}: {'; '.join(refusals)}.")
