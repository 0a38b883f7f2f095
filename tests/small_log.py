"""Logs that are made up: events as a table, and a population of them without a lake; people who follow a law that is known.

What belongs here: populations for tests of what is computed from events. What does not: reading events from a lake.
"""

import datetime as dt
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from small_shop import SHOP

from found_platform.contract import ACTIVITY_FEATURES, CHANNELS, RETURN, WINDOWS
from found_platform.index.past import VALUES, Past, day_of
from found_platform.index.states import LakeStates, PastState
from found_platform.privacy.user_keys import UserKeys
from found_platform.scoring.population import Population
from found_platform.settings import Settings
from found_platform.training_data import text_vectors
from models.frozen_text import FrozenText, FrozenTextConfig

CUTOFF = dt.date(2026, 1, 5)
DAY = day_of(CUTOFF)
COLUMNS = {"channel": "pay_bill", "exposed": False, "amount": 0.0, "minute": 600, "text": "bread", **dict.fromkeys(VALUES)}
"""The columns that an event need not give, and what they are then."""

GRID_DAYS, GRID = 14, 12
"""As in a home: a state each fortnight, for half a year."""


def log(rows: list[dict] | pd.DataFrame) -> pd.DataFrame:
    """Events as a table; `user` and `happened` (a day) are given, and what else is not as usual."""
    table = pd.DataFrame(rows)
    if "known" not in table:
        table["known"] = table["happened"]
    table["known"] = table["known"].fillna(table["happened"])
    for name, usual in COLUMNS.items():
        table[name] = table[name].where(table[name].notna(), usual) if name in table else usual
    return table


def population(events: pd.DataFrame, users: int, home: Path, *, profile: dict[str, list[str]] | None = None) -> Population:
    """The users 0 to `users` with what of the events was known at the cutoff."""
    events = events[(events.happened < DAY) & (events.known < DAY)].sort_values(["user", "known", "happened", "minute"])
    values = {name: sorted(set(events[name].dropna())) for name in VALUES}
    words = sorted(set(events.text))
    columns = {
        "user": events.user.to_numpy(np.int32),
        "text": np.searchsorted(words, events.text.to_numpy(str)).astype(np.int32),
        "happened": events.happened.to_numpy(np.int32),
        "known": events.known.to_numpy(np.int32),
        "channel": np.array([CHANNELS.index(name) for name in events.channel], np.int8),
        "exposed": events.exposed.to_numpy(bool),
        "amount": events.amount.to_numpy(np.float32),
        "minute": events.minute.to_numpy(np.int16),
        **{name: np.array([_place(values[name], value) for value in events[name]], np.int32) for name in VALUES},
    }
    whole = Past(day=DAY, users=users, texts=np.arange(len(words)), columns=columns)
    returned = (events.status == RETURN).to_numpy(bool)
    past = whole.at(~returned)
    model = FrozenText(FrozenTextConfig("offline-text", "", 384))
    keys = UserKeys.of([f"{i:07d}" for i in range(users)])
    settings = Settings(home=home)
    states = MadeUp(settings, model, None, CUTOFF, keys)
    grid = [CUTOFF - dt.timedelta(days=GRID_DAYS * (i + 1)) for i in range(GRID)]
    grid = [moment for moment in grid if day_of(moment) > past.first_day]
    vars(states).update(past=past, returned=whole.at(returned), values=values, texts=_table(words), grid=grid)
    vars(states).update(profile=profile or {})
    counts = np.bincount(past.user[~past.exposed], minlength=users)
    return Population(settings, model, None, CUTOFF, keys, np.zeros((users, 8), np.float32), counts, states)


def _table(words: list[str]) -> pa.Table:
    return pa.table({"text": pa.array(words, pa.string()), "category": pa.nulls(len(words), pa.string())})


def _place(values: list[str], value: str | None) -> int:
    return values.index(value) if value in values else -1


class MadeUp(LakeStates):
    """States that are given; activity is counted at every moment."""

    profile: dict[str, list[str]]

    @cached_property
    def text_vectors(self) -> np.ndarray:
        """See `LakeStates`: by the bundled encoder."""
        return text_vectors.encoder("offline-text").encode(self.words)

    @property
    def attributes(self) -> pa.Table:
        """See `States`."""
        return self._known_by(self.past.day)

    def past_state(self, moment: dt.date) -> PastState:
        """See `States`."""
        rows = np.flatnonzero(self.volume(day_of(moment)) > 0)
        return PastState(rows, self._known_by(day_of(moment)).take(pa.array(rows)), rows[:0], np.empty((0, 0), np.float32))

    def _known_by(self, day: int) -> pa.Table:
        own = self.past.at(~self.past.exposed & (self.past.known < day))
        columns = {f.name: pa.array(np.zeros(own.users)).cast(f.type) for f in ACTIVITY_FEATURES}
        for days in WINDOWS:
            recent = own.at(own.happened >= day - days)
            columns[f"events_{days}d"] = pa.array(recent.sum_by_user(np.ones(len(recent.user))).astype(np.int64))
            columns[f"amount_{days}d"] = pa.array(recent.sum_by_user(recent.amount))
        return pa.table({**{name: pa.array(values) for name, values in self.profile.items()}, **columns})


HORIZON = 28
PEOPLE = 800
GOLD = tuple(item for item in SHOP["wealth"] if "gold" in item)
STAPLES = tuple(item for theme in ("family", "pets", "mobility", "daily", "style") for item in SHOP[theme])


def people(seed: int = 0, days: int = 320, users: int = PEOPLE, slower: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Events of people who follow a law until HORIZON days after the cutoff, and the people themselves.

    Each comes every `gap` days (`slower` times as many), give or take one, and some stop for ever at a day of their own. What they
    spend at once, how much of it they bring back and which share of it is gold are drawn independently of how often they come.
    """
    rng = np.random.default_rng(seed)
    person = pd.DataFrame(
        {
            "gap": slower * rng.choice([4, 7, 14], users, p=[0.3, 0.5, 0.2]),
            "spends": np.exp(rng.normal(3, 0.8, users)),
            "brings_back": np.where(rng.random(users) < 0.3, 0.3, 0.0),
            "gold": rng.choice([0.02, 0.1, 0.5], users),
            "start": DAY - days + rng.integers(0, days - 30, users),
        }
    )
    person["stop"] = np.where(rng.random(users) < 0.6, person.start + 20 + rng.integers(0, days, users), DAY + HORIZON)
    owner = np.repeat(np.arange(users), -(-(days + HORIZON) // person.gap))
    number = np.concatenate([np.arange(n) for n in -(-(days + HORIZON) // person.gap)])
    of = person.iloc[owner].reset_index(drop=True)
    happened = of.start + number * of.gap + rng.integers(-1, 2, len(owner))
    is_gold = rng.random(len(owner)) < of.gold
    text = np.where(is_gold, rng.choice(GOLD, len(owner)), rng.choice(STAPLES, len(owner)))
    bought = pd.DataFrame({"user": owner, "happened": happened, "text": text, "minute": rng.integers(0, 1440, len(owner))})
    bought["amount"] = of.spends * np.exp(rng.normal(0, 0.3, len(owner)))
    bought["category"] = np.where(is_gold, "jewellery", "groceries")
    bought["status"] = None
    keep = (happened < of.stop) & (happened < DAY + HORIZON)
    back = bought[keep & (rng.random(len(owner)) < of.brings_back)].assign(status=RETURN)
    back["happened"] += 2
    return log(pd.concat([bought[keep], back], ignore_index=True)), person
