"""`found audience tune`: a prompt from a demand and a handful of users."""

import contextlib
import io
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from found_platform.audiences import prompts
from found_platform.audiences.prompts import Tuned
from found_platform.cli.app import existing_home, print_json
from found_platform.errors import BadInput
from found_platform.privacy import audit, keys
from found_platform.settings import Settings

SHOWN = 20
"""Places of unknown ids that the table names; the JSON has them all."""


def tune(name: str, *, demand: str | None, seeds: Path | None, negatives: Path | None, home: Path, as_json: bool) -> None:
    """Tunes a prompt and says how good it is, which head it took, and whom a person should look at."""
    settings = Settings.load(existing_home(home))
    if (demand is None) != (seeds is None):
        raise BadInput("Give --demand and --seeds together; a prompt that is saved is tuned anew without either.")
    if demand is None and negatives is not None:
        raise BadInput("--negatives come with --demand and --seeds.")
    files = {path: [key for key, _ in keys.read_user_rows(settings, path)] for path in (seeds, negatives) if path}
    if demand is not None and seeds is not None:
        given = demand, set(files[seeds]), set(files.get(negatives, ())) if negatives else None
    else:
        saved = prompts.specification(settings, name)
        given = saved.demand, saved.seeds, saved.negatives
    with contextlib.redirect_stdout(io.StringIO()):  # libraries may print while they load; stdout is for the answer
        tuned = prompts.tune(settings, name, *given)
    unknown = {str(path): [i for i, key in enumerate(read, 1) if key in tuned.missing] for path, read in files.items()}
    names = keys.user_ids(settings, tuned.head.suggested_negatives)
    suggested = [names[key] for key in tuned.head.suggested_negatives]
    audit.record(
        settings,
        "tune",
        question={"prompt": name, "sentence": tuned.demand},
        rows=len(suggested),
        model_version=tuned.model_version,
        reason=f"{tuned.seeds} seeds, {tuned.negatives} negatives; rows are users who were shown",
    )
    if as_json:
        head = {k: v for k, v in asdict(tuned.head).items() if k not in ("query", "bias", "suggested_negatives")}
        said = {k: v for k, v in asdict(tuned).items() if k not in ("head", "missing")}
        print_json({**said, **head, "unknown": unknown, "suggested_negatives": suggested})
    else:
        _show(Console(highlight=False, markup=False), tuned, unknown, suggested)


def _show(console: Console, tuned: Tuned, unknown: dict[str, list[int]], suggested: list[str]) -> None:
    console.print(f"“{tuned.demand}”", style="bold", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("head")
    table.add_column("AUC of left-out seeds", justify="right")
    for kind, auc in sorted(tuned.head.leave_one_out.items(), key=lambda pair: -pair[1]):
        table.add_row(f"{kind} *" if kind == tuned.head.kind else kind, f"{auc:.3f}")
    console.print(table)
    console.print(f"* is used: {tuned.head.chosen_because}.", soft_wrap=True)
    if tuned.head.warning:
        console.print(f"Careful: {tuned.head.warning}.", soft_wrap=True)
    for path, places in unknown.items():
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
