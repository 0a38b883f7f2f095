"""Tables in a narrow terminal: names and words are folded, figures and dates stay whole, nothing is cut off."""

import io
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console, RenderableType

from found_platform.app.benchmarks import Results
from found_platform.cli import benchmark
from found_platform.cli.options import Place
from found_platform.cli.tables import Document, table

NAME = "gold_buyers_of_the_northern_region_and_more"


def printed(grid: RenderableType, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    console.print(grid)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    return lines


def test_a_long_name_is_folded_and_every_figure_and_date_stays_whole() -> None:
    columns = ("audience", "members", "joined", "left", "as of", "refreshed", "asked")
    demand = "“people who will soon buy gold or silver bracelets for their wives”"
    rows = [(NAME, "12,345", "20", "0", "2026-03-25", "2026-11-30", demand), ("gold", "5", "5", "0", "-", "-", demand)]
    lines = printed(table(*columns, wrap="asked", rows=rows))
    for word in (*columns, "12,345", "2026-03-25", "2026-11-30", "bracelets"):
        assert any(word in line for line in lines), word
    first = [line[1:].partition(" ")[0] for line in lines]
    assert NAME in "".join(first)


def test_times_and_users_of_the_audit_stay_whole_beside_a_long_name() -> None:
    columns = ("at (UTC)", "who", "action", "audience", "rows", "question")
    lines = printed(table(*columns, wrap="question", rows=[("2026-11-30 18:41", "cli:root", "refresh", NAME, "20", "gold " * 9)]))
    assert any("2026-11-30 18:41" in line and "cli:root" in line for line in lines)
    assert any("refresh" in line for line in lines)


def test_an_address_that_is_too_long_is_there_to_its_end() -> None:
    address = "csv+file:///srv/sent/of/the/northern/region/and/more/and/still/more"
    columns = ("name", "address", "by", "since")
    lines = printed(table(*columns, left=columns, rows=[("crm-of-the-northern-region", address, "cli:root", "2026-11-30")]))
    assert any("crm-of-the-northern-region" in line for line in lines)
    assert address in "".join("".join(line.split()[1 if "crm" in line else 0 : 2 if "crm" in line else 1]) for line in lines[3:])


def test_what_fits_is_as_wide_as_it_is() -> None:
    rows = [("behavior_sequence", "90 of 90", "0")]
    assert printed(table("asset", "made", "stale", rows=rows))[1:4] == [
        " asset                   made   stale ",
        " ──────────────────────────────────── ",
        " behavior_sequence   90 of 90       0 ",
    ]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_table_of_a_document_is_folded_too(width: int) -> None:
    head = "| stage | rows | users | weights | trained | steps | best step | time, s | held-out loss, start | best |"
    card = f"{head}\n|{'-|' * 10}\n| behavior | 1,187 | 205 | 18,178 | 18,178 | 20 | 20 | 1 | 7.701 | 7.305 |\n"
    lines = printed(Document(card), width)
    if width == 80:
        row = next(line for line in lines if "1,187" in line)
        assert row.split() == ["behavior", "1,187", "205", "18,178", "18,178", "20", "20", "1", "7.701", "7.305"]


def test_a_benchmark_of_one_method_and_one_scenario_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"scenario": "gold", "method": "replay", "task": "zero_shot", "metric": "auc", "value": 0.75, "std": 0.0}
    benchmark._print(Place(Path("nowhere")), Results(pa.Table.from_pylist([row | {"users": 100, "positives": 10}])))
    out = capsys.readouterr().out
    assert ".750" in out
    assert "gold: 100 users, 10 positives" in " ".join(out.split())
