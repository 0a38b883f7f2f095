"""Every engine gives the same rows, bit for bit, so a home may change engines."""

import datetime as dt
import shutil
from pathlib import Path

import pytest

from found_platform import daily, lake
from found_platform.features import write
from found_platform.settings import Settings
from found_platform.training_data import pairs, training_set

pytestmark = pytest.mark.slow

START, END = dt.date(2023, 12, 31), dt.date(2024, 4, 1)


@pytest.fixture(scope="module")
def remote(edge_home: Settings, address: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The same home without its feature tables, to be computed by the engine."""
    home = tmp_path_factory.mktemp("remote") / "home"
    shutil.copytree(edge_home.home, home, ignore=shutil.ignore_patterns(*write.TABLES))
    return edge_home.model_copy(update={"home": home, "engine": address})


@pytest.mark.parametrize("table", write.TABLES)
def test_a_table_has_the_same_rows_on_every_engine(table: str, edge_home: Settings, remote: Settings) -> None:
    write.feature(remote, table, START, END)
    expected, rows = (lake.read(s.lake, table).to_pylist() for s in (edge_home, remote))
    order = [c for c in ("event_date", "user_key", "text_id", "created_timestamp") if c in rows[0]]
    expected, rows = (sorted(some, key=lambda row: [row[c] for c in order]) for some in (expected, rows))
    assert rows == expected
    assert daily.day_hashes(remote.lake, table, START, END) == daily.day_hashes(edge_home.lake, table, START, END)
    assert lake.open_table(remote.lake, table).schema() == lake.open_table(edge_home.lake, table).schema()


def test_raw_events_and_their_days_are_the_same_on_every_engine(edge_home: Settings, address: str, tmp_path: Path) -> None:
    """From staged events; and a part of the days leaves the others as they are."""
    home = tmp_path / "home"
    shutil.copytree(edge_home.home, home, ignore=shutil.ignore_patterns("raw_events", "user_days"))
    remote = edge_home.model_copy(update={"home": home, "engine": address})
    write.raw_events(remote, START, END)
    write.raw_events(remote, dt.date(2024, 1, 5), dt.date(2024, 1, 10))
    for table in ("raw_events", "user_days"):
        assert daily.day_hashes(remote.lake, table, START, END) == daily.day_hashes(edge_home.lake, table, START, END)
        assert lake.open_table(remote.lake, table).schema() == lake.open_table(edge_home.lake, table).schema()


@pytest.mark.long
@pytest.mark.parametrize("table", ["behavior_sequence", "search_text", "user_tabular"])
def test_a_day_by_itself_has_the_rows_of_the_range_on_every_engine(
    table: str, edge_home: Settings, address: str, tmp_path: Path
) -> None:
    """Few days are computed in another way than many."""
    in_a_range = daily.day_hashes(edge_home.lake, table, START, END)
    days = [dt.date.fromisoformat(day) for day in sorted(in_a_range)[:: max(1, len(in_a_range) // 6)]]
    for name, where in (("duckdb", "duckdb"), ("remote", address)):
        home = shutil.copytree(edge_home.home, tmp_path / name, ignore=shutil.ignore_patterns(table))
        alone = edge_home.model_copy(update={"home": home, "engine": where})
        for day in days:
            write.feature(alone, table, day, day + dt.timedelta(days=1))
        hashes = daily.day_hashes(alone.lake, table, START, END)  # a day brings its grid day
        assert hashes.keys() >= {str(day) for day in days}, name
        assert hashes.items() <= in_a_range.items(), name


def test_training_rows_and_descriptions_are_the_same_on_every_engine(edge_home: Settings, address: str, tmp_path: Path) -> None:
    """Its users, and what the point-in-time join knows of each, late versions among them."""
    cutoff = dt.date(2024, 2, 1)
    sets = []
    for name, where in (("duckdb", "duckdb"), ("remote", address)):
        home = shutil.copytree(edge_home.home, tmp_path / name)
        settings = edge_home.model_copy(update={"home": home, "engine": where, "grid_days": 3})
        written = training_set.build(settings, cutoff)
        rows = lake.read(settings.lake, training_set.TABLE).sort_by([("event_timestamp", "ascending"), ("user_key", "ascending")])
        written_pairs = pairs.build(settings, cutoff)
        descriptions = lake.read(settings.lake, pairs.TABLE)["description"].to_pylist()
        sets.append((written.partitions, written_pairs.partitions, sorted(descriptions), rows.to_pylist()))
    assert len(sets[0][3]) > 50
    assert len(set(sets[0][2])) > 20
    assert sets[0] == sets[1]
