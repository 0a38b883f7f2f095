"""Access to Feast: apply the repository to a home, and retrieve history in spine order. The online store is `online_store`'s.

The only module that imports `feature_repo`.
"""

import datetime as dt
import string
from collections.abc import Callable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pad
import yaml

from found_platform import contract, lake
from found_platform.contract import FEATURE_SERVICE
from found_platform.feature_store import feast_import, online_redis, silence
from found_platform.home import lock
from found_platform.privacy.retention import kept_from
from found_platform.settings import Settings

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from feast import FeatureStore

REDIS = "found_platform.feature_store.redis_store.UrlRedisOnlineStore"
REGISTRY_LOCK = "feature registry"
"""Feast rewrites the file of its registry in place: who reads it meanwhile finds half of it."""

VIEWS = ("behavior_sequence", "search_text", "user_tabular")


def store(settings: Settings, versions: dict[str, int] | None = None) -> "FeatureStore":
    """The home's feature store, over pinned Delta versions where given."""
    feast_import.load()
    from feast import FeatureStore, RepoConfig

    text = (resources.files("feature_repo") / "feature_store.yaml").read_text()
    raw = yaml.safe_load(string.Template(text).substitute(FOUND_HOME=str(settings.home)))
    if (redis := online_redis.of(settings)) is not None:
        raw["project"] = redis.project
        raw["online_store"] = {"type": REDIS, "url": redis.url, "place": redis.place, "key_ttl_seconds": redis.seconds}
    raw["offline_store"] |= {"lake": str(settings.lake), "versions": versions or {}, "memory": settings.duckdb_memory}
    raw["offline_store"]["sparse"] = [name for name in VIEWS if is_sparse(settings, name)]
    (settings.home / "feast").mkdir(parents=True, exist_ok=True)
    return FeatureStore(config=RepoConfig(**raw, repo_path=settings.home))


def apply(settings: Settings) -> "FeatureStore":
    """Writes the feature repository's objects into the home's registry. Safe to repeat."""
    with lock(settings.home, REGISTRY_LOCK):
        return _apply(settings)


def _apply(settings: Settings) -> "FeatureStore":
    feast_import.load()
    from feature_repo.definitions import build

    feast = store(settings)
    objects: Any = build(contract.profile_schema(settings.home), dt.timedelta(days=settings.lookback_days))
    feast.apply(objects)
    return feast


def history(
    settings: Settings, user_keys: Sequence[str], moments: Sequence[dt.datetime], versions: dict[str, int] | None = None
) -> pa.Table:
    """What the feature service knew of each user at each moment: a row created after its moment is not seen.

    Args:
        user_keys, moments: the spine, row by row; moments are UTC.
        versions: pinned Delta versions by table.

    Returns:
        One row a spine row, in its order: user_key, event_timestamp and the features of the service. A user unknown by then, or
        whose snapshot is older than the view's TTL, has nulls.
    """
    return history_reader(settings, user_keys, moments, versions).read_all()


def history_reader(
    settings: Settings, user_keys: Sequence[str], moments: Sequence[dt.datetime], versions: dict[str, int] | None = None
) -> pa.RecordBatchReader:
    """The same a batch at a time. The tables are opened by this call, so a Delta writer may read from what it returns."""
    return histories(settings, versions)(user_keys, moments)


def histories(
    settings: Settings, versions: dict[str, int] | None = None
) -> Callable[[Sequence[str], Sequence[dt.datetime]], pa.RecordBatchReader]:
    """What reads the history of a spine, for who asks for many spines: the repository is applied once."""
    import pandas as pd

    with lock(settings.home, REGISTRY_LOCK):
        _apply(settings)
        feast = store(settings, versions)
        service = feast.get_feature_service(FEATURE_SERVICE)

    def read(user_keys: Sequence[str], moments: Sequence[dt.datetime]) -> pa.RecordBatchReader:
        times = pd.to_datetime(list(moments), utc=True).astype("datetime64[us, UTC]")
        spine = pd.DataFrame({"user_key": list(user_keys), "event_timestamp": times})
        with lock(settings.home, REGISTRY_LOCK):  # for the views of the service Feast reads the file again
            job: Any = feast.get_historical_features(entity_df=spine, features=service, filter_by_created_timestamp=True)
        return job.to_batches().cast(schema(settings))

    return read


def schema(settings: Settings) -> pa.Schema:
    """The columns of a history: user_key, event_timestamp, and the features of the service."""
    features = (*contract.SEQUENCE_FEATURES, *contract.SEARCH_FEATURES, *contract.ACTIVITY_FEATURES)
    keys = [pa.field("user_key", pa.string()), pa.field("event_timestamp", contract.TIMESTAMP)]
    return pa.schema([*keys, *features, *contract.profile_schema(settings.home)])


def history_expression(settings: Settings, spine: "ir.Table") -> "ir.Table":
    """What `history` gives of a spine (user_key, moment, ...; no such pair twice), over tables named as the views: for an engine.

    The columns of the spine come first, then the features of the service.
    """
    from found_platform.engine import table_of
    from found_platform.feature_store.as_expression import View, joined

    feast, views = apply(settings), []
    fields = {field.name: field for field in schema(settings)}
    for name in VIEWS:
        view = feast.get_feature_view(name)
        assert view.ttl is not None
        columns = tuple(fields[feature.name] for feature in view.features)
        rows = table_of(name, contract.snapshot_schema(columns))
        views.append(View(rows, [f.name for f in columns], view.ttl, sparse=is_sparse(settings, name)))
    return joined(spine, views)


def snapshot(settings: Settings, table: str, day: dt.date, columns: list[str]) -> pa.Table:
    """A day's rows of a feature table as they were known when the day was over, in the order of the users' keys."""
    return snapshot_scanner(settings, table, day, columns).to_table().sort_by("user_key")


def snapshot_scanner(settings: Settings, table: str, day: dt.date, columns: list[str]) -> pad.Scanner:
    """The same in the order of the files, a batch at a time. It is read once."""
    if is_sparse(settings, table) and contract.grid_day(day) != day:
        rows = silence.rows_of(settings, day, columns)
        return pad.Scanner.from_batches(rows)
    return lake.dataset(settings.lake, table).scanner(columns=columns, filter=known_of(day), **lake.FEW_AT_ONCE)


def is_sparse(settings: Settings, table: str) -> bool:
    """Whether the silent have a row on grid days alone in a table; in no home that has let days go, see `features.inputs`."""
    return table == contract.SPARSE and kept_from(settings) is None


def stand_alone(settings: Settings, first: dt.date) -> None:
    """Writes everybody into every day from one on, before the home lets go of earlier ones for the first time."""
    if is_sparse(settings, contract.SPARSE) and lake.exists(settings.lake, contract.SPARSE):
        silence.stand_alone(settings, first)


def known_of(day: dt.date) -> pad.Expression:
    """Which rows are of a day, as they were known when it was over."""
    return lake.days_where(day, day + dt.timedelta(days=1)) & (pad.field("created_timestamp") <= contract.snapshot_time(day))
