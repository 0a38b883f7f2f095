"""`found rewrite` and `found rewriter train`: a demand in the language of the templates, and a language model that learns it."""

import contextlib
import datetime as dt
import io
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from found_platform import contract, index, rewriting
from found_platform.audiences import lookup
from found_platform.cli.app import existing_home, print_json
from found_platform.errors import BadInput
from found_platform.rewriting import Rewriting
from found_platform.settings import Settings

NEAREST = 3
"""What comes nearest, where nothing is near enough to be used."""


def rewrite(
    sentence: str,
    *,
    llm: str | None,
    endpoint: str | None,
    model: str | None,
    allow_host: str | None,
    cutoff: str | None,
    home: Path,
    as_json: bool,
) -> None:
    """Prints what a demand is about in this home's data, and the sentences that say it."""
    demand = lookup.check_demand(sentence)
    if bool(endpoint) != bool(model) or (endpoint and llm):
        raise BadInput("Say --llm with a model on this machine, or --endpoint with --model.")
    settings = Settings.load(existing_home(home))
    day = _cutoff(settings, cutoff)
    with contextlib.redirect_stdout(io.StringIO()):  # libraries may print while they load; stdout is for the answer
        asked = rewriting.llm(settings, day, llm or model, endpoint, allow_host) if llm or endpoint else None
        found = (asked or rewriting.chosen(settings, day)).rewrite(demand)
    if as_json:
        print_json({**found.as_dict(), "cutoff": day})
    else:
        show(Console(highlight=False, markup=False), found)


def train(*, base: str, out: Path, cutoff: str | None, examples: int, epochs: int, home: Path, as_json: bool) -> None:
    """Fine-tunes a language model on what this home knew before a cutoff."""
    from found_platform.rewriting import tuning

    settings = Settings.load(existing_home(home))
    learned = tuning.train(settings, _cutoff(settings, cutoff), base, out, tuning.Options(examples=examples, epochs=epochs))
    if as_json:
        print_json({"out": out, "stages": [vars(stage) for stage in learned]})
        return
    console = Console(highlight=False, markup=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("stage", "lessons", "steps", "held-out loss before", "after"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in learned:
        table.add_row(stage.stage, f"{stage.lessons:,}", f"{stage.steps:,}", f"{stage.before:.3f}", f"{stage.after:.3f}")
    console.print(table)
    console.print(f"The adapter is in {out}: use it by `found rewrite --llm {out} …`.", soft_wrap=True)


def _cutoff(settings: Settings, cutoff: str | None) -> dt.date:
    return contract.parse_day(cutoff, "--cutoff") if cutoff else dt.date.fromisoformat(index.live(settings).as_of)


def understood(found: Rewriting) -> list[str]:
    """A rewriting in a few lines, for those who asked for users."""
    said = [f"understood as: {' '.join(found.sentences)}"] if found.sentences else []
    used = {m.text: f"{m.text} {m.similarity:.2f}" for m in found.matches if not m.negated and m.text in found.phrases}
    near = used.values() or [f"{m.text} {m.similarity:.2f}" for m in found.matches if not m.negated][:NEAREST]
    matched = [f"{'matched' if used else 'nearest'} in the data: {', '.join(near)}"] if near else []
    left_out = [f"left out: {', '.join(found.unwanted)}"] if found.unwanted else []
    left_out += [f"at least {found.min_amount:,g}"] if found.min_amount else []
    return [*said, "; ".join([*matched, *left_out, f"confidence {found.confidence:.2f}, by {found.by}"])]


def show(console: Console, found: Rewriting) -> None:
    """The rewriting for a terminal: what matched, how sure it is, and the sentences."""
    console.print(f"“{found.demand}”", style="bold", soft_wrap=True)
    if found.matches:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("in the data")
        table.add_column("kind")
        for name in ("similarity", "events"):
            table.add_column(name, justify="right")
        table.add_column("")
        for match in found.matches:
            named = match.text in (found.unwanted if match.negated else found.phrases)
            mark = ("left out" if match.negated else "used") if named else ""
            table.add_row(match.text, match.kind, f"{match.similarity:.2f}", f"{match.events:,}", mark)
        console.print(table)
    for sentence in found.sentences:
        console.print(sentence, soft_wrap=True)
    said = [f"confidence {found.confidence:.2f}", f"by {found.by}"]
    said += [f"horizon {found.horizon_days} days"] if found.horizon_days else []
    said += [f"at least {found.min_amount:,g}"] if found.min_amount is not None else []
    console.print(", ".join(said))
    if found.note:
        console.print(f"Note: {found.note}.", soft_wrap=True)
