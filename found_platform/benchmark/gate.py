"""The promotion gate: is a version good enough for service, judged on a past window without any label.

At t1, one horizon before the cutoff, each held-out user's vector is compared with what that user and the others did in
`[t1, cutoff)`. A version passes when a user's own future is nearer than another's more often than chance allows.
"""

import datetime as dt

import numpy as np
import pyarrow.dataset as pad

from found_platform import lake, registry
from found_platform.contract import HELD_OUT_FOLD, midnight
from found_platform.embedding.users import own_texts, vectors_of
from found_platform.registry import Verdict
from found_platform.settings import Settings

MIN_USERS = 10
SIGMAS = 1.96


def judge(settings: Settings, version: str, cutoff: dt.date) -> Verdict:
    """Judges a version on the last past window of its cutoff; stores nothing."""
    loaded = registry.load(settings, version)
    t1 = cutoff - dt.timedelta(days=settings.horizon_days)
    rows = lake.read(
        settings.lake,
        "training_set",
        (pad.field("cutoff") == cutoff) & (pad.field("fold") == HELD_OUT_FOLD) & (pad.field("event_timestamp") == midnight(t1)),
    )
    keys = rows["user_key"].to_pylist()
    past = vectors_of(settings, loaded.model, *own_texts(rows))
    future = vectors_of(settings, loaded.model, *_future_texts(settings, keys, t1, cutoff))
    both = (np.abs(past).sum(1) > 0) & (np.abs(future).sum(1) > 0)
    users = int(both.sum())
    if users < MIN_USERS:
        return Verdict(False, f"only {users} held-out users acted both before {t1} and in the window after it", {"users": users})
    scores = past[both] @ future[both].T  # (U, U); own futures on the diagonal
    own = np.diag(scores)[:, None]
    below = (scores < own).sum(1) + 0.5 * ((scores == own).sum(1) - 1)
    rank = below / (users - 1)  # (U,) share of other users' futures that are farther away
    low = float(rank.mean() - SIGMAS * rank.std() / np.sqrt(users))
    figures = {
        "future_auc": round(float(rank.mean()), 4),
        "future_auc_low": round(low, 4),
        "future_recall_at_10": round(float(((scores > own).sum(1) < 10).mean()), 4),
        "users": users,
    }
    passed = bool(low > 0.5 and np.isfinite(scores).all())
    reason = (
        f"a held-out user's own future in [{t1}, {cutoff}) is nearer than another's in {rank.mean():.1%} of pairs "
        f"({users} users, 95 % lower bound {low:.1%}, chance 50 %)"
    )
    return Verdict(passed, reason, figures)


def _future_texts(settings: Settings, keys: list[str], start: dt.date, end: dt.date) -> tuple[np.ndarray, np.ndarray]:
    """Text ids of each user's own events in the days `[start, end)`, laid out user by user, and counts."""
    con = lake.connect(settings.duckdb_memory)
    con.register("events", lake.dataset(settings.lake, "raw_events"))
    found = con.execute(
        "SELECT user_key, text_id FROM events WHERE event_date >= ? AND event_date < ? AND NOT exposure "
        "ORDER BY user_key, event_time, text_id",
        [start, end],
    ).to_arrow_table()
    position = {key: i for i, key in enumerate(keys)}
    user = np.array([position.get(k, -1) for k in found["user_key"].to_pylist()])
    ids = found["text_id"].to_numpy()[user >= 0]
    user = user[user >= 0]
    order = np.argsort(user, kind="stable")
    return ids[order], np.bincount(user, minlength=len(keys))
