"""A first population: people with interests that drift, habits, budgets and a profile, as a source like any other.

It writes event and profile files under `HOME/simulated` and what really happens under `HOME/truth`; from there the file source
takes over. What does not belong here: anything that reads a feature or a model.
"""

import datetime as dt
import json
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from found_platform.contract import CHANNELS, TIMESTAMP, midnight
from found_platform.settings import Settings
from found_platform.sources.config import ChannelEntry, ProfileEntry, Simulation, SourceConfig, Span

VERSION = 1
"""Part of a simulated source's fingerprint: raised whenever the same seed would give other people."""

BANDS = {
    "age_band": ["18-24", "25-34", "35-44", "45-54", "55-64", "65+"],
    "income_band": ["low", "middle", "high"],
    "city_tier": ["1", "2", "3"],
}
ATTRIBUTES = {**dict.fromkeys(BANDS, "string"), "account_age_days": "int", "balance": "float"}
TYPICAL_DAILY_EVENTS = 0.7
SWITCHERS = 0.3  # share of users whose main interest changes once
TILT = 2.5  # how much more likely an interest is for those its profile names


@cache
def catalogue() -> dict:
    return yaml.safe_load((resources.files("found_platform.sources") / "simulator_catalog.yaml").read_text())


def discover(source: SourceConfig) -> SourceConfig:
    """The same config with its span and profile schema, which follow from what is asked."""
    asked = source.simulator
    assert asked is not None
    span = Span(start=asked.start, end=asked.start + dt.timedelta(days=asked.days))
    return source.model_copy(update={"span": span, "profile_schema": dict(ATTRIBUTES)})


def generate(settings: Settings, source: SourceConfig) -> SourceConfig:
    """Writes the population and its truth (unless there) and returns a file source over it. The same seed gives the same rows."""
    asked = source.simulator
    assert asked is not None
    folder = settings.home / "simulated"
    made = folder / "made.json"
    wanted = json.dumps({"version": VERSION, **asked.model_dump(mode="json")})
    if not (made.exists() and made.read_text() == wanted):
        folder.mkdir(parents=True, exist_ok=True)
        settings.truth.mkdir(parents=True, exist_ok=True)
        events, profile, outcomes = population(asked)
        pq.write_table(events, folder / "events.parquet")
        pq.write_table(profile, folder / "profile.parquet")
        pq.write_table(outcomes, settings.truth / "outcomes.parquet")
        (settings.truth / "scenarios.json").write_text(json.dumps({"scenarios": catalogue()["scenarios"]}, indent=1))
        made.write_text(wanted)
    return source.model_copy(update={"simulator": None, "channels": _entries(folder), "profile": _profile(folder)})


def _entries(folder: Path) -> dict[str, list[ChannelEntry]]:
    columns = {c: c for c in ("user_id", "event_time", "text", "category", "amount", "event_id")}
    path = str(folder / "events.parquet")
    entries = {c: [ChannelEntry(path=path, columns=columns, where=f"channel = '{c}' AND NOT exposure")] for c in CHANNELS}
    entries["spm"].append(ChannelEntry(path=path, columns=columns, where="exposure", exposure=True))
    return entries


def _profile(folder: Path) -> ProfileEntry:
    return ProfileEntry(path=str(folder / "profile.parquet"), key="user_id")


def population(asked: Simulation) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Events, profile and outcomes (user_id, scenario, event_time of each payment that fulfils a scenario) of a population."""
    rng = np.random.default_rng([asked.seed, VERSION])
    interests = list(catalogue()["interests"])
    specs = list(catalogue()["interests"].values())
    n, days = asked.users, asked.days
    everyday = np.array([bool(s.get("everyday")) for s in specs])

    profile = {band: rng.choice(len(values), n) for band, values in BANDS.items()}
    budget = np.exp(rng.normal(0, 0.4, n) + 0.4 * (profile["income_band"] - 1))

    tilt = np.ones((n, len(specs)))
    for j, spec in enumerate(specs):
        for band, value in spec.get("profile", {}).items():
            tilt[profile[band] == BANDS[band].index(value), j] *= TILT
    taste = rng.gamma(0.25, 1.0, (n, len(specs))) * tilt * ~everyday  # few interests a person
    taste = 0.6 * taste / taste.sum(1, keepdims=True)
    taste += 0.4 * rng.dirichlet(np.ones(everyday.sum()), n) @ np.eye(len(specs))[everyday]
    later = taste.copy()
    switch_day = np.where(rng.random(n) < SWITCHERS, rng.integers(0, days, n), days)
    main = taste.argmax(1)
    other = rng.choice(np.flatnonzero(~everyday), n)
    later[np.arange(n), main], later[np.arange(n), other] = later[np.arange(n), other], later[np.arange(n), main].copy()

    rate = TYPICAL_DAILY_EVENTS * np.exp(rng.normal(-0.5, 1.0, n))  # heavy-tailed, mean about TYPICAL_DAILY_EVENTS
    joins = np.where(rng.random(n) < 0.2, rng.integers(0, days, n), 0)
    leaves = np.where(rng.random(n) < 0.1, rng.integers(days // 2, days, n), days)
    weekly = rng.dirichlet(np.full(7, 4.0), n) * 7
    habit = rng.dirichlet(np.array([3.0, 3.0, 1.5, 1.0]), n)  # share of each channel

    day = np.arange(days)
    alive = (day >= joins[:, None]) & (day < leaves[:, None])
    weekday = (asked.start.weekday() + day) % 7
    counts = rng.poisson(rate[:, None] * weekly[:, weekday] * alive)
    user, when = (np.repeat(a.ravel(), counts.ravel()) for a in np.broadcast_arrays(np.arange(n)[:, None], day))
    total = len(user)

    weights = np.where((when >= switch_day[user])[:, None], later[user], taste[user])
    interest = _draw(rng, weights)
    channel = _draw(rng, habit[user])
    text = _texts(rng, interest, channel, specs)
    price = np.array([s["price"] for s in specs])[interest]
    amount = np.round(price * budget[user] * np.exp(rng.normal(0, 0.5, total)), 2)
    paid = channel == CHANNELS.index("pay_bill")
    second = rng.integers(7 * 3600, 23 * 3600, total)
    time = _microseconds(asked, when, second)

    reached = rng.random((n, days)) < 0.01  # campaigns: done to people, whatever they like
    push_user, push_day = np.nonzero(reached & alive)
    push_text = np.array([t.format(shop=shop) for t in catalogue()["campaigns"] for s in specs for shop in s["shops"]])
    pushed = rng.choice(push_text, len(push_user))

    ids = np.array([f"user-{asked.seed}-{i:06d}" for i in range(n)])
    events = pa.table(
        {
            "user_id": np.concatenate([ids[user], ids[push_user]]),
            "event_time": pa.array(
                np.concatenate([time, _microseconds(asked, push_day, np.full(len(push_user), 9 * 3600))]), pa.int64()
            ).cast(TIMESTAMP),
            "channel": np.concatenate([np.array(CHANNELS)[channel], np.full(len(push_user), "spm")]),
            "text": np.concatenate([text, pushed]).astype(str),
            "category": pa.array([interests[i] for i in interest] + [None] * len(push_user), pa.string()),
            "amount": pa.array(
                np.concatenate([amount, np.zeros(len(push_user))]), mask=np.concatenate([~paid, np.ones(len(push_user), bool)])
            ),
            "exposure": np.concatenate([np.zeros(total, bool), np.ones(len(push_user), bool)]),
        }
    )
    events = events.sort_by([("event_time", "ascending"), ("user_id", "ascending"), ("text", "ascending")])
    events = events.append_column("event_id", pa.array([f"e{i}" for i in range(events.num_rows)]))

    table = {band: np.array(BANDS[band])[profile[band]] for band in BANDS}
    table["account_age_days"] = rng.integers(30, 4000, n)
    table["balance"] = np.round(1500 * budget * np.exp(rng.normal(0, 1.0, n)), 2)
    profiles = pa.table({"user_id": ids, **{k: pa.array(v, mask=rng.random(n) < 0.1) for k, v in table.items()}})

    wanted = {interests.index(s["interest"]): s["scenario"] for s in catalogue()["scenarios"]}
    hit = paid & np.isin(interest, list(wanted))
    outcomes = pa.table(
        {
            "user_id": ids[user[hit]],
            "scenario": [wanted[i] for i in interest[hit]],
            "event_time": pa.array(time[hit], pa.int64()).cast(TIMESTAMP),
        }
    )
    return events, profiles, outcomes


def _microseconds(asked: Simulation, day: np.ndarray, second: np.ndarray) -> np.ndarray:
    origin = int(midnight(asked.start).timestamp())
    return (origin + day.astype(np.int64) * 86_400 + second) * 1_000_000


def _draw(rng: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    """One column index a row, by that row's weights."""
    edges = weights.cumsum(1)
    return (rng.random(len(weights))[:, None] * edges[:, -1:] > edges).sum(1)


def _texts(rng: np.random.Generator, interest: np.ndarray, channel: np.ndarray, specs: list[dict]) -> np.ndarray:
    """A text for each event: the first texts of an interest and channel are common, the rest a long tail."""
    text = np.empty(len(interest), dtype=object)
    for j, spec in enumerate(specs):
        for c, name in enumerate(CHANNELS):
            rows = np.flatnonzero((interest == j) & (channel == c))
            pool = sorted(
                {
                    t.format(brand=b, product=p, shop=s)
                    for t in catalogue()["templates"][name]
                    for b in spec["brands"]
                    for p in spec["products"]
                    for s in spec["shops"]
                }
            )
            order = np.random.default_rng([j, c]).permutation(len(pool))  # the same favourites in every population
            popularity = 1 / (1 + np.arange(len(pool))) ** 0.8
            text[rows] = np.array(pool, dtype=object)[order[rng.choice(len(pool), len(rows), p=popularity / popularity.sum())]]
    return text
