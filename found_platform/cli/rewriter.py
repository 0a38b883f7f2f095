"""`found rewrite` and `found rewriter train`: a demand in the language of the templates, and a language model that learns it."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from found_platform.cli.asking import ask
from found_platform.cli.options import DEFAULT_HOME, Force, Home, IndexCutoff, Place
from found_platform.cli.tables import print_json, table, terminal

if TYPE_CHECKING:
    from found_platform.app.rewriting import Understood


class RewritingFormat(StrEnum):
    """How a rewriting is printed."""

    table = "table"
    json = "json"
    yaml = "yaml"


def rewrite(
    sentence: Annotated[str, typer.Argument(help='Whom to reach, for example "people who will soon buy gold".')],
    llm: Annotated[str | None, typer.Option(help="A language model: a directory, or a hub name.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Address of one that speaks OpenAI's chat completions.")] = None,
    model: Annotated[str | None, typer.Option(help="Its name there.")] = None,
    allow_host: Annotated[str | None, typer.Option(help="Host of an endpoint on another machine.")] = None,
    cutoff: IndexCutoff = None,
    home: Home = DEFAULT_HOME,
    format: Annotated[RewritingFormat, typer.Option(help="table, json, or yaml: the outcome, to edit.")] = RewritingFormat.table,
) -> None:
    """Say what a demand is understood as in this data: the outcome that is asked, and what texts it is about."""
    from found_platform.app import rewriting

    request = rewriting.Rewrite(sentence, llm, endpoint, model, allow_host, cutoff)
    understood = ask(rewriting.rewrite, home, request)
    if format is RewritingFormat.json:
        print_json(understood)
    elif format is RewritingFormat.yaml:
        sys.stdout.write(rewriting.outcome_yaml(understood))
    else:
        _show(terminal(), understood)


def train(
    place: Place,
    base: Annotated[str, typer.Option(help="The language model: a directory, or a hub name.")],
    out: Annotated[Path, typer.Option(help="Folder for the adapter.")],
    force: Force = False,
    cutoff: IndexCutoff = None,
    examples: Annotated[int, typer.Option(min=10, help="Lessons of each stage.")] = 1000,
    epochs: Annotated[int, typer.Option(min=1, help="Times each lesson is taught.")] = 1,
) -> None:
    """Fine-tune a language model in two stages: what is in the data, then how demands are said."""
    from found_platform.app import rewriting

    trained = ask(rewriting.train, place.home, rewriting.Train(base, out, cutoff, examples, epochs, force))
    if place.as_json:
        print_json(trained)
        return
    console = terminal()
    rows = [(s.stage, f"{s.lessons:,}", f"{s.steps:,}", f"{s.before:.3f}", f"{s.after:.3f}") for s in trained.stages]
    console.print(table("stage", "lessons", "steps", "held-out loss before", "after", rows=rows))
    console.print(f"The adapter is in {out}: use it by `found rewrite --llm {out} …`.", soft_wrap=True)


def _show(console: Console, understood: "Understood") -> None:
    """The rewriting for a terminal: what is asked, what matched, how sure it is, and the sentences."""
    from found_platform.outcomes import in_full

    rewriting = understood.rewriting
    console.print(f"“{rewriting.demand}”", style="bold", soft_wrap=True)
    if rewriting.matches:
        matches = table("in the data", "kind", "similarity", "events", "", left=("in the data", "kind", ""))
        for match in rewriting.matches:
            named = match.text in (rewriting.unwanted if match.negated else rewriting.phrases)
            mark = ("left out" if match.negated else "used") if named else ""
            matches.add_row(match.text, match.kind, f"{match.similarity:.2f}", f"{match.events:,}", mark)
        console.print(matches)
    if understood.in_words:
        console.print(f"asked: {understood.in_words}", soft_wrap=True)
    for sentence in rewriting.sentences:
        console.print(sentence, soft_wrap=True)
    about = [f"confidence {rewriting.confidence:.2f}", f"by {rewriting.by}"]
    about += [f"horizon {rewriting.horizon_days} days"] if rewriting.horizon_days else []
    about += [f"at least {in_full(rewriting.min_amount)}"] if rewriting.min_amount is not None else []
    console.print(", ".join(about))
    if rewriting.note:
        console.print(f"Note: {rewriting.note}.", soft_wrap=True)
