"""Writing Delta: atomic slices, private statistics, row hashes."""

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pad
import pyarrow.fs as fs
import pyarrow.parquet as pq
import pytest
from deltalake.exceptions import DeltaError

from found_platform import lake, spill
from found_platform.errors import BadInput

SCHEMA = pa.schema([("event_date", pa.date32()), ("user_key", pa.string()), ("n", pa.int64())])


def rows(*values: tuple[int, str, int]) -> pa.Table:
    days, users, ns = zip(*values, strict=True)
    return pa.table([pa.array([dt.date(2024, 1, d) for d in days]), pa.array(users), pa.array(ns)], schema=SCHEMA)


def day(d: int) -> dt.date:
    return dt.date(2024, 1, d)


def test_replacing_a_day_leaves_the_others_and_a_rerun_changes_nothing(tmp_path: Path) -> None:
    lake.replace_days(tmp_path, "t", rows((1, "a", 1), (2, "a", 2), (3, "a", 3)), day(1), day(4), schema=SCHEMA)
    before = lake.row_hashes(tmp_path, "t", "event_date")
    for _ in range(2):
        lake.replace_days(tmp_path, "t", rows((2, "b", 5), (2, "c", 6)), day(2), day(3), schema=SCHEMA)
        after = lake.row_hashes(tmp_path, "t", "event_date")
        assert after["2024-01-01"] == before["2024-01-01"]
        assert after["2024-01-03"] == before["2024-01-03"]
        assert after["2024-01-02"][0] == 2
    lake.replace_days(tmp_path, "t", rows((2, "a", 2)), day(2), day(3), schema=SCHEMA)
    assert lake.row_hashes(tmp_path, "t", "event_date") == before


def test_arrow_opens_the_files_of_a_dataset_itself_whatever_the_folder_is_called(tmp_path: Path) -> None:
    """File objects of Python's in reading threads abort a process that ends."""
    home = tmp_path / "a b%c é"
    lake.replace_days(home, "t", rows((1, "a", 1), (2, "a", 2)), day(1), day(3), schema=SCHEMA)
    read = lake.dataset(home, "t")
    assert isinstance(read, pad.FileSystemDataset)
    assert isinstance(read.filesystem, fs.SubTreeFileSystem)
    assert isinstance(read.filesystem.base_fs, fs.LocalFileSystem)
    assert sorted(read.to_table()["n"].to_pylist()) == [1, 2]


def test_rows_outside_the_slice_are_refused_and_the_table_stays(tmp_path: Path) -> None:
    lake.replace_days(tmp_path, "t", rows((1, "a", 1)), day(1), day(2), schema=SCHEMA)
    before = lake.table_hash(tmp_path, "t")
    with pytest.raises(DeltaError):
        lake.replace_days(tmp_path, "t", rows((1, "a", 2), (2, "a", 2)), day(1), day(2), schema=SCHEMA)
    assert lake.table_hash(tmp_path, "t") == before


def test_a_row_hash_knows_repeats_but_not_order(tmp_path: Path) -> None:
    values = [(1, "a", 1), (1, "b", 2), (1, "b", 2)]
    hashes = []
    for name, part in {"x": values, "y": values[::-1], "z": values[:2]}.items():
        lake.replace(tmp_path, name, rows(*part), schema=SCHEMA)
        hashes.append(lake.table_hash(tmp_path, name))
    assert hashes[0] == hashes[1] != hashes[2]


def test_no_user_key_reaches_the_delta_log(tmp_path: Path) -> None:
    lake.replace_days(tmp_path, "t", rows((1, "secret-key", 41)), day(1), day(2), schema=SCHEMA)
    paths = list((tmp_path / "t" / "_delta_log").glob("*.json"))
    log = "".join(p.read_text() for p in paths)
    assert "secret-key" not in log
    stats = [json.loads(json.loads(line)["add"]["stats"]) for p in paths for line in p.read_text().splitlines() if '"add"' in line]
    assert all(s["maxValues"] == {} for s in stats)


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
    lake.replace_days(tmp_path, "t", rows((1, "a", 1)), day(1), day(2), schema=SCHEMA)
    new = changed(**columns)
    for write in (
        lambda: lake.replace_days(tmp_path, "t", new, day(3), day(4), schema=new.schema),
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
