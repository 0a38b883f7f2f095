"""The feature store: Feast's objects applied to a home, history for training, the latest state for serving."""

from found_platform.feature_store.access import (
    VIEWS,
    apply,
    histories,
    history,
    history_expression,
    history_reader,
    schema,
    snapshot,
    snapshot_scanner,
    stand_alone,
)
from found_platform.feature_store.online_expiry import let_go_online
from found_platform.feature_store.online_store import is_filled, materialize_online, online, online_moment, was_filled

__all__ = [
    "VIEWS",
    "apply",
    "histories",
    "history",
    "history_expression",
    "history_reader",
    "is_filled",
    "let_go_online",
    "materialize_online",
    "online",
    "online_moment",
    "schema",
    "snapshot",
    "snapshot_scanner",
    "stand_alone",
    "was_filled",
]
