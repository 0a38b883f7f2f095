"""`found benchmark`: run the asset with labels, print its rows."""

from pathlib import Path
from typing import Annotated

import typer

from found_platform.cli.asking import ask
from found_platform.cli.options import IndexCutoff, Place
from found_platform.cli.tables import print_json, table, terminal


def run(
    place: Place,
    labels: Annotated[Path | None, typer.Option(help="Labels: user_id, scenario, cutoff, label (Parquet or CSV).")] = None,
    scenarios: Annotated[Path | None, typer.Option(help="Scenarios: JSON or YAML.")] = None,
    cutoff: IndexCutoff = None,
    quick: Annotated[bool, typer.Option("--quick", help="No few-shot heads, three splits, no other wordings.")] = False,
) -> None:
    """Run every method on every scenario and print one table."""
    from found_platform.app import benchmarks

    with terminal(stderr=True).status("benchmark"):
        results = ask(benchmarks.run, place.home, benchmarks.Run(labels, scenarios, cutoff, quick))
    if place.as_json:
        print_json(results)
        return
    console = terminal()
    for header, rows in results.grids():
        grid = table(*header, fold=True)
        for row in rows:
            grid.add_row(*row, end_section=row is rows[-2] and rows[-1][0] == "mean")
        console.print(grid)
    console.print(
        "Zero-shot methods come first, then heads of 5 and 50 users of either kind, then linear probes. reworded: AUC of other "
        "wordings; hard: against who behaves alike; oracle: share of the oracle's lift. acc, prec, rec: accuracy, precision and "
        "recall of targeting the top 10 %; with 50: the top half of as many negatives as positives. "
        "Probes: fitted on one fifth, judged on four fifths, ± over splits. Users without history rank last. "
        + "; ".join(f"{r['scenario']}: {r['users']:,} users, {r['positives']:,} positives" for r in results.counts())
    )
