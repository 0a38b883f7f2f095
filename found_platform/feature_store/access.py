"""Access to Feast: apply the repository to a home, retrieve history in spine order, fill and read the online store.

The only module that imports `feature_repo`.
"""

import datetime as dt
import hashlib
import json
import string
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pad
import yaml

from found_platform import contract, lake
from found_platform.contract import FEATURE_SERVICE
from found_platform.errors import BadInput
from found_platform.feature_store import feast_import
from found_platform.settings import Settings

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from feast import FeatureStore

VIEWS = ("behavior_sequence", "search_text", "user_tabular")


def store(settings: Settings, versions: dict[str, int] | None = None) -> "FeatureStore":
    """The home's feature store, over pinned Delta versions where given."""
    feast_import.load()
    from feast import FeatureStore, RepoConfig

    text = (resources.files("feature_repo") / "feature_store.yaml").read_text()
    raw = yaml.safe_load(string.Template(text).substitute(FOUND_HOME=str(settings.home)))
    raw["offline_store"] |= {"versions": versions or {}, "memory": settings.duckdb_memory}
    (settings.home / "feast").mkdir(parents=True, exist_ok=True)
    return FeatureStore(config=RepoConfig(**raw, repo_path=settings.home))


def apply(settings: Settings) -> "FeatureStore":
    """Writes the feature repository's objects into the home's registry. Safe to repeat."""
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

    apply(settings)
    feast = store(settings, versions)
    service = feast.get_feature_service(FEATURE_SERVICE)

    def read(user_keys: Sequence[str], moments: Sequence[dt.datetime]) -> pa.RecordBatchReader:
        times = pd.to_datetime(list(moments), utc=True).astype("datetime64[us, UTC]")
        spine = pd.DataFrame({"user_key": list(user_keys), "event_timestamp": times})
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
        views.append(View(table_of(name, contract.snapshot_schema(columns)), [f.name for f in columns], view.ttl))
    return joined(spine, views)


def snapshot(settings: Settings, table: str, day: dt.date, columns: list[str]) -> pa.Table:
    """A day's rows of a feature table as they were known when the day was over, in the order of the users' keys."""
    return snapshot_scanner(settings, table, day, columns).to_table().sort_by("user_key")


def snapshot_scanner(settings: Settings, table: str, day: dt.date, columns: list[str]) -> pad.Scanner:
    """The same in the order of the files, a batch at a time."""
    return lake.dataset(settings.lake, table).scanner(columns=columns, filter=_known_of(day), **lake.FEW_AT_ONCE)


def _known_of(day: dt.date) -> pad.Expression:
    return lake.days_where(day, day + dt.timedelta(days=1)) & (pad.field("created_timestamp") <= contract.snapshot_time(day))


def materialize_online(settings: Settings, moment: dt.datetime, contents: Mapping[str, str]) -> int:
    """Fills the online store with the newest state of every user at `moment` (UTC). Returns the number of users.

    Args:
        contents: a hash of the feature rows of each day (YYYY-MM-DD). Where the days that the store was filled from are as they
            were, only what came after, or became known after, is taken; otherwise everything within the views' TTL.
    """
    feast = apply(settings)
    path = settings.home / "feast" / "online.json"
    filled = json.loads(path.read_text()) if path.exists() else None
    until = dt.datetime.fromisoformat(filled["moment"]) if filled else moment
    goes_on = filled is not None and until <= moment and filled["contents"] == _digest(contents, until)
    for name in VIEWS:
        ttl = feast.get_feature_view(name).ttl
        assert ttl is not None
        start = max(moment - ttl, _news(settings, name, until, moment)) if goes_on else moment - ttl
        feast.materialize(start_date=start, end_date=moment, feature_views=[name])
    path.write_text(json.dumps({"moment": moment.isoformat(), "contents": _digest(contents, moment)}))
    return lake.dataset(settings.lake, "user_tabular").count_rows(filter=_known_of((moment - dt.timedelta(days=1)).date()))


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


def online_moment(settings: Settings) -> dt.datetime:
    """The moment (UTC) up to which the online store was filled. Raises BadInput when it never was."""
    path = settings.home / "feast" / "online.json"
    if not path.exists():
        raise BadInput(f"The online store of {settings.home} is empty: materialise `online_features` (`found demo` does) first.")
    return dt.datetime.fromisoformat(json.loads(path.read_text())["moment"])


def online(settings: Settings, user_keys: Sequence[str], moment: dt.datetime | None = None) -> dict[str, list[Any]]:
    """The online state of these users by feature name, in the order asked; nulls for an unknown user.

    A view's values are null where they are older than its TTL at `moment` (UTC; default: the moment the store was filled up to), as
    they are in the history: the SQLite store itself gives them for ever.
    """
    feast = store(settings)
    moment = moment or online_moment(settings)
    from feast.errors import FeatureServiceNotFoundException

    try:
        service = feast.get_feature_service(FEATURE_SERVICE)
    except FeatureServiceNotFoundException:
        why = f"The feature store of {settings.home} has no service {FEATURE_SERVICE}"
        raise BadInput(f"{why}: `found demo` applies it, and fills the online store.") from None
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
