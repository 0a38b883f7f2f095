"""Files that an engine writes and delta-rs commits: as those that delta-rs writes itself."""

import contextlib
import datetime as dt
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError

from found_platform import engine, erasure, lake, row_hash
from found_platform.engine import files
from found_platform.errors import JobFailed
from found_platform.settings import Settings

pytestmark = pytest.mark.slow

DAY = dt.date(2024, 3, 31)
SCHEMA = pa.schema(
    [
        pa.field("event_date", pa.date32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("event_time", pa.timestamp("us", tz="UTC")),
        pa.field("text_id", pa.int64()),
        pa.field("fold", pa.int8()),
        pa.field("vector", pa.list_(pa.float32())),
        pa.field("times", pa.list_(pa.timestamp("us", tz="UTC"))),
    ]
)
KINDS = ("2", "a/b:1 ä=%", "2")


def rows(keys: tuple[str, ...] = ("ann", "bob", "cid")) -> pa.Table:
    """Nulls, an odd text as the name of a partition, and one that looks like a number."""
    time = dt.datetime(2024, 3, 31, 1, 30, 0, 999_999, tzinfo=dt.UTC)
    return pa.Table.from_pylist(
        [
            {
                "event_date": DAY + dt.timedelta(days=i),
                "kind": KINDS[i],
                "user_key": key,
                "event_time": time if i else None,
                "text_id": None if i == 2 else i - 1,
                "fold": i,
                "vector": [0.1, None] if i else None,
                "times": [time] * i,
            }
            for i, key in enumerate(keys)
        ],
        schema=SCHEMA,
    )


def home_of(folder: Path, address: str) -> Settings:
    return Settings.load(folder, profile="tiny", engine=address)


@contextlib.contextmanager
def opened(settings: Settings):
    with contextlib.closing(engine.of(settings)) as found:
        yield found


@pytest.mark.parametrize("partition_by", [(), ("kind",)], ids=["flat", "partitions"])
def test_files_of_an_engine_are_as_those_of_delta_rs(address: str, partition_by: tuple[str, ...], tmp_path: Path) -> None:
    """Rows, partitions, statistics, what the log says of users; and delta-rs goes on from there."""
    settings, always = home_of(tmp_path / "home", address), "event_date > '1970-01-01'"
    how = {"schema": SCHEMA, "partition_by": partition_by, "predicate": always}
    lake.replace(settings.lake, "by_delta", rows(), **how)
    with opened(settings) as found:
        found.rows("given", rows())
        found.replace(settings.lake, "by_engine", "SELECT * FROM given", **how)
        assert statistics(settings, "by_engine") == statistics(settings, "by_delta")
        found.table("by_engine")
        assert found.read("SELECT * FROM by_engine ORDER BY event_date").read_all().to_pylist() == rows().to_pylist()
        again = f"event_date = '{DAY}'"
        version = found.replace(settings.lake, "by_engine", "SELECT * FROM by_engine", schema=SCHEMA, predicate=again)
        assert version == lake.version(settings.lake, "by_engine") == 2
        assert found.replace(settings.lake, "by_engine", "SELECT * FROM given WHERE 1 = 0", schema=SCHEMA, predicate=again) == 3
        assert lake.read(settings.lake, "by_engine").num_rows == 2
        found.append(settings.lake, "by_engine", f"SELECT * FROM given WHERE event_date = DATE '{DAY}'", schema=SCHEMA)
    assert row_hash.of_table(settings.lake, "by_engine") == row_hash.of_table(settings.lake, "by_delta")
    log = "".join(path.read_text() for path in lake.path(settings.lake, "by_engine").glob("_delta_log/*.json"))
    assert not [key for key in ("ann", "bob", "cid") if key in log]
    lake.open_table(settings.lake, "by_engine").optimize.compact()
    assert row_hash.of_table(settings.lake, "by_engine") == row_hash.of_table(settings.lake, "by_delta")


def statistics(settings: Settings, table: str) -> dict:
    """What the log has of the files of each partition, however many there are; of times it has milliseconds at least."""
    merged: dict = {}
    for file in lake.files(settings.lake, table):
        for name, value in file.items():
            kind, _, column = name.partition(".")
            if kind not in ("min", "max", "null_count", "num_records") or value is None:
                continue
            value = value.replace(microsecond=value.microsecond // 1000 * 1000) if isinstance(value, dt.datetime) else value
            key = (file.get("partition.kind"), kind, column)
            how = {"min": min, "max": max}.get(kind, lambda pair: sum(pair))
            merged[key] = how((merged[key], value)) if key in merged else value
    return merged


def test_a_table_that_has_got_a_column_is_read_with_nulls(address: str, tmp_path: Path) -> None:
    settings = home_of(tmp_path / "home", address)
    lake.replace(settings.lake, "some", rows(), schema=SCHEMA)
    lake.add_columns(settings.lake, "some", pa.schema([*SCHEMA, pa.field("city", pa.string())]))
    with opened(settings) as found:
        found.table("some")
        assert found.read("SELECT user_key, city FROM some ORDER BY 1").read_all().to_pylist() == [
            {"user_key": key, "city": None} for key in ("ann", "bob", "cid")
        ]


def test_a_file_that_is_gone_is_not_read_over(address: str, tmp_path: Path) -> None:
    settings = home_of(tmp_path / "home", address)
    lake.replace(settings.lake, "some", rows(), schema=SCHEMA)
    (file,) = lake.files(settings.lake, "some")
    (settings.home / "lake" / "some" / file["path"]).unlink()
    with opened(settings) as found, pytest.raises(JobFailed, match=r"parquet is gone, which a version of this table is read from"):
        found.table("some")


def test_an_engine_that_writes_to_files_of_its_own_is_found_out(sail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = home_of(tmp_path / "home", sail)
    lake.replace(settings.lake, "some", rows(), schema=SCHEMA)
    before = lake.version(settings.lake, "some")
    monkeypatch.setattr(Path, "exists", lambda path: not path.name.startswith("written-") and path.is_dir())
    with opened(settings) as found:
        found.rows("given", rows())
        with pytest.raises(JobFailed, match=r"has written elsewhere than to .*: every machine of it must see"):
            found.replace(settings.lake, "some", "SELECT * FROM given", schema=SCHEMA, predicate="event_date > '1970-01-01'")
    assert lake.version(settings.lake, "some") == before


def test_files_of_other_days_are_not_opened(tmp_path: Path) -> None:
    settings = home_of(tmp_path / "home", "duckdb")
    for i in range(3):
        lake.append(settings.lake, "days", rows().slice(i, 1), schema=SCHEMA)
    about = lake.open_table(settings.lake, "days")
    days = [DAY + dt.timedelta(days=i) for i in range(4)]
    chosen = files.of_days(about, (days[1], days[2]))
    assert [file["min.event_date"] for file in chosen] == [days[1]]
    assert len(files.of_days(about, None)) == 3
    folder = settings.home / "lake" / "days"
    assert files.holding(about, folder, f"event_date = '{days[1]}'") == [chosen[0]["path"]]


def test_of_two_commits_at_once_one_is_refused(tmp_path: Path) -> None:
    """Turns prevent it; should they fail, delta-rs does."""
    settings = home_of(tmp_path / "home", "duckdb")
    lake.replace(settings.lake, "some", rows(), schema=SCHEMA)
    about, folder = lake.open_table(settings.lake, "some"), settings.home / "lake" / "some"
    removed_paths = [file["path"] for file in lake.files_of(about)]
    lake.replace(settings.lake, "some", rows(("dan", "eva", "fay")), schema=SCHEMA, predicate="event_date > '1970-01-01'")
    with pytest.raises(CommitFailedError):
        files.commit(about, folder, [], removed_paths)
    assert set(lake.read(settings.lake, "some")["user_key"].to_pylist()) == {"dan", "eva", "fay"}


DIES = """
import os, signal, sys
from pathlib import Path
from found_platform import engine
from found_platform.engine import files
from found_platform.errors import JobFailed
from found_platform.settings import Settings
from test_files import SCHEMA, rows

files.commit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
settings = Settings.load(Path(sys.argv[1]), profile="tiny", engine=sys.argv[2])
opened = engine.of(settings)
opened.rows("given", rows(("dan", "eva", "fay")))
opened.replace(settings.lake, "some", "SELECT * FROM given", schema=SCHEMA, predicate="event_date > '1970-01-01'")
"""


def test_a_run_that_is_killed_before_its_commit_leaves_the_old_rows_and_files_that_are_swept(sail: str, tmp_path: Path) -> None:
    settings = home_of(tmp_path / "home", sail)
    lake.replace(settings.lake, "some", rows(), schema=SCHEMA)
    before = row_hash.of_table(settings.lake, "some")
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{DIES}"
    died = subprocess.run([sys.executable, "-c", program, str(settings.home), sail], check=False, capture_output=True, text=True)
    assert died.returncode == -9, died.stderr
    folder = settings.home / "lake" / "some"
    assert list(folder.glob("written-*/*.parquet"))
    assert row_hash.of_table(settings.lake, "some") == before
    erasure.lake_tables.forget_past(settings, ["some"])
    assert not list(folder.glob("written-*/*.parquet"))
    assert row_hash.of_table(settings.lake, "some") == before


def test_a_table_without_rows_has_a_name_as_well(address: str, tmp_path: Path) -> None:
    with contextlib.closing(engine.of(home_of(tmp_path, address))) as opened:
        opened.rows("nothing", SCHEMA.empty_table())
        assert opened.read("SELECT user_key, times FROM nothing").read_all().num_rows == 0
