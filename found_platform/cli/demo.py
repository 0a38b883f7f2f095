"""`found demo`: ties a home to a source, runs the graph with a line an asset, and shows an audience."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from found_platform.cli.asking import ask, home_option
from found_platform.cli.audience import show
from found_platform.cli.options import Place, ProfileName, RemovedRows
from found_platform.cli.tables import print_json, terminal

if TYPE_CHECKING:
    from found_platform.app.graph import Ran
    from found_platform.app.progress import AssetDone, Event, Published

AUDIENCE = 10

REST = "\nLook-ups answer from here on. A short benchmark{extent} and a look at drift follow; Ctrl-C leaves them for the next run."
OF_SOME = ", in this profile of {scenarios} scenarios alone (`found benchmark run` takes all),"


def run(
    place: Place,
    source: Annotated[Path | None, typer.Option(help="A source file of yours; without it a population is simulated.")] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(help="Day (YYYY-MM-DD) the model may not look beyond, or `latest`. Default: the data's end less the horizon."),
    ] = None,
    users: Annotated[int | None, typer.Option(min=10, help="Simulated users [default: 2000].")] = None,
    days: Annotated[int | None, typer.Option(min=14, help="Simulated days [default: 120].")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the simulation [default: 0].")] = None,
    profile: Annotated[ProfileName | None, typer.Option(help="Sizes for a machine [default: cpu].")] = None,
    force: Annotated[bool, typer.Option(help="Redo what is up to date.")] = False,
    removed: RemovedRows = None,
    another_source: Annotated[
        bool, typer.Option("--another-source", help="The home follows a source that has nothing in common with its own.")
    ] = False,
) -> None:
    """Run the whole graph, from events to an audience."""
    from found_platform.app import graph, lookups
    from found_platform.app.document import as_document
    from found_platform.app.process import training_beside
    from found_platform.app.progress import AssetDone, Opened, Published, Working

    say = terminal(stderr=place.as_json)
    status = say.status("")
    answer: lookups.Answer | None = None

    def tell(event: "Event") -> None:
        nonlocal answer
        if isinstance(event, Opened):
            about = f"Source {event.source}, {event.first} to {event.end}; cutoff {event.cutoff}; profile {event.profile}"
            say.print(f"{about}; home {place.home}", soft_wrap=True)
            for note in event.notes:
                say.print(note, soft_wrap=True)
        elif isinstance(event, Working):
            status.update(event.on)
            status.start()
        elif isinstance(event, AssetDone):
            status.stop()
            say.print(_line(event), style=None if event.materialized else "dim")
        elif isinstance(event, Published):
            for sentence in _service(event):
                say.print(sentence, soft_wrap=True)
            answer = ask(
                lookups.find, place.home, lookups.Find(lookups.Question(event.demand, anyway=True), lookups.Size(top=AUDIENCE))
            )
            if not place.as_json:
                say.print()
                show(say, answer)
                some = OF_SOME.format(scenarios=event.benchmark_scenarios) if event.benchmark_scenarios else ""
                say.print(REST.format(extent=some), style="dim", soft_wrap=True)

    request = graph.Run(
        source=source,
        cutoff=cutoff,
        simulation=graph.Simulation(users, days, seed),
        profile=profile and profile.value,
        force=force,
        removed=removed.value if removed else None,
        another_source=another_source,
    )
    try:
        with training_beside():
            ran = ask(graph.run, place.home, request, tell=tell)
    finally:
        status.stop()
    say.print(f"{len(ran.seconds)} assets in {sum(ran.seconds.values()):.1f} s, and {ran.import_seconds:.1f} s to load libraries")
    if place.as_json:
        print_json({**as_document(ran), "audience": answer})
        return
    for line in _next_steps(ran, place.home):
        say.print(line, soft_wrap=True)


def _service(published: "Published") -> list[str]:
    """What a person has to know of the model that answers."""
    sentences = [f"The frozen-text model serves: {published.frozen_text_serves}."] if published.frozen_text_serves else []
    return sentences + ([f"{published.waiting[0].upper()}{published.waiting[1:]}."] if published.waiting else [])


def _next_steps(ran: "Ran", home: Path) -> list[str]:
    at, command = home_option(home), "found" if shutil.which("found") else os.path.relpath(sys.argv[0])
    ui = "make ui" + ("" if home == Path(".found") else f" HOME_DIR={shlex.quote(str(home))}")
    files = "" if ran.simulated else " --labels LABELS --scenarios SCENARIOS"
    other = [f'  {command} audience find "pet owners who will buy food for their cat or dog"{at} --top 20'] if ran.simulated else []
    return [
        "\nWhat to try next:",
        *other,
        f'  {command} audience find "{ran.demand}"{at} --where "events_28d >= 3" --format json',
        f"  {command} benchmark run{at}{files}",
        f"  {ui}   then open http://127.0.0.1:3000: the graph, its runs and their reports",
    ]


def _line(step: "AssetDone") -> str:
    rows = "" if step.rows is None else f"{step.rows:>11,} rows"
    if step.materialized == 0:
        return f"  {step.asset:<18} up to date"
    parts = (
        ""
        if step.materialized == 1 and not step.up_to_date
        else f"{step.materialized} of {step.materialized + step.up_to_date} days"
    )
    return f"  {step.asset:<18} {rows:<17} {parts:<16} {step.seconds:>7.1f} s"
