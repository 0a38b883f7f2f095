"""The online store in Redis: the same rows as in the home, nothing lost in silence, nobody left behind, no password anywhere."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pytest
from conftest import at, lake_of, write_source
from random_events import random_events
from servers import REDIS_PASSWORD

from dagster_defs import staleness
from found_platform import erasure, feature_store, lake, tenancy
from found_platform.erasure import files
from found_platform.errors import BadInput, JobFailed
from found_platform.feature_store import online_redis
from found_platform.features import write
from found_platform.housekeeping import condition
from found_platform.privacy import keys
from found_platform.settings import Settings

pytestmark = pytest.mark.slow

DAY = dt.timedelta(days=1)
MOMENT = at("2024-01-12", "00:00:00")


@pytest.fixture
def url(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`FOUND_REDIS_URL` is set, to an empty database."""
    monkeypatch.setenv(online_redis.SETTING, redis_url)
    online_redis.client(redis_url).flushdb()
    yield redis_url
    online_redis.client(redis_url).config_set("maxmemory", 0)


def shop(folder: Path) -> Settings:
    return lake_of(folder / "home", write_source(folder, random_events(9, users=4, days=20)), lookback_days=6)


def users_of(settings: Settings) -> list[str]:
    secret = keys.home_secret(settings)
    return [keys.user_key(secret, user) for user in ("u0", "u1", "u2", "u3", "nobody")]


def same_as_history(settings: Settings, moment: dt.datetime) -> None:
    users = users_of(settings)
    online, offline = feature_store.online(settings, users), feature_store.history(settings, users, [moment] * len(users))
    for name in offline.column_names[2:]:
        assert online[name] == offline[name].to_pylist(), name


def test_it_says_what_history_says_also_of_a_day_that_was_made_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUND_SECRET", "ab" * 16)  # both homes have the same users
    settings = shop(tmp_path)
    contents = {f"2024-01-{d:02d}": str(d) for d in range(1, 21)}
    assert feature_store.materialize_online(settings, MOMENT, contents) == 4
    same_as_history(settings, MOMENT)
    feature_store.materialize_online(settings, MOMENT + 2 * DAY, contents)  # goes on
    same_as_history(settings, MOMENT + 2 * DAY)
    events = [event for event in random_events(9, users=4, days=20) if event["user_id"] != "u1" or event["text"] != "text 3"]
    again = lake_of(tmp_path / "again", write_source(tmp_path / "again", events), lookback_days=6)
    for table in feature_store.VIEWS:  # the same days and moments, other rows
        rows = lake.read(again.lake, table)
        lake.replace(settings.lake, table, rows, schema=write.schema(settings, table))
    feature_store.materialize_online(settings, MOMENT + 2 * DAY, {})
    same_as_history(settings, MOMENT + 2 * DAY)
    assert not (settings.home / "feast" / "online.db").exists(), "two copies of the newest features, one of which nobody reads"


def test_who_has_no_rows_any_more_is_in_no_store_that_is_filled_anew(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = shop(tmp_path)
    here = settings.model_copy(update={"redis_url": None})
    gone, *others = users_of(settings)[:4]
    feature_store.materialize_online(settings, MOMENT, {})
    for table in feature_store.VIEWS:
        rows = lake.read(settings.lake, table)
        lake.replace(settings.lake, table, rows.filter(pc.not_equal(rows["user_key"], gone)), schema=write.schema(settings, table))
    feature_store.materialize_online(settings, MOMENT, {"2024-01-01": "another"})
    store = online_redis.of(settings)
    assert store is not None
    assert {keys.key_in(name) for name, _ in store.users()} == set(others)
    same_as_history(settings, MOMENT)

    # the same of the store of a home, which holds the user who came back
    monkeypatch.delenv(online_redis.SETTING)
    for table in feature_store.VIEWS:
        lake.open_table(here.lake, table).restore(lake.version(here.lake, table) - 1)
    feature_store.materialize_online(here, MOMENT, {})
    assert gone.encode() in (here.home / "feast" / "online.db").read_bytes()
    for table in feature_store.VIEWS:
        lake.open_table(here.lake, table).restore(lake.version(here.lake, table) - 1)
    feature_store.materialize_online(here, MOMENT, {"2024-01-01": "another"})
    same_as_history(here, MOMENT)
    assert gone.encode() not in (here.home / "feast" / "online.db").read_bytes()


@pytest.mark.long
def test_homes_share_a_database_and_their_users_expire(url: str, tmp_path: Path) -> None:
    one, other = shop(tmp_path / "one"), shop(tmp_path / "other")
    for settings in (one, other):
        feature_store.materialize_online(settings, MOMENT, {})
    stores = [online_redis.of(settings) for settings in (one, other)]
    counts = [sum(1 for _ in store.users()) for store in stores if store]
    assert counts == [4, 4]
    server = online_redis.client(url)
    stored = set(server.scan_iter())
    assert len(stored) == 10, "four users and a mark each"
    for key in stored:
        assert 6 * 86_400 < server.ttl(key) <= 7 * 86_400, "the lookback, and a day"
    same_as_history(one, MOMENT)


@pytest.mark.long
def test_a_server_that_lost_its_memory_is_told_and_filled_again(url: str, tmp_path: Path) -> None:
    settings = shop(tmp_path)
    assert not staleness.files_exist(settings, "online_features", "")
    feature_store.materialize_online(settings, MOMENT, {})
    assert staleness.files_exist(settings, "online_features", "")
    assert list(condition.newest_features(settings)) == []
    online_redis.client(url).flushdb()
    assert not staleness.files_exist(settings, "online_features", "")
    (finding,) = condition.newest_features(settings)
    assert "does not hold the newest features of this home" in finding.problem
    with pytest.raises(BadInput, match=r"are not in Redis at 127\.0\.0\.1:\d+/3: materialise `online_features`"):
        feature_store.online(settings, users_of(settings))
    feature_store.materialize_online(settings, MOMENT, {})
    same_as_history(settings, MOMENT)


@pytest.mark.long
def test_who_goes_back_to_the_home_finds_nothing_old_there(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = shop(tmp_path)
    feature_store.materialize_online(settings, MOMENT, {})
    monkeypatch.delenv(online_redis.SETTING)
    here = Settings.load(settings.home)
    with pytest.raises(BadInput, match="are not in the home, and FOUND_REDIS_URL is not set"):
        feature_store.online(here, users_of(here))
    assert not staleness.files_exist(here, "online_features", "")
    feature_store.materialize_online(here, MOMENT, {})
    same_as_history(here, MOMENT)
    assert not feature_store.is_filled(settings), "and Redis is old from now on"


def test_a_server_that_throws_users_away_is_refused(url: str, tmp_path: Path) -> None:
    settings, server = shop(tmp_path), online_redis.client(url)
    server.config_set("maxmemory", "64mb")
    server.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(JobFailed, match="set its maxmemory-policy to noeviction"):
        feature_store.materialize_online(settings, MOMENT, {})
    assert [finding.check for finding in condition.newest_features(settings)] == ["online store"]
    server.config_set("maxmemory-policy", "noeviction")
    server.config_set("maxmemory", "1")  # it takes nothing any more
    with pytest.raises(JobFailed, match="command not allowed when used memory") as refused:
        feature_store.materialize_online(settings, MOMENT, {})
    assert not any(user in str(refused.value) for user in users_of(settings)), "a command that failed names its user"


def test_the_password_reaches_no_file_and_no_message(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = shop(tmp_path)
    settings.keep()
    feature_store.materialize_online(settings, MOMENT, {})
    for path in files.every(settings.home):
        assert not any(word.encode() in path.read_bytes() for word in (REDIS_PASSWORD, "hunter2", "redis_url")), path
    addresses = {
        url.replace("hunter2", "hunter3"): "invalid username-password pair",
        "redis://:p/hunter2@127.0.0.1:1/0": "FOUND_REDIS_URL is no address",
        "redis://:hunter2@127.0.0.1:1/0": "Connection refused",
        "http://:hunter2@127.0.0.1:1/0": "FOUND_REDIS_URL",
    }
    for address, words in addresses.items():
        monkeypatch.setenv(online_redis.SETTING, address)
        with pytest.raises((BadInput, JobFailed), match=words) as refused:
            feature_store.online(Settings.load(settings.home), users_of(settings))
        assert "hunter" not in str(refused.value)


def test_an_erasure_reaches_redis_and_its_certificate_says_what_was_looked_at(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [{"user_id": f"customer-{i}", "event_time": at(f"2024-01-0{d}"), "text": "tea"} for i in range(4) for d in (1, 2, 3)]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, events))
    feature_store.materialize_online(settings, at("2024-01-04", "00:00:00"), {})
    store = online_redis.of(settings)
    assert store is not None
    monkeypatch.delenv(online_redis.SETTING)
    with pytest.raises(BadInput, match=r"also lie on the Redis database 127.*until they expire on .*: set FOUND_REDIS_URL to it"):
        erasure.erase(Settings.load(settings.home), ("customer-1",))
    monkeypatch.setenv(online_redis.SETTING, url)
    kept = erasure.kept(settings, "customer-1")
    assert f"the Redis database {store.place}" in kept.files
    (tmp_path / "events.parquet").unlink()
    write_source(tmp_path, [e for e in events if e["user_id"] != "customer-1"])
    document = json.loads(erasure.erase(settings, ("customer-1",)).path.read_text())
    secret = keys.home_secret(settings)
    left = b"".join(key for key, _ in store.users())
    assert [keys.user_key(secret, f"customer-{i}").encode() in left for i in range(4)] == [True, False, True, True]
    assert document["steps"]["online store"] == {"online store in Redis": 1}
    assert document["searched"]["servers"] == {"users in Redis": 3}
    assert any("Redis" in words for words in document["not_covered"])


def test_a_place_that_is_left_is_noted_until_its_users_expire(tmp_path: Path) -> None:
    tenancy.note(tmp_path, tenancy.REDIS, "old:6379/0", "2020-01-01T00:00:00+00:00")
    tenancy.check_all_reached(tmp_path, {})
    tenancy.note(tmp_path, tenancy.MILVUS, "http://old:19530")
    tenancy.check_all_reached(tmp_path, {tenancy.MILVUS: "http://old:19530"})
    with pytest.raises(BadInput, match=r"set FOUND_MILVUS_URI to it\. Where that server is gone"):
        tenancy.check_all_reached(tmp_path, {tenancy.MILVUS: "http://new:19530"})
    number = tenancy.number(tmp_path)
    assert number == tenancy.number(tmp_path)
    (tmp_path / tenancy.FILE).write_text("{")
    with pytest.raises(BadInput, match="is damaged"):
        tenancy.number(tmp_path)


def test_rows_of_old_snapshots_go_but_those_of_persons_who_are_kept(url: str, tmp_path: Path) -> None:
    events = [
        event for event in random_events(9, users=4, days=20) if event["user_id"] != "u1" or event["event_time"] < MOMENT - 4 * DAY
    ]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, events), lookback_days=6)
    feature_store.materialize_online(settings, MOMENT, {})
    redis, all_users = online_redis.of(settings), users_of(settings)
    assert redis is not None
    before = {keys.key_in(key): values for key, values in redis.users()}
    stamped = {key: sum(field.startswith(b"_ts:") for field in values) for key, values in before.items()}
    assert feature_store.let_go_online(settings, MOMENT - 3 * DAY, lambda _: all_users) == 0, "everybody is kept"
    went = feature_store.let_go_online(settings, MOMENT - 3 * DAY, lambda _: all_users[:1])
    left = {keys.key_in(key): values for key, values in redis.users()}
    assert left[all_users[0]] == before[all_users[0]]
    assert 0 < went == sum(stamped.values()) - sum(field.startswith(b"_ts:") for values in left.values() for field in values)
    assert left[all_users[1]].keys() < before[all_users[1]].keys(), "an old sequence goes, a newer row of activity stays"
    assert feature_store.let_go_online(settings, MOMENT, lambda _: ()) > 0
    assert not list(redis.users())
