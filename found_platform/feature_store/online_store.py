"""The online store: filled with the newest state of every user, and read. An SQLite file of the home, or Redis (`online_redis`).

What belongs here: when it is filled anew and when it goes on, and whether it is still what it was filled with.
`HOME/feast/online.json` says up to which moment it was filled, from which contents, and, of Redis, which filling that was: a server
that has lost its memory, or is another one, has another mark or none.
"""

import contextlib
import datetime as dt
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from found_platform import home, lake, tenancy
from found_platform.contract import FEATURE_SERVICE, SPARSE
from found_platform.errors import BadInput
from found_platform.feature_store import online_expiry, online_redis
from found_platform.feature_store.access import REGISTRY_LOCK, VIEWS, apply, snapshot_scanner, store
from found_platform.feature_store.online_expiry import IN_THE_HOME
from found_platform.settings import Settings


@dataclass(frozen=True)
class Filling:
    """What an online store was filled with. `mark` is its name in Redis; "" is the home's own store."""

    moment: dt.datetime
    contents: str
    mark: str


def materialize_online(settings: Settings, moment: dt.datetime, contents: Mapping[str, str]) -> int:
    """Fills the online store with the newest state of every user at `moment` (UTC). Returns the number of users.

    Args:
        contents: a hash of the feature rows of each day (YYYY-MM-DD). Where the days that the store was filled from are as they
            were, only what came after, or became known after, is taken; otherwise everything within the views' TTL.

    Raises JobFailed where a server cannot be used, or would not keep what it is given.
    """
    redis = online_redis.of(settings)
    if redis is not None:
        redis.check()
        kept_until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=redis.seconds)
        tenancy.note(settings.home, tenancy.REDIS, redis.place, kept_until.isoformat())
    feast = apply(settings)
    before = _present(settings)
    until = before.moment if before else moment
    goes_on = before is not None and until <= moment and before.contents == _digest(contents, until)
    for name in VIEWS:
        ttl = feast.get_feature_view(name).ttl
        assert ttl is not None
        start = max(moment - ttl, _news(settings, name, until, moment)) if goes_on else moment - ttl
        feast.materialize(start_date=start, end_date=moment, feature_views=[name])
        if not goes_on:
            online_expiry.let_go_of_others(settings, name, start, moment)
    mark = secrets.token_hex(8) if redis else ""
    if redis is not None:
        redis.mark(mark, renewed=not goes_on or until < moment)
    document = {"moment": moment.isoformat(), "contents": _digest(contents, moment), "filling": mark}
    home.write_whole(settings.home / "feast" / "online.json", json.dumps(document))
    if redis is not None:
        (settings.home / "feast" / IN_THE_HOME).unlink(missing_ok=True)  # nobody reads it any more
    return snapshot_scanner(settings, SPARSE, (moment - dt.timedelta(days=1)).date(), ["user_key"]).count_rows()


def _news(settings: Settings, table: str, since: dt.datetime, until: dt.datetime) -> dt.datetime:
    """The earliest `event_timestamp` of the versions created after `since` and by `until`; `since` itself where none is earlier."""
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "t", settings.lake, table)
    query = "SELECT min(event_timestamp) FROM t WHERE created_timestamp > ? AND created_timestamp <= ?"
    row = con.execute(query, [since, until]).fetchone()
    return min(since, row[0].astimezone(dt.UTC)) if row and row[0] else since


def _digest(contents: Mapping[str, str], moment: dt.datetime) -> str:
    """A hash of the contents of the days before a moment."""
    days = sorted((day, content) for day, content in contents.items() if day < str(moment.date()))
    return hashlib.sha256(json.dumps(days).encode()).hexdigest()[:16]


def _last(settings: Settings) -> Filling | None:
    """What the home notes of the last time that a store was filled, wherever that is."""
    path = settings.home / "feast" / "online.json"
    if not path.exists():
        return None
    document = json.loads(path.read_text())
    return Filling(dt.datetime.fromisoformat(document["moment"]), document["contents"], document.get("filling", ""))


def _present(settings: Settings) -> Filling | None:
    """The last filling, where the store that the settings name holds it."""
    last, redis = _last(settings), online_redis.of(settings)
    if last is None:
        return None
    if redis is None:
        return last if not last.mark and (settings.home / "feast" / IN_THE_HOME).exists() else None
    return last if last.mark and redis.filling() == last.mark else None


def was_filled(settings: Settings) -> bool:
    """Whether a store was ever filled for this home."""
    return _last(settings) is not None


def is_filled(settings: Settings) -> bool:
    """Whether the store holds what it was filled with last. Raises JobFailed where its server does not answer."""
    return _present(settings) is not None


def online_moment(settings: Settings) -> dt.datetime:
    """The moment (UTC) up to which the online store was filled. Raises BadInput when it does not hold that."""
    filling = _present(settings)
    if filling is not None:
        return filling.moment
    fill = "materialise `online_features` (`found demo` does) first."
    if _last(settings) is None:
        raise BadInput(f"The online store of {settings.home} is empty: {fill}")
    redis = online_redis.of(settings)
    where = f"in Redis at {redis.place}" if redis else f"in the home, and {online_redis.SETTING} is not set"
    raise BadInput(f"The newest features of {settings.home} are not {where}: {fill}")


def online(settings: Settings, user_keys: Sequence[str], moment: dt.datetime | None = None) -> dict[str, list[Any]]:
    """The online state of these users by feature name, in the order asked; nulls for an unknown user.

    A view's values are null where they are older than its TTL at `moment` (UTC; default: the moment the store was filled up to), as
    they are in the history: the store itself gives them for ever, or for longer.
    """
    redis = online_redis.of(settings)
    feast = store(settings)
    moment = moment or online_moment(settings)
    from feast.errors import FeatureServiceNotFoundException

    try:
        with home.lock(settings.home, REGISTRY_LOCK):
            service = feast.get_feature_service(FEATURE_SERVICE)
    except FeatureServiceNotFoundException:
        why = f"The feature store of {settings.home} has no service {FEATURE_SERVICE}"
        raise BadInput(f"{why}: `found demo` applies it, and fills the online store.") from None
    with online_redis.in_words(redis.url, redis.place) if redis else contextlib.nullcontext():
        response = feast.get_online_features(features=service, entity_rows=[{"user_key": k} for k in user_keys])
    values = response.to_dict(include_event_timestamps=True)
    answer: dict[str, list[Any]] = {"user_key": list(user_keys)}
    for projection in service.feature_view_projections:
        ttl = feast.get_feature_view(projection.name).ttl
        assert ttl is not None
        for name in (feature.name for feature in projection.features):
            fresh = [dt.datetime.fromtimestamp(ts, dt.UTC) + ttl >= moment for ts in values[f"{name}__ts"]]
            answer[name] = [value if alive else None for value, alive in zip(values[name], fresh, strict=True)]
    return answer
