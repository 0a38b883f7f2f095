"""Access to Feast: apply the repository to a home, retrieve history in spine order, fill and read the online store.

The only module that imports `feature_repo`.
"""

import contextlib
import datetime as dt
import io
import string
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pad
import yaml

from found_platform import contract, lake
from found_platform.contract import FEATURE_SERVICE
from found_platform.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore

VIEWS = ("behavior_sequence", "search_text", "user_tabular")


def store(settings: Settings, versions: dict[str, int] | None = None) -> "FeatureStore":
    """The home's feature store, over pinned Delta versions where given."""
    from feast import FeatureStore, RepoConfig

    text = (resources.files("feature_repo") / "feature_store.yaml").read_text()
    raw = yaml.safe_load(string.Template(text).substitute(FOUND_HOME=str(settings.home)))
    raw["offline_store"] |= {"versions": versions or {}, "memory": settings.duckdb_memory}
    (settings.home / "feast").mkdir(parents=True, exist_ok=True)
    return FeatureStore(config=RepoConfig(**raw, repo_path=settings.home))


def apply(settings: Settings) -> "FeatureStore":
    """Writes the feature repository's objects into the home's registry. Safe to repeat."""
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
    import pandas as pd

    apply(settings)
    feast = store(settings, versions)
    spine = pd.DataFrame(
        {"user_key": list(user_keys), "event_timestamp": pd.to_datetime(list(moments), utc=True).astype("datetime64[us, UTC]")}
    )
    service = feast.get_feature_service(FEATURE_SERVICE)
    job = feast.get_historical_features(entity_df=spine, features=service, filter_by_created_timestamp=True)
    return job.to_arrow().cast(_schema(settings))


def _schema(settings: Settings) -> pa.Schema:
    features = (*contract.SEQUENCE_FEATURES, *contract.SEARCH_FEATURES, *contract.ACTIVITY_FEATURES)
    keys = [pa.field("user_key", pa.string()), pa.field("event_timestamp", contract.TIMESTAMP)]
    return pa.schema([*keys, *features, *contract.profile_schema(settings.home)])


def snapshot(settings: Settings, table: str, day: dt.date, columns: list[str]) -> pa.Table:
    """A day's rows of a feature table as they were known when the day was over, in the order of the users' keys."""
    where = lake.days_where(day, day + dt.timedelta(days=1)) & (pad.field("created_timestamp") <= contract.snapshot_time(day))
    return lake.read(settings.lake, table, where, columns).sort_by("user_key")


def materialize_online(settings: Settings, moment: dt.datetime) -> int:
    """Fills the online store with the newest state of every user at `moment` (UTC). Returns the number of users."""
    feast = apply(settings)
    for name in VIEWS:
        ttl = feast.get_feature_view(name).ttl
        assert ttl is not None
        with contextlib.redirect_stdout(io.StringIO()):  # Feast prints; stdout belongs to whoever called
            feast.materialize(start_date=moment - ttl, end_date=moment, feature_views=[name])
    return snapshot(settings, "user_tabular", (moment - dt.timedelta(days=1)).date(), ["user_key"]).num_rows


def online(settings: Settings, user_keys: Sequence[str], features: list[str] | None = None) -> dict[str, list[Any]]:
    """The online state of these users by feature name, in the order asked; nulls for an unknown user."""
    feast = store(settings)
    wanted: Any = features or feast.get_feature_service(FEATURE_SERVICE)
    return feast.get_online_features(features=wanted, entity_rows=[{"user_key": k} for k in user_keys]).to_dict()
