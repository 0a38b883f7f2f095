"""`found audience tune`: a prompt from a demand and a handful of users."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from found_platform.cli.asking import ask
from found_platform.cli.options import Place
from found_platform.cli.tables import print_json, table, terminal

if TYPE_CHECKING:
    from found_platform.app.prompts import TunedPrompt

SHOWN = 20
"""Places of unknown ids that the table names; the JSON has them all."""


def tune(
    name: Annotated[str, typer.Argument(help="Name of the prompt: small letters, digits, - and _.")],
    place: Place,
    demand: Annotated[str | None, typer.Option(help="Whom to reach, in one sentence. Default: as the prompt was made.")] = None,
    seeds: Annotated[Path | None, typer.Option(help="Users who are wanted: a column user_id, or one id a line.")] = None,
    negatives: Annotated[Path | None, typer.Option(help="Users who are not wanted, in the same form.")] = None,
) -> None:
    """Make a prompt from a demand and a handful of users, or tune a saved one for the model that serves now."""
    from found_platform.app import prompts

    prompt = ask(prompts.tune, place.home, prompts.Tune(name, demand, seeds, negatives))
    if place.as_json:
        print_json(prompt)
    else:
        _show(terminal(), prompt)


def _show(console: Console, prompt: "TunedPrompt") -> None:
    tuned, suggested = prompt.tuned, prompt.suggested_negatives
    console.print(f"“{tuned.demand}”", style="bold", soft_wrap=True)
    heads = table("head", "AUC of left-out seeds")
    for kind, auc in sorted(tuned.head.leave_one_out.items(), key=lambda pair: -pair[1]):
        heads.add_row(f"{kind} *" if kind == tuned.head.kind else kind, f"{auc:.3f}")
    console.print(heads)
    console.print(f"* is used: {tuned.head.chosen_because}.", soft_wrap=True)
    if tuned.head.warning:
        console.print(f"Careful: {tuned.head.warning}.", soft_wrap=True)
    for path, places in prompt.unknown.items():
        if places:
            listed = ", ".join(map(str, places[:SHOWN])) + (", …" if len(places) > SHOWN else "")
            console.print(f"{path}: ids without a history here, left out: {len(places):,} (number {listed}).", soft_wrap=True)
    if suggested and not tuned.negatives:
        console.print(f"Likest other users: {', '.join(suggested)}.", soft_wrap=True)
        console.print("Those among them who are not wanted make the prompt sharper: give them with --negatives.", soft_wrap=True)
    console.print(
        f"Prompt {tuned.name} version {tuned.version}: {tuned.seeds} seeds, {tuned.negatives} negatives, as of {tuned.as_of}, "
        f"for model version {tuned.model_version}",
        soft_wrap=True,
    )
