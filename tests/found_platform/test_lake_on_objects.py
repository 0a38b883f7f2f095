"""A lake on object storage: the same rows as in the home, and nobody is told less than they are of files."""

import datetime as dt
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import at, call_found, lake_of, write_source
from random_events import random_events
from servers import LAKE_PASSWORD

from found_platform import daily, erasure, feature_store, lake, lake_place, objects, row_hash, tenancy
from found_platform.errors import BadInput, JobFailed
from found_platform.features import write
from found_platform.housekeeping import backup, condition, moving_lake, replaced, restore
from found_platform.lake_place import Away
from found_platform.privacy import audit, keys, suppression
from found_platform.settings import Settings
from found_platform.training_data import training_set

pytestmark = pytest.mark.slow

CUTOFF = dt.date(2024, 1, 20)
CHANGES: dict[str, Any] = {"lookback_days": 6, "horizon_days": 2, "training_days": 6, "grid_days": 2}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    events = random_events(7, users=4, days=20, late=0.2)
    return write_source(tmp_path_factory.mktemp("source"), events, [{"user_id": f"u{i}", "city": "Basel"} for i in range(4)])


@pytest.fixture(scope="module")
def local(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with its lake in its folder, and a training set."""
    settings = lake_of(tmp_path_factory.mktemp("local") / "home", source, **CHANGES, secret="ab" * 16)
    training_set.build(settings, CUTOFF)
    settings.keep()
    return settings


@pytest.fixture(scope="module")
def away(lakes: tuple[Any, str], source: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The same with its lake on object storage."""
    settings = lake_of(tmp_path_factory.mktemp("away") / "home", source, **CHANGES, secret="ab" * 16, lake_uri=lakes[1])
    training_set.build(settings, CUTOFF)
    settings.keep()
    return settings


@pytest.fixture
def moved(local: Settings, lakes: tuple[Any, str], tmp_path: Path) -> Settings:
    """A copy of the first home whose lake has moved."""
    copy = Settings.load(Path(shutil.copytree(local.home, tmp_path / "home")), secret="ab" * 16)
    moving_lake.move(copy.model_copy(update={"lake_uri": lakes[1]}))
    return copy


def hashes(settings: Settings) -> dict[str, str]:
    return {name: row_hash.of_table(settings.lake, name) for name in lake.tables(settings.lake)}


def test_rows_features_and_training_set_are_those_of_a_lake_in_the_home(local: Settings, away: Settings) -> None:
    assert isinstance(away.lake, Away)
    assert not (away.home / "lake").exists()
    assert hashes(away) == hashes(local)
    assert {"raw_events", "user_tabular", "training_set"} <= hashes(local).keys()
    for table in write.TABLES:
        assert lake.read(away.lake, table).num_rows == lake.read(local.lake, table).num_rows > 0
    users = sorted(set(lake.read(local.lake, "raw_events")["user_key"].to_pylist()))
    moments = [at("2024-01-12")] * len(users)
    history = feature_store.history(local, users, moments)
    assert history.num_rows == 4
    assert feature_store.history(away, users, moments).equals(history)
    assert feature_store.history(away, users, moments, {"user_tabular": lake.version(away.lake, "user_tabular")}).equals(history)


def test_a_day_is_replaced_and_an_older_version_is_still_read(moved: Settings) -> None:
    before, version = row_hash.of_table(moved.lake, "user_tabular"), lake.version(moved.lake, "user_tabular")
    day = dt.date(2024, 1, 10)
    write.feature(moved, "user_tabular", day, day + dt.timedelta(days=1))
    assert lake.version(moved.lake, "user_tabular") > version
    assert row_hash.of_table(moved.lake, "user_tabular") == before
    assert lake.dataset(moved.lake, "user_tabular", version).count_rows() == lake.read(moved.lake, "user_tabular").num_rows


def test_who_is_erased_is_in_no_object(lakes: tuple[Any, str], moved: Settings, local: Settings) -> None:
    client, _ = lakes
    key = keys.user_key(keys.home_secret(moved), "u1")
    assert any(key.encode() in body for body in _bodies(client, moved))
    left = Away(f"{moved.lake}/note", moved.home)
    objects.put(left, "notes.bin", io.BytesIO(b"\0\0" + key.encode()))
    with pytest.raises(JobFailed, match=rf"1 place in .* is to be erased: {moved.lake}/note/notes\.bin\. Remove"):
        erasure.erase(moved, ("u1",))
    objects.remove_all(left)
    certificate = erasure.erase(moved, ("u1",))
    assert certificate.searched["servers"] == {"objects of the lake": len(objects.files(moved.lake))}
    assert "earlier versions of objects" in certificate.not_covered[-1]
    assert not any(key.encode() in body for body in _bodies(client, moved))
    assert key not in lake.read(moved.lake, "raw_events")["user_key"].to_pylist()
    assert lake.read(moved.lake, "raw_events").num_rows < lake.read(local.lake, "raw_events").num_rows
    for table, version in certificate.lake_versions.items():
        entries = [info.base_name for info in objects.files(moved.lake / table, "_delta_log") if info.base_name[0].isdigit()]
        assert {int(name.split(".")[0]) for name in entries} == {version}


def _bodies(client: Any, settings: Settings) -> list[bytes]:
    prefix = str(settings.lake).removeprefix("s3://lakes/")
    names = [entry["Key"] for entry in client.list_objects_v2(Bucket="lakes", Prefix=prefix)["Contents"]]
    return [client.get_object(Bucket="lakes", Key=name)["Body"].read() for name in names]


@pytest.mark.long
def test_what_was_replaced_goes_and_every_row_stays(moved: Settings) -> None:
    day = dt.date(2024, 1, 10)
    write.feature(moved, "user_tabular", day, day + dt.timedelta(days=1))
    before, rows = replaced.VERSIONS.size(moved), hashes(moved)
    now = max(info.mtime.timestamp() for info in objects.files(moved.lake)) + 30 * 86_400
    pieces = list(replaced.VERSIONS.find(moved, now))
    assert sum(piece.counts for piece in pieces) > 0
    for piece in pieces:
        piece.remove()
    assert replaced.VERSIONS.size(moved) < before
    assert not list(replaced.VERSIONS.find(moved, now))
    assert hashes(moved) == rows


def test_a_backup_has_the_lake_as_files_and_comes_back_as_a_home_that_has_it(
    away: Settings, lakes: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.write(away, tmp_path / "copy.tar")
    before = hashes(away)
    suppression.add(away, ("u2",), "moved")
    monkeypatch.setenv(lake_place.SETTING, lakes[1])
    restored = restore.restore(tmp_path / "copy.tar", tmp_path / "home", since=away.home)
    assert restored.suppressed == 1
    with pytest.raises(BadInput, match=r"FOUND_LAKE_URI is set, and the lake .* lies in its folder: `found move-lake --home"):
        Settings.load(tmp_path / "home")
    monkeypatch.delenv(lake_place.SETTING)
    back = Settings.load(tmp_path / "home")
    assert back.lake == tmp_path / "home" / "lake"
    assert {name: value for name, value in hashes(back).items() if name in before} == before


def test_a_lake_moves_whole_and_once(
    local: Settings, lakes: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(shutil.copytree(local.home, tmp_path / "home"))
    command = ("move-lake", "--home", place)
    assert "Say where to: FOUND_LAKE_URI=s3://" in call_found(*command).err
    monkeypatch.setenv(lake_place.SETTING, lakes[1])
    outcome = call_found(*command)
    assert outcome.status == 0, outcome.err
    assert "each read back, lie at s3://lakes/of-tests/found_" in outcome.out
    monkeypatch.delenv(lake_place.SETTING)
    assert "already" in call_found(*command).out
    moved = Settings.load(place, secret="ab" * 16)
    assert isinstance(moved.lake, Away)
    assert not (place / "lake").exists()
    assert hashes(moved) == hashes(local)
    rows = [row for row in audit.entries(moved) if row["action"] == "move lake"]
    assert [json.loads(row["question"])["files"] for row in rows] == [0, len(objects.files(local.lake))]
    assert [path.name for path in place.rglob("*") if path.is_file() and LAKE_PASSWORD.encode() in path.read_bytes()] == []


def test_a_move_that_fails_leaves_the_home_as_it_was_and_nothing_there(
    local: Settings, lakes: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Settings.load(Path(shutil.copytree(local.home, tmp_path / "home")), secret="ab" * 16, lake_uri=lakes[1], moving=True)
    files = objects.files(copy.home / "lake")

    def broken(away: Away, folder: Path, path: str) -> None:
        if path == files[5].path:
            raise OSError("the connection was reset")
        return before(away, folder, path)

    before = moving_lake._copy
    monkeypatch.setattr(moving_lake, "_copy", broken)
    with pytest.raises(JobFailed, match=r"cannot be used: the connection was reset\. Look at AWS_ENDPOINT_URL"):
        moving_lake.move(copy)
    destination = Away(lake_place.address(copy.home, lakes[1]), copy.home)
    assert objects.files(destination) == []
    assert [info.path for info in objects.files(copy.home / "lake")] == [info.path for info in files]
    # killed while it copied: nobody has cleaned up, and whoever erases is told where else users lie
    monkeypatch.setattr(objects, "remove_all", lambda place: None)
    with pytest.raises(JobFailed):
        moving_lake.move(copy)
    monkeypatch.undo()
    tenancy.note(copy.home, tenancy.LAKE, str(destination))
    assert objects.files(destination) != []
    alone = Settings.load(copy.home, secret="ab" * 16)
    with pytest.raises(BadInput, match=r"also lie on the object store s3://lakes/.*: set FOUND_LAKE_URI to it"):
        erasure.erase(alone, ("u1",))
    moving_lake.move(copy)
    assert hashes(alone) == hashes(local)


def test_a_store_that_lets_two_writers_win_is_refused_before_anything_is_written(
    losing: None, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"loses commits: \d writers .* and it has \d\. .* honour `If-None-Match: \*`"):
        lake_of(tmp_path / "home", source, **CHANGES, lake_uri="s3://lakes/lost")
    settings = Settings.load(tmp_path / "home", lake_uri="s3://lakes/lost")
    assert objects.files(settings.lake) == []
    (finding,) = condition.objects_of_lake(settings)
    assert "loses commits" in finding.problem
    monkeypatch.setenv(objects.UNSAFE, "true")
    with pytest.raises(BadInput, match=r"AWS_S3_ALLOW_UNSAFE_RENAME is set"):
        lake.tables(settings.lake)


def test_a_store_that_is_in_order_passes_and_keeps_nothing_of_the_race(away: Settings) -> None:
    objects.race(away.lake)
    assert list(condition.objects_of_lake(away)) == []
    assert not [info.path for info in objects.files(away.lake) if objects.PROBE in info.path]


def test_what_cannot_be_used_is_said_without_a_credential(lakes: tuple[Any, str], tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", lake_uri="s3://no-such-bucket/lakes")
    with pytest.raises(
        JobFailed, match=r"^The lake s3://no-such-bucket/lakes/found_\w+ at http://127.* cannot be used: "
    ) as refused:
        lake.append(settings.lake, "t", pa.table({"n": [1]}), schema=pa.schema([("n", pa.int64())]))
    assert LAKE_PASSWORD not in str(refused.value)
    (finding,) = condition.objects_of_lake(settings)
    assert "no-such-bucket" in finding.problem
    with pytest.raises(BadInput, match=r"lake_uri .* is not what it must be") as refused:
        Settings.load(tmp_path / "other", lake_uri=f"s3://someone:{LAKE_PASSWORD}@lakes/of-tests")
    assert LAKE_PASSWORD not in str(refused.value)


def test_a_home_and_a_setting_that_do_not_belong_together_are_refused(away: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"FOUND_LAKE_URI is s3://elsewhere, and the lake .* lies at s3://lakes/of-tests/found_"):
        Settings.load(away.home, lake_uri="s3://elsewhere")
    with pytest.raises(BadInput, match=r"the engine sc://localhost reads and writes files of the home: set FOUND_ENGINE=duckdb"):
        Settings.load(away.home, engine="sc://localhost")
    copy = Path(shutil.copytree(away.home, tmp_path / "copy"))
    (copy / tenancy.FILE).unlink()
    with pytest.raises(BadInput, match=r"is that of the home that .*copy was copied from, and two homes must not write"):
        Settings.load(copy)
    tenancy.number(copy)
    with pytest.raises(BadInput, match=r"two homes must not write"):
        Settings.load(copy)
    (copy / lake_place.MARKER).write_text(json.dumps({"uri": "nowhere"}))
    with pytest.raises(BadInput, match=r"lake\.json is damaged"):
        Settings.load(copy)


def test_who_waited_to_write_into_a_lake_that_moved_meanwhile_writes_nothing(moved: Settings) -> None:
    row = pa.table({"n": [1]})
    with pytest.raises(JobFailed, match=r"has moved to object storage: run this again"):
        lake.append(moved.home / "lake", "t", row, schema=row.schema)
    assert not (moved.home / "lake").exists()


def test_a_move_that_was_killed_before_the_files_went_is_ended(moved: Settings, local: Settings) -> None:
    shutil.copytree(local.home / "lake", moved.home / "lake")
    with pytest.raises(BadInput, match=r"its move there was broken off .*: `found move-lake --home .*` ends it"):
        Settings.load(moved.home)
    assert moving_lake.move(Settings.load(moved.home, moving=True)).files == 0
    assert not (moved.home / "lake").exists()
    assert hashes(Settings.load(moved.home)) == hashes(local)


def test_a_table_of_an_older_layout_gets_columns_and_the_layout_of_now(lakes: tuple[Any, str], tmp_path: Path) -> None:
    place = Away(f"{lakes[1]}/older", tmp_path)
    days = [dt.date(2024, 1, 1 + i) for i in range(3)]
    rows = pa.table(
        {"event_date": days, "user_key": ["a", "b", "c"]}, pa.schema([("event_date", pa.date32()), ("user_key", pa.string())])
    )
    lake.replace(place, "t", rows, schema=rows.schema, partition_by=("event_date",))
    with lake.connect() as con:
        lake.view(con, "t", place, "t")
        assert con.execute("SELECT user_key FROM t WHERE event_date = DATE '2024-01-02'").fetchall() == [("b",)]
    schema = rows.schema.append(pa.field("city", pa.string()))
    lake.add_columns(place, "t", schema)
    changed = pa.table({"event_date": days[2:], "user_key": ["d"], "city": ["Basel"]}, schema)
    daily.replace_days(place, "t", changed, days[2], days[2] + dt.timedelta(days=1), schema=schema)
    assert lake.opened(place, "t").metadata().partition_columns == []
    with lake.connect() as con:
        lake.view(con, "t", place, "t")
        assert con.execute("SELECT user_key, city FROM t ORDER BY 1").fetchall() == [("a", None), ("b", None), ("d", "Basel")]
    assert daily.last_day(place, "t") == days[2]
