"""Random events, ties and late arrivals among them."""

import datetime as dt

import numpy as np
from conftest import at

from found_platform.contract import CHANNELS


def random_events(seed: int, users: int = 6, days: int = 25, count: int = 160, late: float = 0.0) -> list[dict]:
    """Events on whole hours, so that many share a moment; a share of them arrives up to nine days late."""
    rng = np.random.default_rng(seed)
    start = at("2024-01-01", "00:00:00")
    events = []
    for _ in range(count):
        time = start + dt.timedelta(hours=int(rng.integers(24 * days)))
        events.append(
            {
                "user_id": f"u{rng.integers(users)}",
                "event_time": time,
                "channel": str(rng.choice(CHANNELS)),
                "text": f"text {rng.integers(9)}",
                "category": str(rng.choice(["food", "shoes", "pets"])) if rng.random() < 0.7 else None,
                "amount": float(np.round(rng.normal(0, 50), 2)) if rng.random() < 0.6 else None,
                "exposure": bool(rng.random() < 0.1),
            }
        )
        if rng.random() < late:
            events[-1]["arrived_at"] = time + dt.timedelta(hours=int(rng.integers(24 * 9)))
    return events
