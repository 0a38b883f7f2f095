"""Feast: points in time, spine order, TTL, pinned versions, and the online store against the offline one."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import at, lake_of, write_source
from random_events import random_events

from found_platform import contract, feature_store, lake
from found_platform.errors import BadInput
from found_platform.feature_store import access
from found_platform.features import write
from found_platform.home import is_free
from found_platform.privacy import keys
from found_platform.settings import Settings
from found_platform.training_data import training_set


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("store")
    profile = [{"user_id": f"u{i}", "age": 20 + i} for i in range(3)]
    return lake_of(folder / "home", write_source(folder, random_events(7, users=4, days=20), profile), lookback_days=6)


def key(settings: Settings, user: str) -> str:
    return keys.user_key(keys.home_secret(settings), user)


@pytest.mark.slow
def test_history_keeps_the_spine_order_repeats_and_unknown_users(home: Settings) -> None:
    users = ["u2", "u0", "nobody", "u1", "u0"]
    moments = [at(f"2024-01-{d}", "00:00:00") for d in (12, 10, 12, 10, 12)]
    rows = feature_store.history(home, [key(home, u) for u in users], moments)
    assert rows["user_key"].to_pylist() == [key(home, u) for u in users]
    assert rows["event_timestamp"].to_pylist() == moments
    assert rows["events_28d"].to_pylist()[2] is None
    assert rows["age"].to_pylist() == [22, 20, None, 21, 20]


def test_several_who_ask_at_once_each_find_the_feature_service(home: Settings) -> None:
    users, moments = [key(home, "u0")], [at("2024-01-12", "00:00:00")]
    with ThreadPoolExecutor(6) as pool:
        histories = [*pool.map(lambda _: feature_store.history(home, users, moments).to_pylist(), range(12))]
    assert histories == [histories[0]] * 12


def test_the_registry_is_read_while_nobody_writes_it(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Feast reads its file again for the views of a history, and finds half of it where another thread writes it meanwhile."""
    from feast.infra.registry.registry import Registry

    free, read = [], Registry.get_any_feature_view

    def watched(registry: Registry, *arguments: Any, **options: Any) -> Any:
        free.append(is_free(home.home, access.REGISTRY_LOCK))
        return read(registry, *arguments, **options)

    monkeypatch.setattr(Registry, "get_any_feature_view", watched)
    feature_store.history(home, [key(home, "u0")], [at("2024-01-12", "00:00:00")])
    assert free
    assert not any(free)


def test_a_moment_sees_its_snapshot_and_a_microsecond_earlier_the_one_before(home: Settings) -> None:
    snapshots = {r["event_date"]: r for r in lake.read(home.lake, "user_tabular").to_pylist() if r["user_key"] == key(home, "u0")}
    moment = at("2024-01-11", "00:00:00")
    for when, day in ((moment, 10), (moment - dt.timedelta(microseconds=1), 9)):
        (row,) = feature_store.history(home, [key(home, "u0")], [when]).to_pylist()
        expected = snapshots[dt.date(2024, 1, day)]
        assert {f.name: row[f.name] for f in contract.ACTIVITY_FEATURES} == {
            f.name: expected[f.name] for f in contract.ACTIVITY_FEATURES
        }


def test_a_sequence_older_than_the_lookback_is_gone(tmp_path: Path) -> None:
    events = [
        {"user_id": "u", "event_time": at("2024-01-01"), "text": "tea"},
        {"user_id": "w", "event_time": at("2024-01-20"), "text": "x"},
    ]
    home = lake_of(tmp_path / "home", write_source(tmp_path, events), lookback_days=6)
    moments = [at("2024-01-02", "00:00:00"), at("2024-01-08", "00:00:00"), at("2024-01-09", "00:00:00")]
    rows = feature_store.history(home, [key(home, "u")] * 3, moments)
    assert [r is not None for r in rows["text_ids"].to_pylist()] == [True, True, False]
    assert [r is not None for r in rows["events_28d"].to_pylist()] == [True, True, True]


@pytest.mark.slow
def test_pinned_versions_are_read_even_after_a_rewrite(tmp_path: Path) -> None:
    home = lake_of(tmp_path / "home", write_source(tmp_path, random_events(8, days=10)))
    spine = ([key(home, "u1")], [at("2024-01-09", "00:00:00")])
    pinned = {view: lake.version(home.lake, view) for view in feature_store.VIEWS}
    before = feature_store.history(home, *spine, pinned)
    schema = write.schema(home, "user_tabular")
    lake.replace(home.lake, "user_tabular", schema.empty_table(), schema=schema, partition_by=("event_date",))
    assert feature_store.history(home, *spine, pinned).equals(before)
    assert feature_store.history(home, *spine)["events_28d"].to_pylist() == [None]


def test_online_and_offline_say_the_same_of_the_same_moment(home: Settings) -> None:
    moment = at("2024-01-18", "00:00:00")
    users = [key(home, u) for u in ("u0", "u1", "u2", "u3", "nobody")]
    assert feature_store.materialize_online(home, moment, {}) == 4
    same_online(home, users, moment)


def same_online(home: Settings, users: list[str], moment: dt.datetime) -> None:
    online = feature_store.online(home, users, moment)
    offline = feature_store.history(home, users, [moment] * len(users))
    for name in offline.column_names[2:]:
        assert online[name] == offline[name].to_pylist(), name


@pytest.mark.slow
def test_online_goes_on_from_where_it_was_and_starts_over_when_the_past_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = lake_of(tmp_path / "home", write_source(tmp_path, random_events(9, users=4, days=20)), lookback_days=6)
    users = [key(home, f"u{i}") for i in range(4)]
    contents = {f"2024-01-{d:02d}": str(d) for d in range(1, 21)}
    from feast import FeatureStore

    starts: list[dt.datetime] = []
    materialize = FeatureStore.materialize
    monkeypatch.setattr(FeatureStore, "materialize", lambda self, **k: (starts.append(k["start_date"]), materialize(self, **k))[1])
    changed = contents | {"2024-01-03": "again"}
    first, second, third = (at(f"2024-01-{d}", "00:00:00") for d in (10, 12, 14))
    for moment, seen, start in ((first, contents, 4), (second, contents, 10), (third, changed, 8)):
        starts.clear()
        feature_store.materialize_online(home, moment, seen)
        assert min(starts) == at(f"2024-01-{start:02d}", "00:00:00")
        assert feature_store.online_moment(home) == moment
        same_online(home, users, moment)


@pytest.mark.slow
def test_online_knows_a_late_event_from_its_arrival_on_as_history_does(tmp_path: Path) -> None:
    events = [{"user_id": "u", "event_time": at(f"2024-01-0{day}"), "text": "tea"} for day in range(1, 5)]
    events += [{"user_id": "other", "event_time": at("2024-01-09"), "text": "tea"}]
    events += [{"user_id": "u", "event_time": at("2024-01-03"), "text": "late", "arrived_at": at("2024-01-07")}]
    home = lake_of(tmp_path / "home", write_source(tmp_path, events))
    users = [key(home, "u"), key(home, "other")]
    lengths = []
    for day in (5, 6, 8, 10):  # filled on and on: no day's rows change in between
        moment = at(f"2024-01-{day:02d}", "00:00:00")
        feature_store.materialize_online(home, moment, {})
        same_online(home, users, moment)
        lengths.append(len(feature_store.online(home, users, moment)["times"][0]))
    assert lengths == [4, 4, 5, 5]


def test_online_values_older_than_the_ttl_are_gone(home: Settings) -> None:
    filled = at("2024-01-18", "00:00:00")
    feature_store.materialize_online(home, filled, {})
    user = [key(home, "u0")]
    assert feature_store.online(home, user, filled + dt.timedelta(days=1))["events_28d"] != [None]
    late = feature_store.online(home, user, filled + dt.timedelta(days=1, microseconds=1))
    assert late["events_28d"] == [None]  # a TTL of one day, both ends closed
    assert late["text_ids"] != [None]
    assert feature_store.online(home, user, filled + dt.timedelta(days=30))["text_ids"] == [None]


def test_the_registry_describes_owns_and_tags_every_object(home: Settings) -> None:
    feast = feature_store.apply(home)
    views = {v.name: v for v in feast.list_feature_views()}
    assert set(views) == set(feature_store.VIEWS)
    for thing in [*views.values(), *feast.list_feature_services(), *feast.list_entities()]:
        assert thing.description or thing.name.startswith("__")
    assert all(v.owner and v.tags and v.ttl for v in views.values())
    assert [s.name for s in feast.list_feature_services()] == [contract.FEATURE_SERVICE]
    assert "age" in {f.name for f in views["user_tabular"].features}
    assert all(f.description for v in views.values() for f in v.features if f.name != "age")


def test_past_cutoffs_leave_a_whole_horizon_and_start_after_the_data(home: Settings) -> None:
    cutoff = dt.date(2024, 1, 20)
    past = training_set.past_cutoffs(home, cutoff)
    assert past == [dt.date(2024, 1, 13)]  # horizon 7, and a grid of 14 days before the first day
    assert all(t1 + dt.timedelta(days=home.horizon_days) <= cutoff for t1 in past)
    with pytest.raises(BadInput, match="choose a later --cutoff"):
        training_set.past_cutoffs(home, dt.date(2024, 1, 8))


def test_the_training_set_holds_everybody_seen_before_each_past_cutoff_and_no_future(home: Settings) -> None:
    cutoff = dt.date(2024, 1, 20)
    written = training_set.build(home, cutoff)
    rows = lake.read(home.lake, "training_set").to_pylist()
    assert written.rows == len(rows) == training_set.users_seen(home, dt.date(2024, 1, 13)).num_rows
    for row in rows:
        end = row["event_timestamp"].timestamp() * 1e6
        assert row["event_timestamp"] == at("2024-01-13", "00:00:00")
        assert all(t < end for t in (row["times"] or []) + (row["search_times"] or []))
        assert row["fold"] == keys.fold(keys.user_ids(home, [row["user_key"]])[row["user_key"]])


@pytest.mark.slow
def test_of_the_online_store_rows_of_old_snapshots_go_and_no_others(tmp_path: Path) -> None:
    moment, day = at("2024-01-12", "00:00:00"), dt.timedelta(days=1)
    events = [e for e in random_events(9, users=4, days=20) if e["user_id"] != "u1" or e["event_time"] < moment - 4 * day]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, events), lookback_days=6)
    feature_store.materialize_online(settings, moment, {})
    users = [key(settings, f"u{i}") for i in range(4)]
    before = feature_store.online(settings, users)
    assert feature_store.let_go_online(settings, moment - 3 * day, lambda _: users) == 0, "everybody is kept"
    assert feature_store.let_go_online(settings, moment - 3 * day, lambda _: ()) > 0
    after = feature_store.online(settings, users)
    gone = {name for name in before if before[name] != after[name]}
    assert gone, "u1 has no sequence any more"
    assert all(before[name][i] == after[name][i] for name in gone for i in (0, 2, 3)), "the others did something since"
    assert after["events_28d"] == before["events_28d"], "a newer row of activity stays"
    assert feature_store.let_go_online(settings, moment, lambda _: ()) > 0
    assert feature_store.online(settings, users)["events_28d"] == [None] * 4
