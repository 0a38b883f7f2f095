"""Feast's online store in Redis, by an address as Redis' own client takes it, which no message or registry of Feast shows.

What belongs here: what differs from Feast's store of that kind. What does not: what is a home's in a database (`online_redis`).
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from feast import FeatureView
from feast.infra.online_stores import redis as feast_redis
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from pydantic import SecretStr

from found_platform.feature_store import online_redis

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

AT_ONCE = 1_000
"""Users that are sent together: with lists of full length some megabytes."""


class UrlRedisOnlineStoreConfig(feast_redis.RedisOnlineStoreConfig):
    """`url` is the server and its database, `place` the same for a sentence.

    Rows are written as they come (`skip_dedup`): a day that was made again has the moment of the one before, and Feast would keep
    that one.
    """

    type: str = "found_platform.feature_store.redis_store.UrlRedisOnlineStore"  # pyright: ignore[reportIncompatibleVariableOverride]
    url: SecretStr
    place: str
    skip_dedup: bool = True


class UrlRedisOnlineStore(feast_redis.RedisOnlineStore):
    """Feast's store, over connections of ours."""

    def _get_client(self, online_store_config: Any) -> Any:
        return online_redis.client(online_store_config.url.get_secret_value())

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Callable[[int], Any] | None
    ) -> None:
        """Sends rows so many at once that neither side holds them all."""
        store: Any = config.online_store
        with online_redis.in_words(store.url.get_secret_value(), store.place):
            for start in range(0, len(data), AT_ONCE):
                batch = data[start : start + AT_ONCE]
                super().online_write_batch(config, table, batch, None)
                if progress is not None:
                    progress(len(batch))
