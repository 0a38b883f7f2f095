"""What a home keeps in Redis: the newest features of its users, and a mark that says of which filling they are.

What belongs here: the connection, which keys are those of this home, and going through them. What does not: how Feast writes and
reads values (`redis_store`), and when they are filled (`online_store`).

The keys of a home end in its project, `found_NUMBER`, so that many homes share a database. They expire after the lookback, which
every new day renews: a home that is gone leaves nothing there for ever.
"""

import contextlib
import datetime as dt
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from found_platform import tenancy
from found_platform.errors import BadInput, JobFailed
from found_platform.privacy import keys
from found_platform.settings import Settings

if TYPE_CHECKING:
    import redis

SETTING = "FOUND_REDIS_URL"
ANSWER_SECONDS = 10
"""How long a server may take to answer, before it is said to be away. An address may say otherwise (`?socket_timeout=60`)."""

AT_ONCE = 500
"""Users whose features are asked for together."""

Held = Callable[[Iterable[str]], Container[str | None]]
"""Of some user keys, those whose rows stay whatever their age."""


@dataclass(frozen=True)
class RedisStore:
    """The part of a Redis database that is this home's."""

    url: str = field(repr=False)
    project: str
    seconds: int  # after which a key that nobody writes expires

    @property
    def client(self) -> "redis.Redis":
        """A connection that the threads of this process share."""
        return client(self.url)

    @property
    def place(self) -> str:
        """The database, for a sentence: without user and password."""
        about: dict[str, Any] = self.client.connection_pool.connection_kwargs
        host = about.get("path") or f"{about.get('host', 'localhost')}:{about.get('port', 6379)}"
        return f"{host}/{about.get('db', 0)}"

    def check(self) -> None:
        """Raises JobFailed where the server does not answer, or throws away keys that it has no room for."""
        with self._reached() as server:
            about: Any = server.info("memory")
        policy = str(about.get("maxmemory_policy", "noeviction"))
        if about.get("maxmemory") and policy != "noeviction":
            raise JobFailed(
                f"The Redis server of {self.place} throws users away when its memory is full (maxmemory-policy {policy}), and they "
                "would have no features without a word: set its maxmemory-policy to noeviction."
            )

    def filling(self) -> str | None:
        """The mark of the filling that is there; None where there is none, or where it is lost."""
        with self._reached() as server:
            mark: Any = server.get(self._mark)
        return mark.decode(errors="replace") if mark else None

    def mark(self, filling: str, *, renewed: bool) -> None:
        """Says of which filling the features are, for as long as those that it has written are kept; one that wrote nobody anew
        is not `renewed`."""
        with self._reached() as server:
            if renewed:
                server.set(self._mark, filling, ex=self.seconds)
            else:
                server.set(self._mark, filling, keepttl=True)

    def users(self) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        """The key and the values of each user."""
        with self._reached() as server:
            batch: list[bytes] = []
            for key in self._keys(server):
                batch.append(key)
                if len(batch) == AT_ONCE:
                    yield from _values(server, batch)
                    batch = []
            yield from _values(server, batch)

    def leave_out(self, names: Callable[[bytes], bool]) -> int:
        """Removes the users whose key names one of some persons; returns how many."""
        removed = 0
        with self._reached() as server:
            for key in self._keys(server):
                if names(key):
                    removed += int(server.unlink(key))  # pyright: ignore[reportArgumentType]
        return removed

    def let_go(self, views: Mapping[str, Sequence[str]], moment: dt.datetime, held: Held) -> int:
        """Removes what views, given with their features, say of users as of a moment (UTC) or before; returns how many rows."""
        from feast.infra.online_stores.helpers import _mmh3

        fields = {
            name.encode(): [b"_ts:" + name.encode(), *(_mmh3(f"{name}:{f}") for f in features)] for name, features in views.items()
        }
        removed = 0
        with self._reached() as server:
            users = self.users()
            while batch := list(islice(users, AT_ONCE)):
                kept = held(key for name, _ in batch if (key := keys.key_in(name)))
                with server.pipeline(transaction=False) as pipe:
                    for name, values in batch:
                        old = [view for view in fields if _as_of(values.get(b"_ts:" + view), moment)]
                        if old and keys.key_in(name) not in kept:
                            gone: Any = [name, *(field for view in old for field in fields[view])]
                            pipe.hdel(*gone)  # the last field takes the key with it
                            removed += len(old)
                    pipe.execute()
        return removed

    def _keys(self, server: "redis.Redis") -> Iterator[bytes]:
        return server.scan_iter(match=b"*" + self.project.encode(), count=AT_ONCE)

    @property
    def _mark(self) -> str:
        return f"{self.project}:filling"

    @contextlib.contextmanager
    def _reached(self) -> "Iterator[redis.Redis]":
        with in_words(self.url, self.place):
            yield self.client


@contextlib.contextmanager
def in_words(url: str, place: str) -> Iterator[None]:
    """What Redis refuses is a sentence, without the address, and without the users whom a command was about. Raises JobFailed."""
    import redis

    try:
        yield
    except redis.RedisError as error:
        reason = " ".join(str(error).split()).rpartition("of pipeline caused error: ")[2].rstrip(".")
        password = client(url).connection_pool.connection_kwargs.get("password")
        if password and str(password) in reason:
            reason = type(error).__doc__ or "it refused"
        raise JobFailed(
            f"The Redis database {place} cannot be used ({reason}): look at {SETTING}, and whether the server runs."
        ) from None


def of(settings: Settings) -> RedisStore | None:
    """Where the newest features of a home lie, if not in the home itself. Raises BadInput for an address that cannot be used."""
    if settings.redis_url is None:
        return None
    seconds = int(dt.timedelta(days=settings.lookback_days + 1).total_seconds())
    return RedisStore(settings.redis_url, f"found_{tenancy.number(settings.home)}", seconds)


def client(url: str) -> "redis.Redis":
    """Connections to a server. Raises BadInput for an address that cannot be used."""
    return _client(url, os.getpid())


@lru_cache(maxsize=8)
def _client(url: str, process: int) -> "redis.Redis":
    """A forked process gets its own."""
    del process
    try:
        import redis
    except ImportError:
        raise BadInput(f"{SETTING} needs Redis' client: `pip install -c constraints.txt 'found-platform[redis]'`.") from None
    try:
        return redis.Redis.from_url(
            url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, health_check_interval=30
        )
    except ValueError:  # what it says may hold a part of the password
        raise BadInput(
            f"{SETTING} is no address: write redis://USER:PASSWORD@HOST:PORT/DATABASE, rediss:// for TLS, or unix://PATH, with "
            "signs such as / and @ in the password as %2F and %40."
        ) from None


def _as_of(stamp: bytes | None, moment: dt.datetime) -> bool:
    """Whether a row has a time, as Feast writes one, that is a moment or before."""
    if stamp is None:
        return False
    from google.protobuf.timestamp_pb2 import Timestamp

    return Timestamp.FromString(stamp).ToDatetime(dt.UTC) <= moment


def _values(server: "redis.Redis", names: list[Any]) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    with server.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(name)  # pyright: ignore[reportArgumentType]
        yield from zip(names, pipe.execute(), strict=True)
