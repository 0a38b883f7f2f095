"""The Feast objects of a home. Sources name lake tables; the offline store finds them under the home."""

import os
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import DeltaFormat
from feast.types import Array, Bool, Float64, Int64, String

from found_platform.contract import (
    ACTIVITY_FEATURES,
    FEATURE_SERVICE,
    SEARCH_FEATURES,
    SEQUENCE_FEATURES,
    describe,
    profile_schema,
)

OWNER = "feature-platform@found.example"
LOOKBACK = timedelta(days=180)

TYPES = {pa.string(): String, pa.int64(): Int64, pa.float64(): Float64, pa.bool_(): Bool, pa.list_(pa.int64()): Array(Int64)}


def view(name: str, user: Entity, features: tuple[pa.Field, ...], ttl: timedelta, description: str) -> FeatureView:
    """A feature view over the lake table of the same name."""
    return FeatureView(
        name=name,
        entities=[user],
        ttl=ttl,
        schema=[
            Field(name="user_key", dtype=String),
            *(Field(name=f.name, dtype=TYPES[f.type], description=describe(f.name)) for f in features),
        ],
        source=FileSource(
            name=f"{name}_delta",
            path=name,
            file_format=DeltaFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        ),
        online=True,
        description=description,
        owner=OWNER,
        tags={"grain": "user and UTC day", "time": "event_timestamp is 00:00 UTC after the day"},
    )


def build(profile: pa.Schema, lookback: timedelta = LOOKBACK) -> list[Entity | FeatureView | FeatureService]:
    """All objects for a home with these profile attributes."""
    user = Entity(
        name="user",
        join_keys=["user_key"],
        value_type=ValueType.STRING,
        description="A pseudonymous user: HMAC-SHA256 of the raw id, 128 bits as hex.",
        owner=OWNER,
    )
    views = [
        view(
            "behavior_sequence",
            user,
            SEQUENCE_FEATURES,
            lookback,
            "The last events but searches of a user active that day, oldest first, as parallel lists.",
        ),
        view("search_text", user, SEARCH_FEATURES, lookback, "The last searches of a user who searched that day, oldest first."),
        view(
            "user_tabular",
            user,
            (*ACTIVITY_FEATURES, *profile),
            timedelta(days=1),
            "Activity aggregates and profile attributes of every user seen so far.",
        ),
    ]
    service = FeatureService(
        name=FEATURE_SERVICE,
        features=[*views],
        description="Everything a model may know of a user. Never changed once a model used it: a revision is a new service.",
        owner=OWNER,
    )
    return [user, *views, service]


if home := os.environ.get("FOUND_HOME"):  # for the `feast` command, which collects module-level objects
    user, behavior_sequence, search_text, user_tabular, found_user = build(profile_schema(Path(home)))
