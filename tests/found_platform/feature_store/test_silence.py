"""The silent, who have a row on grid days alone, are read as if they had one on every day."""

import contextlib
import datetime as dt
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conftest import at, lake_of, write_source

from found_platform import contract, daily, engine, feature_store, lake
from found_platform.contract import SPARSE, grid_day, midnight
from found_platform.features import checks, write
from found_platform.privacy import keys, retention
from found_platform.settings import Settings

DAY = dt.timedelta(days=1)
FIRST, LAST = dt.date(2024, 1, 1), dt.date(2024, 4, 24)
GRID = dt.date(2024, 2, 15)
FEATURES = [*(f.name for f in contract.ACTIVITY_FEATURES), "city"]
KEYS = [("event_date", "ascending"), ("user_key", "ascending"), ("created_timestamp", "ascending")]


def events_of(seed: int) -> list[dict]:
    """Of users who come seldom: acts, exposures, things brought back; some arrive late, one user is known by that alone."""
    rng = np.random.default_rng(seed)
    events = []
    for user in range(24):
        last = int(rng.choice([3, 20, 45, 60, 114]))
        for day in sorted(rng.integers(0, last + 1, int(rng.integers(1, 5)))):
            time = midnight(FIRST) + int(day) * DAY + dt.timedelta(hours=int(rng.integers(24)))
            kind = rng.random()
            event = {"user_id": f"u{user}", "event_time": time, "text": "tea", "category": str(rng.choice(["food", "pets"]))}
            event |= {"exposure": bool(kind < 0.3), "amount": -2.5 if kind > 0.85 else 3.25}
            if rng.random() < 0.25:
                event["arrived_at"] = time + dt.timedelta(hours=int(rng.integers(24 * 40)))
            events.append(event)
    # silences that begin and end on a grid day and beside it
    for n, shift in enumerate((-1, 0, 1)):
        for day in (GRID + (shift - 10) * DAY, GRID + shift * DAY, GRID + (28 + shift) * DAY):
            events.append({"user_id": f"v{n}", "event_time": midnight(day), "text": "tea", "amount": 1.0})
    return [*events, {"user_id": "end", "event_time": midnight(LAST), "text": "tea"}]


def profile_of(seed: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    days = [(f"u{u}", int(d)) for u in range(0, 24, 2) for d in rng.integers(0, 114, 2)]
    rows = [{"user_id": u, "as_of": midnight(FIRST + d * DAY), "city": str(rng.choice(["Ulm", "Bonn"]))} for u, d in days]
    return [*rows, {"user_id": "v0", "as_of": at(f"{GRID}"), "city": "Kiel"}]


def home_of(folder: Path, lookback: int, seed: int) -> Settings:
    source = write_source(folder, events_of(seed), profile_of(seed))
    return lake_of(folder / "home", source, lookback_days=lookback)


def with_everybody(settings: Settings, folder: Path) -> Settings:
    """The same home as it was made before there were grid days: a home that lets days go still is."""
    home = shutil.copytree(settings.home, folder)
    other = settings.model_copy(update={"home": home})
    retention.keep_from(other, FIRST)
    write.feature(other, SPARSE, FIRST, LAST + DAY)
    (home / "retention.json").unlink()
    return other


@pytest.fixture(scope="module", params=[(5, 0), (40, 1)], ids=lambda p: f"lookback {p[0]}")
def homes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Settings]:
    """The same home with grid days, and with everybody's row on every day."""
    folder = tmp_path_factory.mktemp("silence")
    settings = home_of(folder, *request.param)
    return settings, with_everybody(settings, folder / "everybody")


def some_days() -> list[dt.date]:
    """Of every kind: grid days, those beside them, those that a mixture begins with."""
    days = contract.days_between(FIRST, LAST + DAY)
    return sorted({*days[::9], days[-1], *(GRID + n * DAY for n in (-1, 0, 1, 8, 9, 27, 28, 29))})


def snapshots(settings: Settings, days: list[dt.date]) -> list[pa.Table]:
    columns = write.schema(settings, SPARSE).names
    return [feature_store.snapshot(settings, SPARSE, day, columns) for day in days]


def by_expression(settings: Settings, asked: list[tuple[str, dt.datetime]]) -> list[dict]:
    """What an engine gives for a spine, in its order."""
    user_keys, moments = zip(*asked, strict=True)
    spine = pa.table({"user_key": list(user_keys), "moment": pa.array(moments, contract.TIMESTAMP)})
    with contextlib.closing(engine.of(settings)) as opened:
        for view in feature_store.VIEWS:
            opened.table(view, lake.version(settings.lake, view))
        opened.rows("asked", spine)
        rows = feature_store.history_expression(settings, engine.table_of("asked", spine.schema)).order_by("user_key", "moment")
        answered = opened.read(rows.rename(event_timestamp="moment")).read_all()
    return answered.select(["user_key", "event_timestamp", *FEATURES]).to_pylist()


def users_of(settings: Settings) -> list[str]:
    secret = keys.home_secret(settings)
    return [keys.user_key(secret, user) for user in sorted({e["user_id"] for e in events_of(0)})]


def test_every_day_has_the_rows_of_everybody(homes: tuple[Settings, Settings]) -> None:
    sparse, full = homes
    rows, all_rows = (lake.read(s.lake, SPARSE).num_rows for s in homes)
    assert rows < 0.8 * all_rows
    for day, some, everybody in zip(some_days(), snapshots(sparse, some_days()), snapshots(full, some_days()), strict=True):
        assert some.equals(everybody), day
    # rows of all versions but the silent's own are there as they were
    ours, theirs = ({tuple(r.values()) for r in lake.read(s.lake, SPARSE).to_pylist()} for s in homes)
    assert ours < theirs


def test_every_moment_sees_the_rows_of_everybody(homes: tuple[Settings, Settings]) -> None:
    sparse, full = homes
    rng = np.random.default_rng(3)
    users = users_of(sparse)
    moments = sorted({(u, midnight(FIRST) + int(h) * dt.timedelta(hours=12)) for u in users for h in rng.integers(-2, 2 * 117, 30)})
    histories = [feature_store.history(s, *map(list, zip(*moments, strict=True))) for s in (sparse, full)]
    assert histories[0].equals(histories[1])
    assert by_expression(sparse, moments) == histories[1].select(["user_key", "event_timestamp", *FEATURES]).to_pylist()
    assert histories[0]["events_lookback"].null_count < len(moments)
    assert 0 in histories[0]["events_lookback"].to_pylist()


def test_the_online_store_has_the_rows_of_everybody(homes: tuple[Settings, Settings], tmp_path: Path) -> None:
    """Filled anew, and going on."""
    sides = []
    for settings in homes:
        home = shutil.copytree(settings.home, tmp_path / str(len(sides)))
        copy, values = settings.model_copy(update={"home": home}), []
        for day in (LAST - 20 * DAY, LAST - 5 * DAY, LAST - 4 * DAY, LAST + DAY):
            count = feature_store.materialize_online(copy, midnight(day), {})
            values.append((count, feature_store.online(copy, users_of(copy))))
        sides.append(values)
    assert sides[0] == sides[1]


def test_a_day_by_itself_has_the_rows_of_the_range_and_brings_its_grid_day(
    homes: tuple[Settings, Settings], tmp_path: Path
) -> None:
    sparse, full = homes
    alone = sparse.model_copy(
        update={"home": shutil.copytree(sparse.home, tmp_path / "alone", ignore=shutil.ignore_patterns(SPARSE))}
    )
    day = GRID + 9 * DAY
    write.feature(alone, SPARSE, day, day + DAY)
    assert daily.day_hashes(alone.lake, SPARSE, FIRST, LAST).keys() == {str(GRID), str(day)}
    for some in (GRID, day):
        write.feature(alone, SPARSE, some, some + DAY)
        end = some + DAY
        assert daily.day_hashes(alone.lake, SPARSE, some, end) == daily.day_hashes(sparse.lake, SPARSE, some, end)
    assert snapshots(alone, [day])[0].equals(snapshots(full, [day])[0])
    # of a day that was not made nothing is known
    assert snapshots(alone, [day + DAY])[0].num_rows == 0
    moments = [midnight(day + n * DAY) for n in (0, 1, 2, 3)]
    counts = feature_store.history(alone, [users_of(alone)[1]] * 4, moments)["events_lookback"].to_pylist()
    assert [value is None for value in counts] == [True, False, False, True]


def test_days_of_before_and_days_since_are_read_together(homes: tuple[Settings, Settings], tmp_path: Path) -> None:
    sparse, full = homes
    for name, start, end in (("old", FIRST, GRID + 9 * DAY), ("new", GRID + 9 * DAY, LAST + DAY)):
        mixed = full.model_copy(update={"home": shutil.copytree(full.home, tmp_path / name)})
        rows = lake.read(sparse.lake, SPARSE, lake.days_where(start, end))
        daily.replace_days(mixed.lake, SPARSE, rows, start, end, schema=rows.schema)
        assert all(a.equals(b) for a, b in zip(snapshots(mixed, some_days()), snapshots(full, some_days()), strict=True)), name


def test_the_check_knows_who_rests_on_a_grid_day(homes: tuple[Settings, Settings], tmp_path: Path) -> None:
    for settings in homes:
        assert checks.one_row_for_every_user(settings, FIRST, LAST + DAY) == (
            True,
            "0 days have missing, repeated or impossible rows",
        )
    home = shutil.copytree(homes[0].home, tmp_path / "home")
    broken = homes[0].model_copy(update={"home": home})
    rows = lake.read(broken.lake, SPARSE, lake.days_where(GRID, GRID + DAY))
    own = lake.read(broken.lake, SPARSE, lake.days_where(GRID + 27 * DAY, GRID + 28 * DAY))["user_key"]
    rows = rows.filter(pc.is_in(rows["user_key"], own))  # without those who rest on them
    daily.replace_days(broken.lake, SPARSE, rows, GRID, GRID + DAY, schema=rows.schema)
    assert not checks.one_row_for_every_user(broken, GRID + DAY, GRID + 28 * DAY)[0]


def test_a_home_that_lets_days_go_writes_everybody_again(homes: tuple[Settings, Settings], tmp_path: Path) -> None:
    """Who was known by a grid day may be forgotten by a later one that is made then."""
    sparse, full = homes
    copy = sparse.model_copy(update={"home": shutil.copytree(sparse.home, tmp_path / "home")})
    first = GRID + 4 * DAY
    feature_store.stand_alone(copy, first)
    retention.keep_from(copy, first)
    empty = write.schema(copy, SPARSE).empty_table()
    daily.replace_days(copy.lake, SPARSE, empty, FIRST, first, schema=empty.schema)
    versions = [lake.read(s.lake, SPARSE, lake.days_where(first, LAST + DAY)).sort_by(KEYS) for s in (copy, full)]
    assert versions[0].equals(versions[1])
    forgotten = versions[0]["user_key"][0].as_py()
    day = GRID + 29 * DAY
    rows = lake.read(copy.lake, SPARSE, lake.days_where(day, day + DAY))
    rows = rows.filter(pc.not_equal(rows["user_key"], forgotten))
    daily.replace_days(copy.lake, SPARSE, rows, day, day + DAY, schema=rows.schema)
    assert forgotten not in feature_store.snapshot(copy, SPARSE, day, ["user_key"])["user_key"].to_pylist()


def test_grid_days_do_not_depend_on_the_days_there_are() -> None:
    assert [grid_day(GRID + n * DAY) - GRID for n in (-1, 0, 1, 27, 28)] == [-28 * DAY, 0 * DAY, 0 * DAY, 0 * DAY, 28 * DAY]
