"""`found source init` and `found source pull`: what a source file is before and between runs."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from found_platform.cli.app import existing_home, print_json
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources import init, pulls


def write(paths: Sequence[Path], *, out: Path, name: str | None, force: bool, as_json: bool) -> None:
    """Writes a source file for these files and prints what it recognised, what it asks, and what to run next."""
    draft = init.write(paths, out=out, name=name, force=force)
    commands = [f"found source check {draft.file}", f"found demo --source {draft.file}"]
    if as_json:
        print_json(
            {
                "file": str(draft.file),
                "recipe": draft.recipe,
                "tables": draft.tables,
                "questions": draft.questions,
                "not_used": draft.not_used,
                "next": commands,
            }
        )
        return
    console = Console(highlight=False, markup=False)
    export = f": {draft.recipe}" if draft.recipe else ""
    console.print(f"{draft.file} is written{export}", soft_wrap=True)
    for path, role in draft.tables.items():
        console.print(f"  {path}: {role}", soft_wrap=True)
    for path, reason in draft.not_used.items():
        console.print(f"  {path}: not used: {reason}", soft_wrap=True)
    if draft.questions:
        console.print("It asks (each question stands in the file, beside what it is about):")
        for question in draft.questions:
            console.print(f"  ? {question}", soft_wrap=True)
    console.print("What to run next:")
    for command in commands:
        console.print(f"  {command}", soft_wrap=True)


def pull(*, home: Path, full: bool, as_json: bool) -> None:
    """Reads what is new in the databases and stores of a home's source; `full` reads everything anew."""
    settings = Settings.load(existing_home(home))
    readings = pulls.refresh(source_config.of_home(settings), settings.pulled, full=full)[1]
    if as_json:
        print_json([{"entry": r.entry, "new": r.new, "unit": r.unit} for r in readings])
        return
    console = Console(highlight=False, markup=False)
    for reading in readings:
        console.print(f"{reading.entry}: {reading.new:,} new {reading.unit}")
    if not readings:
        console.print("Every entry of this source is a file: nothing has to be pulled.")
