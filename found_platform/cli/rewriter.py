"""`found rewrite` and `found rewriter train`: a demand in the language of the templates, and a language model that learns it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from found_platform.cli.asking import ask
from found_platform.cli.options import Force, IndexCutoff, Place
from found_platform.cli.tables import print_json, table, terminal

if TYPE_CHECKING:
    from found_platform.app.rewriting import Rewriting


def rewrite(
    place: Place,
    sentence: Annotated[str, typer.Argument(help='Whom to reach, for example "people who will soon buy gold".')],
    llm: Annotated[str | None, typer.Option(help="A language model: a directory, or a hub name.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Address of one that speaks OpenAI's chat completions.")] = None,
    model: Annotated[str | None, typer.Option(help="Its name there.")] = None,
    allow_host: Annotated[str | None, typer.Option(help="Host of an endpoint on another machine.")] = None,
    cutoff: IndexCutoff = None,
) -> None:
    """Say what a demand is about in this data: what it matches, and the sentences that are scored."""
    from found_platform.app import rewriting

    request = rewriting.Rewrite(sentence, llm, endpoint, model, allow_host, cutoff)
    understood = ask(rewriting.rewrite, place.home, request)
    if place.as_json:
        print_json(understood)
    else:
        _show(terminal(), understood.rewriting)


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


def _show(console: Console, rewriting: "Rewriting") -> None:
    """The rewriting for a terminal: what matched, how sure it is, and the sentences."""
    console.print(f"“{rewriting.demand}”", style="bold", soft_wrap=True)
    if rewriting.matches:
        matches = table("in the data", "kind", "similarity", "events", "", left=("in the data", "kind", ""))
        for match in rewriting.matches:
            named = match.text in (rewriting.unwanted if match.negated else rewriting.phrases)
            mark = ("left out" if match.negated else "used") if named else ""
            matches.add_row(match.text, match.kind, f"{match.similarity:.2f}", f"{match.events:,}", mark)
        console.print(matches)
    for sentence in rewriting.sentences:
        console.print(sentence, soft_wrap=True)
    about = [f"confidence {rewriting.confidence:.2f}", f"by {rewriting.by}"]
    about += [f"horizon {rewriting.horizon_days} days"] if rewriting.horizon_days else []
    about += [f"at least {rewriting.min_amount:,g}"] if rewriting.min_amount is not None else []
    console.print(", ".join(about))
    if rewriting.note:
        console.print(f"Note: {rewriting.note}.", soft_wrap=True)
