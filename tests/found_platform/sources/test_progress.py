"""Whoever waits for a source sees how much of it has come and how long the rest takes; whoever does not look is told nothing."""

import contextlib
import io
import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from deltalake import write_deltalake

from found_platform.sources import config, progress, pulls

COLUMNS = {"user_id": "customer", "event_time": "at", "text": "item"}
ROWS = 150_000


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def shop(folder: Path, kind: str) -> config.SourceConfig:
    """A source over a table of a database, files of a store, a Delta table of one, or a query over files."""
    rows = [("u1", "2024-01-05", "tea")] * ROWS
    table = pa.table(dict(zip(("customer", "at", "item"), zip(*rows, strict=True), strict=True)))
    place: dict[str, object] = {"path": f"file://{folder}/{kind}"}
    if kind == "database":
        con = sqlite3.connect(folder / "shop.db")
        con.execute("CREATE TABLE orders (customer, at, item)")
        con.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
        con.commit()
        place = {"url": "sqlite:///shop.db", "table": "orders"}
    elif kind == "delta":
        write_deltalake(str(folder / kind), table)
    else:
        (folder / "files").mkdir()
        (folder / "files" / "orders.csv").write_text("customer,at,item\n" + "u1,2024-01-05,tea\n" * ROWS)
        if kind == "join":
            place = {"tables": {"orders": "files/orders.csv"}, "query": "SELECT * FROM orders"}
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "channels": {"pay_bill": {**place, "columns": COLUMNS}}}))
    return config.load(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("database", ["65.5k/150k", "rows/s", "<00:0"]),
        ("files", ["1.05M/2.70M", "B/s", "<00:0"]),
        ("delta", ["100%", "B/s"]),
        ("join", ["131k rows", "rows/s"]),
    ],
)
def test_a_pull_shows_what_has_come_and_how_long_the_rest_takes(
    tmp_path: Path, kind: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0)
    monkeypatch.setattr(progress, "EVERY", 0)
    source, screen = shop(tmp_path, kind), Screen()
    with contextlib.redirect_stderr(screen):
        pulls.refresh(source, tmp_path / "pulled")
    assert "pulling channel 'pay_bill'" in screen.getvalue()
    for word in words:
        assert word in screen.getvalue()


def test_a_pull_that_nobody_looks_at_prints_nothing_and_counts_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with progress.pulling("it", " rows", lambda: 1 // 0) as more:
        more(3)
    assert capfd.readouterr() == ("", "")
