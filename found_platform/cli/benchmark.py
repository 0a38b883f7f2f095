"""`found benchmark`: run the asset with labels, print its rows, and say which differences are chance."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from found_platform.cli.asking import ask
from found_platform.cli.options import IndexCutoff, Place
from found_platform.cli.tables import print_json, table, terminal

if TYPE_CHECKING:
    from found_platform.app.benchmarks import Results


def run(
    place: Place,
    labels: Annotated[Path | None, typer.Option(help="Labels: user_id, scenario, cutoff, label (Parquet or CSV).")] = None,
    scenarios: Annotated[Path | None, typer.Option(help="Scenarios: JSON or YAML.")] = None,
    cutoff: IndexCutoff = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="No few-shot heads, no trained rivals, one training seed, three splits, no other wordings."),
    ] = False,
    methods: Annotated[str, typer.Option(help="Methods to run, by name, with commas; `few_shot` is all heads.")] = "",
    only_scenarios: Annotated[str, typer.Option(help="Scenarios to run, by name, with commas.")] = "",
    training_seeds: Annotated[
        int | None, typer.Option(min=1, help="How often FOUND is trained, each time with another seed [default: 3; quick: 1].")
    ] = None,
) -> None:
    """Run every method on every scenario and print one table. A run that was killed is gone on with."""
    from found_platform.app import benchmarks
    from found_platform.app.process import fits_beside

    request = benchmarks.Run(labels, scenarios, cutoff, quick, _names(methods), _names(only_scenarios), training_seeds)
    with terminal(stderr=True).status("benchmark"), fits_beside():
        results = ask(benchmarks.run, place.home, request)
    _print(place, results)


def show(place: Place, cutoff: IndexCutoff = None) -> None:
    """Print the table that the last run left."""
    from found_platform.app import benchmarks

    _print(place, ask(benchmarks.show, place.home, benchmarks.At(cutoff)))


def compare(
    place: Place,
    against: Annotated[str | None, typer.Option(help="The method to compare with. Default: the one that leads.")] = None,
    scenario: Annotated[str, typer.Option(help="A scenario by name. Default: their mean.")] = "mean",
    cutoff: IndexCutoff = None,
) -> None:
    """Say of each difference whether it is chance: a paired bootstrap over users."""
    from found_platform.app import benchmarks

    with terminal(stderr=True).status("bootstrap"):
        comparison = ask(benchmarks.compare, place.home, benchmarks.Compare(cutoff, against, scenario))
    if place.as_json:
        print_json(comparison)
        return
    console = terminal()
    for header, rows in comparison.grids():
        console.print(table(*header, rows=rows, left=(header[0], "verdict")))
    console.print(
        "How much the AUC is above that of the method that is compared with, and the bounds of 95 % of a thousand draws of users. "
        "chance: 0 is between the bounds. One of twenty pairs that are alike is called ahead or behind by chance."
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _print(place: Place, results: "Results") -> None:
    if place.as_json:
        print_json(results)
        return
    console = terminal()
    for header, rows in results.grids():
        grid = table(*header, fold=True)
        for number, row in enumerate(rows, start=2):  # the row after this one
            grid.add_row(*row, end_section=number == len(rows) and rows[-1][0] == "mean")
        console.print(grid)
    console.print(
        "Zero-shot methods come first, then heads of 5 and 50 users of either kind, then linear probes. reworded: AUC of other "
        "wordings; hard: against who behaves alike; oracle: share of the oracle's lift. acc, prec, rec: accuracy, precision and "
        "recall of targeting the top 10 %; with 50: of calling whoever is above the method's own line, among as many negatives as "
        "positives. Probes: fitted on one fifth, judged on four fifths, ± over splits. Users without history rank last. "
        + "; ".join(f"{r['scenario']}: {r['users']:,} users, {r['positives']:,} positives" for r in results.counts())
    )
    if results.page is not None:
        console.print(f"With curves and what is chance: {results.page} in the home.")
