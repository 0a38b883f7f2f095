"""Writing Delta: atomic slices, private statistics, row hashes."""

import datetime as dt
import itertools
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pad
import pyarrow.fs as fs
import pyarrow.parquet as pq
import pytest
from deltalake.exceptions import DeltaError

from found_platform import daily, lake, row_hash, spill
from found_platform.errors import BadInput

SCHEMA = pa.schema([("event_date", pa.date32()), ("user_key", pa.string()), ("n", pa.int64())])


def rows(*values: tuple[int, str, int]) -> pa.Table:
    days, users, ns = zip(*values, strict=True)
    return pa.table([pa.array([dt.date(2024, 1, d) for d in days]), pa.array(users), pa.array(ns)], schema=SCHEMA)


def day(d: int) -> dt.date:
    return dt.date(2024, 1, d)


def test_replacing_a_day_leaves_the_others_and_a_rerun_changes_nothing(tmp_path: Path) -> None:
    daily.replace_days(tmp_path, "t", rows((1, "a", 1), (2, "a", 2), (3, "a", 3)), day(1), day(4), schema=SCHEMA)
    before = row_hash.by_key(tmp_path, "t", "event_date")
    for _ in range(2):
        daily.replace_days(tmp_path, "t", rows((2, "b", 5), (2, "c", 6)), day(2), day(3), schema=SCHEMA)
        after = row_hash.by_key(tmp_path, "t", "event_date")
        assert after["2024-01-01"] == before["2024-01-01"]
        assert after["2024-01-03"] == before["2024-01-03"]
        assert after["2024-01-02"][0] == 2
    daily.replace_days(tmp_path, "t", rows((2, "a", 2)), day(2), day(3), schema=SCHEMA)
    assert row_hash.by_key(tmp_path, "t", "event_date") == before


def test_arrow_opens_the_files_of_a_dataset_itself_whatever_the_folder_is_called(tmp_path: Path) -> None:
    """File objects of Python's in reading threads abort a process that ends."""
    home = tmp_path / "a b%c é"
    daily.replace_days(home, "t", rows((1, "a", 1), (2, "a", 2)), day(1), day(3), schema=SCHEMA)
    read = lake.dataset(home, "t")
    assert isinstance(read, pad.FileSystemDataset)
    assert isinstance(read.filesystem, fs.SubTreeFileSystem)
    assert isinstance(read.filesystem.base_fs, fs.LocalFileSystem)
    assert sorted(read.to_table()["n"].to_pylist()) == [1, 2]


def test_rows_outside_the_slice_are_refused_and_the_table_stays(tmp_path: Path) -> None:
    daily.replace_days(tmp_path, "t", rows((1, "a", 1)), day(1), day(2), schema=SCHEMA)
    before = row_hash.of_table(tmp_path, "t")
    with pytest.raises(DeltaError):
        daily.replace_days(tmp_path, "t", rows((1, "a", 2), (2, "a", 2)), day(1), day(2), schema=SCHEMA)
    assert row_hash.of_table(tmp_path, "t") == before


def test_a_row_hash_knows_repeats_but_not_order(tmp_path: Path) -> None:
    values = [(1, "a", 1), (1, "b", 2), (1, "b", 2)]
    hashes = []
    for name, part in {"x": values, "y": values[::-1], "z": values[:2]}.items():
        lake.replace(tmp_path, name, rows(*part), schema=SCHEMA)
        hashes.append(row_hash.of_table(tmp_path, name))
    assert hashes[0] == hashes[1] != hashes[2]


def test_no_user_key_reaches_the_delta_log(tmp_path: Path) -> None:
    daily.replace_days(tmp_path, "t", rows((1, "secret-key", 41)), day(1), day(2), schema=SCHEMA)
    paths = list((tmp_path / "t" / "_delta_log").glob("*.json"))
    log = "".join(p.read_text() for p in paths)
    assert "secret-key" not in log
    stats = [json.loads(json.loads(line)["add"]["stats"]) for p in paths for line in p.read_text().splitlines() if '"add"' in line]
    assert [s["maxValues"] for s in stats] == [{"event_date": "2024-01-01"}]


def test_a_missing_table_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'user_tabular' does not exist.*found demo"):
        lake.read(tmp_path, "user_tabular")


def test_a_connection_downloads_no_extension() -> None:
    setting = lake.connect().execute("SELECT current_setting('autoinstall_known_extensions'), current_setting('TimeZone')")
    assert setting.fetchone() == (False, "UTC")


def test_connections_never_share_the_folder_they_spill_into_and_leave_nothing_behind(tmp_path: Path) -> None:
    first, second = (lake.connect("100MB", temp=tmp_path) for _ in range(2))
    folders = [con.execute("SELECT current_setting('temp_directory')").fetchone() for con in (first, second)]
    assert folders[0] != folders[1]
    for con in (first, second):
        con.execute("SET threads=1")
        rows = con.execute("SELECT hash(i) AS h, repeat('x', 90) || i AS s FROM range(2000000) t(i) ORDER BY h").to_arrow_reader(10)
        rows.read_next_batch()
        assert any(tmp_path.rglob("*.tmp"))
        del rows
        con.close()
    (own,) = tmp_path.iterdir()  # of this process, which removes it when it ends
    assert [path.name for path in own.iterdir()] == [spill.OWNER]


def test_rows_with_lists_lie_in_small_row_groups_and_all_tables_are_compressed(tmp_path: Path) -> None:
    numbers = pa.array(range(lake.LONG_ROWS + 1), pa.int64())
    tables = {"short": pa.table({"n": numbers}), "long": pa.table({"n": numbers, "many": pa.array([[1]] * len(numbers))})}
    groups = {}
    for name, table in tables.items():
        lake.replace(tmp_path / "lake", name, table, schema=table.schema)
        (written,) = lake.files(tmp_path / "lake", name)
        about = pq.ParquetFile(lake.path(tmp_path / "lake", name) / written["path"]).metadata
        assert about.row_group(0).column(0).compression == "SNAPPY"
        groups[name] = [about.row_group(i).num_rows for i in range(about.num_row_groups)]
    assert groups == {"short": [lake.LONG_ROWS + 1], "long": [lake.LONG_ROWS, 1]}


def changed(**columns: pa.DataType | None) -> pa.Table:
    """A row of 3 January with these columns in place of those of SCHEMA; None leaves one out."""
    fields = {f.name: f.type for f in SCHEMA} | columns
    values = {"event_date": dt.date(2024, 1, 3), "user_key": "a"}
    kept = {name: kind for name, kind in fields.items() if kind is not None}
    return pa.table({name: pa.array([values.get(name)], kind) for name, kind in kept.items()})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"extra": pa.string()}, "has no column 'extra', which is written now"),
        ({"n": None}, "has a column 'n', which is written no longer"),
        ({"n": pa.string()}, "holds long in the column 'n', where string is written now"),
        ({"n": pa.list_(pa.int64())}, "holds long in the column 'n', where array values is written now"),
    ],
)
def test_a_table_of_another_schema_is_refused_in_a_sentence_and_stays(tmp_path: Path, columns: dict, message: str) -> None:
    daily.replace_days(tmp_path, "t", rows((1, "a", 1)), day(1), day(2), schema=SCHEMA)
    new = changed(**columns)
    for write in (
        lambda: daily.replace_days(tmp_path, "t", new, day(3), day(4), schema=new.schema),
        lambda: lake.append(tmp_path, "t", new, schema=new.schema),
    ):
        with pytest.raises(BadInput, match=f"The table 't' under .* {message}: .* Make a new home"):
            write()
    assert lake.read(tmp_path, "t").num_rows == 1


def test_a_table_that_is_replaced_whole_takes_on_another_schema(tmp_path: Path) -> None:
    lake.replace(tmp_path, "t", rows((1, "a", 1)), schema=SCHEMA)
    new = changed(extra=pa.string(), n=None)
    lake.replace(tmp_path, "t", new, schema=new.schema)
    assert lake.read(tmp_path, "t").column_names == new.column_names


def days_of(lake_folder: Path, table: str) -> dict[str, tuple[int, str]]:
    return daily.day_hashes(lake_folder, table, dt.date.min, dt.date.max)


def test_a_table_with_a_folder_for_each_day_is_read_as_it_is_and_gets_few_files_when_it_is_written(tmp_path: Path) -> None:
    schema = pa.schema([*SCHEMA, ("at", pa.timestamp("us", tz="UTC")), ("many", pa.list_(pa.int64()))])
    values = [(d, u, n) for n, (d, u) in enumerate((d, u) for d in range(1, 31) for u in "ab")]
    old = rows(*values)
    old = old.append_column("at", pa.array([dt.datetime(2024, 1, d, tzinfo=dt.UTC) for d, *_ in values], schema.field("at").type))
    old = old.append_column("many", pa.array([[n, n] for *_, n in values]))
    before_that = lake.replace(tmp_path, "t", old, schema=schema, partition_by=("event_date",))
    assert len(lake.files(tmp_path, "t")) == 30
    before = row_hash.by_key(tmp_path, "t", "event_date")
    assert days_of(tmp_path, "t") == before
    assert daily.last_day(tmp_path, "t") == day(30)
    assert daily.has_days(tmp_path, "t", day(30), day(31))
    assert not daily.has_days(tmp_path, "t", day(31), dt.date(2024, 2, 9))
    daily.replace_days(tmp_path, "t", old.slice(4, 1), day(3), day(4), schema=schema)
    assert len(lake.files(tmp_path, "t")) <= 2
    assert lake.open_table(tmp_path, "t").metadata().partition_columns == []
    after = days_of(tmp_path, "t")
    assert after.pop("2024-01-03")[0] == 1
    assert after == {k: v for k, v in before.items() if k != "2024-01-03"}
    assert daily.days_of_file(lake.files(tmp_path, "t")[0])[0] == day(1)
    stats = [
        json.loads(json.loads(line)["add"]["stats"])["maxValues"].keys()
        for path in (tmp_path / "t" / "_delta_log").glob("*.json")
        for line in path.read_text().splitlines()
        if '"add"' in line
    ]
    assert {name for names in stats for name in names} == {"event_date", "at"}
    con = lake.connect()
    lake.view(con, "earlier", tmp_path, "t", before_that)
    assert con.execute("SELECT count(*), count(DISTINCT event_date) FROM earlier").fetchone() == (60, 30)


@pytest.mark.slow
def test_files_follow_the_amount_of_data_however_often_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day at a time for a long while: one commit each, and seldom one more that writes small files together."""
    monkeypatch.setattr(daily, "SMALL_FILES", 12)
    for i in range(3 * daily.SMALL_FILES):
        date = day(1) + dt.timedelta(days=i)
        one = pa.table([pa.array([date]), pa.array(["a"]), pa.array([i])], schema=SCHEMA)
        before = lake.version(tmp_path, "t") if lake.exists(tmp_path, "t") else 0
        after = daily.replace_days(tmp_path, "t", one, date, date + dt.timedelta(days=1), schema=SCHEMA)
        assert after - before <= 2
        assert len(lake.files(tmp_path, "t")) <= daily.SMALL_FILES
    assert lake.version(tmp_path, "t") <= 3 * daily.SMALL_FILES + 3
    assert [n for n, _ in days_of(tmp_path, "t").values()] == [1] * 3 * daily.SMALL_FILES


def test_a_large_write_is_several_files_of_days_that_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily, "FILE_SIZE", 2**16)
    days = [day(1) + dt.timedelta(days=i) for i in range(300) for _ in range(1000)]
    users = [f"{i * 7919 % 100_003:032x}" for i in range(len(days))]
    table = pa.table([pa.array(days), pa.array(users), pa.array(range(len(days)))], schema=SCHEMA)
    daily.replace_days(tmp_path, "t", table, days[0], days[-1] + dt.timedelta(days=1), schema=SCHEMA)
    spans = sorted(map(daily.days_of_file, lake.files(tmp_path, "t")))
    assert len(spans) > 1
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))


def test_a_day_that_is_replaced_within_a_larger_file_leaves_the_others(tmp_path: Path) -> None:
    daily.replace_days(tmp_path, "t", rows((1, "a", 1), (2, "a", 2), (3, "a", 3)), day(1), day(4), schema=SCHEMA)
    assert len(lake.files(tmp_path, "t")) == 1
    daily.replace_days(tmp_path, "t", rows((2, "b", 5)), day(2), day(3), schema=SCHEMA)
    daily.replace_days(tmp_path, "t", SCHEMA.empty_table(), day(3), day(4), schema=SCHEMA)
    assert sorted(lake.read(tmp_path, "t")["n"].to_pylist()) == [1, 5]
    assert daily.last_day(tmp_path, "t") == day(2)


def test_a_view_of_a_table_without_rows_takes_the_place_of_one_with_rows(tmp_path: Path) -> None:
    schema = pa.schema([("day", pa.string()), ("n", pa.int64())])
    lake.append(tmp_path, "full", pa.table({"day": ["a"], "n": [1]}), schema=schema)
    lake.append(tmp_path, "empty", schema.empty_table(), schema=schema)
    with lake.connect("1GB") as con:
        for table, rows in (("full", 1), ("empty", 0), ("full", 1), ("empty", 0)):
            lake.view(con, "t", tmp_path, table)
            assert con.execute("SELECT count(*), count(n) FROM t").fetchall() == [(rows, rows)]
