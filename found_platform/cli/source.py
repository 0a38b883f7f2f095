"""`found source`: a source file written, what it leads to, and what is new where it points."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from found_platform.cli.asking import ask, home_option
from found_platform.cli.options import DEFAULT_HOME, Place
from found_platform.cli.tables import print_json, table, terminal
from found_platform.errors import BadInput


def check(file: Annotated[Path, typer.Argument(help="A source file (YAML).")], place: Place) -> None:
    """Read a whole source and say what is in it, before anything runs."""
    from found_platform.app import sources

    report = ask(sources.check, place.home, file)
    if place.as_json:
        print_json(report)
        _refuse(report.refusals)
        return
    console = terminal()
    console.print(
        f"{report.source}: {report.span.start} to {report.span.end}{', open' if report.span.is_open else ''}", style="bold"
    )
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
    _refuse(report.refusals)
    console.print(f"What to run next:\n  found demo --source {shlex.quote(str(file))}{home_option(place.home)}", soft_wrap=True)


def _refuse(refusals: list[str]) -> None:
    """Raises BadInput where `found demo` would, with the same sentence."""
    if refusals:
        raise BadInput(" ".join(refusals))


class InitFormat(StrEnum):
    text = "text"
    json = "json"


def init(
    files: Annotated[list[Path], typer.Argument(help="Files of yours, or a folder of them.")],
    out: Annotated[Path, typer.Option(help="The source file to write.")] = Path("source.yaml"),
    name: Annotated[str | None, typer.Option(help="Name of the source. Default: that of the folder or of the first file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the source file.")] = False,
    format: Annotated[InitFormat, typer.Option(help="text or json.")] = InitFormat.text,
) -> None:
    """Look at files and write the source file that reads them, with questions where it is not sure."""
    from found_platform.app import sources

    draft = ask(sources.init, DEFAULT_HOME, sources.Init(tuple(files), out, name, force))
    if format is InitFormat.json:
        print_json(draft)
        return
    console = terminal()
    console.print(f"{draft.file} is written{f': {draft.recipe}' if draft.recipe else ''}", soft_wrap=True)
    for path, role in draft.tables.items():
        console.print(f"  {path}: {role}", soft_wrap=True)
    for path, reason in draft.not_used.items():
        console.print(f"  {path}: not used: {reason}", soft_wrap=True)
    if draft.questions:
        console.print("It asks (each question stands in the file, beside what it is about):")
        for question in draft.questions:
            console.print(f"  ? {question}", soft_wrap=True)
    console.print("What to run next:")
    for command in draft.next:
        console.print(f"  {command}", soft_wrap=True)


def pull(
    place: Place, full: Annotated[bool, typer.Option("--full", help="Read everything anew, not only what is new.")] = False
) -> None:
    """Read what is new in the databases and stores of a home's source; the next run takes it up."""
    from found_platform.app import sources

    readings = ask(sources.pull, place.home, full)
    if place.as_json:
        print_json(readings)
        return
    console = terminal()
    for reading in readings:
        console.print(f"{reading.entry}: {reading.new:,} new {reading.unit}")
    if not readings:
        console.print("Every entry of this source is a file: nothing has to be pulled.")
