"""`found benchmark`: run the asset with labels, print its rows."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pad
from rich import box
from rich.console import Console
from rich.table import Table

from found_platform import index, lake
from found_platform.cli.app import existing_home, parse_cutoff, print_json
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import config as source_config


def run(*, labels: Path | None, scenarios: Path | None, cutoff: str | None, home: Path, as_json: bool) -> None:
    """Materialises `benchmark_results` at the cutoff and prints it."""
    settings = Settings.load(existing_home(home))
    config = source_config.of_home(settings)
    published = dt.date.fromisoformat(index.live(settings).as_of)
    day = parse_cutoff(cutoff, published, config.days[1])
    if (labels is None) != (scenarios is None):
        raise BadInput("--labels and --scenarios belong together: give both files.")
    from dagster_defs.run import materialize
    from found_platform.evaluation import scenarios as given

    if labels is not None and scenarios is not None:
        given.give(settings, day, labels, scenarios)
    elif not config.simulator and not given.given(settings):
        raise BadInput(f"The source {config.name!r} brings no labels: pass --labels and --scenarios.")
    with Console(stderr=True).status("benchmark"):
        materialize(settings, "benchmark_results", str(day))
    from found_platform.evaluation.run import TABLE, as_document, grids

    table = lake.read(settings.lake, TABLE, pad.field("cutoff") == day)
    if not table.num_rows:
        raise BadInput(f"There is nothing to compare: {given.load(settings, day)[1]}.")
    if as_json:
        print_json(as_document(table))
        return
    console = Console(highlight=False, markup=False)
    for header, rows in grids(table):
        console.print(_table(header, rows))
    console.print(
        "Zero-shot methods come first, then heads of 5 and 50 users of either kind, then linear probes. reworded: AUC of other "
        "wordings; hard: against who behaves alike; oracle: share of the oracle's lift. acc, prec, rec: accuracy, precision and "
        "recall of targeting the top 10 %; with 50: the top half of as many negatives as positives. "
        "Probes: fitted on one fifth, judged on four fifths, ± over splits. Users without history rank last. "
        + "; ".join(f"{r['scenario']}: {r['users']:,} users, {r['positives']:,} positives" for r in _counts(table))
    )


def _counts(table: pa.Table) -> list[dict]:
    rows = [r for r in table.to_pylist() if r["metric"] == "auc" and r["scenario"] != "mean"]
    return list({r["scenario"]: r for r in rows}.values())


def _table(header: list[str], rows: list[list[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left", overflow="fold", no_wrap=i == 0)
    for row in rows:
        table.add_row(*row, end_section=row is rows[-2] and rows[-1][0] == "mean")
    return table
