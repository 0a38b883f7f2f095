"""Why this user: the events, searches, activity and attributes that carried a score, with their share; and what an audience has
more of than others.

A share is of what raised the score. In replay it is what the head's log-odds lose when a group of features is set to what is usual;
what matches the demand is then divided among the user's texts. Elsewhere it is what each event added.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from found_platform.cache import single_flight
from found_platform.contract import ACTIVITY_FEATURES, CHANNELS, SEARCH
from found_platform.index.past import Past, date_of
from found_platform.scoring.population import Population

SHOWN = 4
"""Pieces of evidence a user."""

BLOCK = 16_384
"""Users whose events are counted at once."""

FREQUENT = 5
"""Users of an audience that must have a text before it is called typical."""


@dataclass(frozen=True)
class Evidence:
    """One reason. `kind` is `event`, `search`, `exposure` (done to the user), `activity`, `attribute`, `habits`: what the model
    learned of how the user behaves, and no single event; or `rest`: all that is not shown, so that shares sum to 1. `times` and
    `last` (UTC day) are there for texts."""

    kind: str
    text: str
    share: float
    times: int | None = None
    last: dt.date | None = None


Weighed = tuple[float, Evidence]
"""A reason and what it adds to a score."""

REST = "rest"
HABITS = Evidence("habits", "what the model learned of similar behaviour", 0.0)


@dataclass(frozen=True)
class Typical:
    """What an audience has more of: the share of its users, and of all users with a history, who have it."""

    kind: str
    text: str
    audience: float
    base: float

    @property
    def lift(self) -> float:
        return self.audience / max(self.base, 1e-9)


def reasons(
    population: Population, rows: np.ndarray, events: Past, values: np.ndarray, others: dict[int, tuple[float, list[Weighed]]]
) -> dict[str, list[Evidence]]:
    """By user key, what carried the scores of the users at `rows`, the largest share first.

    Args:
        events: theirs (N), of which each added one of the `values` (N,).
        others: by row, what the events of a user weigh together, and what else is weighed beside them.
    """
    texts = _of_texts(population, events, values)
    keys = population.keys.take(rows)
    return {key: _shares(texts.get(row, []), others.get(row)) for key, row in zip(keys, rows.tolist(), strict=True)}


def _shares(texts: list[Weighed], others: tuple[float, list[Weighed]] | None) -> list[Evidence]:
    """Texts share what matches, which is all where nothing else is weighed."""
    of_texts, beside = others if others is not None else (1.0, [])
    total = sum(v for v, _ in texts)
    weighed = [(v / total * of_texts, e) for v, e in texts] if total > 0 else []
    weighed += beside
    whole = sum(v for v, _ in weighed)
    best = sorted((pair for pair in weighed if pair[0] > 0), key=lambda pair: -pair[0])
    listed = [Evidence(e.kind, e.text, round(v / whole, 3), e.times, e.last) for v, e in best[:SHOWN]]
    less = best[SHOWN:]
    rest = Evidence(REST, f"{len(less)} smaller reasons", round(1 - sum(e.share for e in listed), 3))
    return [*listed, rest] if less else listed


def _of_texts(population: Population, events: Past, values: np.ndarray) -> dict[int, list[Weighed]]:
    """By row, each text of the user's events with the sum of their values."""
    by_row: dict[int, list[Weighed]] = {}
    kept = values > 1e-6
    pairs = events.user[kept].astype(np.int64) * len(events.texts) + events.text[kept]
    each, first, place = np.unique(pairs, return_index=True, return_inverse=True)
    sums = np.bincount(place, weights=values[kept], minlength=len(each))
    times = np.bincount(place, minlength=len(each))
    last = np.zeros(len(each), np.int64)
    np.maximum.at(last, place, events.happened[kept])
    channel, exposed = events.channel[kept][first], events.exposed[kept][first]
    for i, pair in enumerate(each.tolist()):
        row, text = divmod(pair, len(events.texts))
        kind = "exposure" if exposed[i] else "search" if CHANNELS[channel[i]] == SEARCH else "event"
        reason = Evidence(kind, population.words[text], 0.0, int(times[i]), date_of(int(last[i])))
        by_row.setdefault(row, []).append((float(sums[i]), reason))
    return by_row


def typical(population: Population, rows: np.ndarray, limit: int = 10) -> list[Typical]:
    """Texts and attributes that the users at `rows` have more often than all users with a history, the most telling first.

    Ordered by how far the share lies above the base in standard errors; exposures are left out.
    """
    base, usual = max(1, int(population.has_history.sum())), _usual(population)
    inside = _users_by_text(population.past.at(population.past.of_users(rows)))
    candidates: list[tuple[float, Typical]] = []
    for i in np.flatnonzero(inside >= FREQUENT).tolist():
        candidates.append(_telling("text", population.words[i], int(inside[i]), int(usual.by_text[i]), len(rows), base))
    for name, everybody in usual.by_value.items():
        for value, count in _counts(population.attributes[name].take(pa.array(rows))).items():
            if count >= FREQUENT:
                candidates.append(_telling("attribute", f"{name} is {value}", count, everybody.get(value, 0), len(rows), base))
    best = sorted((pair for pair in candidates if pair[0] > 0), key=lambda pair: -pair[0])[:limit]
    return [each for _, each in best]


@dataclass(frozen=True)
class Usual:
    """Users with a history who have each text (T,), and each value of each attribute."""

    by_text: np.ndarray
    by_value: dict[str, dict[Any, int]]


@single_flight(2)
def _usual(population: Population) -> Usual:
    """What an audience is held against, counted once: to pass over everybody's events takes a second for each ten million."""
    past, activity = population.past, {f.name for f in ACTIVITY_FEATURES}
    by_text = np.zeros(len(past.texts), np.int64)
    for start in range(0, past.users, BLOCK):  # events are in the order of users
        first, end = np.searchsorted(past.user, np.array([start, start + BLOCK], past.user.dtype))
        by_text += _users_by_text(past.at(np.arange(first, end)))
    with_history = population.attributes.filter(pa.array(population.has_history))
    named = [field.name for field in with_history.schema if field.type in ("string", "bool") and field.name not in activity]
    return Usual(by_text, {name: _counts(with_history[name]) for name in named})


def _users_by_text(events: Past) -> np.ndarray:
    """(T,) how many users did what each text says; what was done to them is left out."""
    pairs = np.sort((events.user.astype(np.int64) * len(events.texts) + events.text)[~events.exposed])
    is_new = np.diff(pairs, prepend=-1) > 0  # np.unique hashes numbers, which takes fifteen times as long
    return np.bincount(pairs[is_new] % max(1, len(events.texts)), minlength=len(events.texts))


def _counts(column: pa.ChunkedArray) -> dict[Any, int]:
    """How many have each value; who has none counts for nothing."""
    return {pair["values"]: pair["counts"] for pair in column.drop_null().value_counts().to_pylist()}


def _telling(kind: str, text: str, inside: int, everybody: int, users: int, base: int) -> tuple[float, Typical]:
    share, usual = inside / users, everybody / base
    error = np.sqrt(max(usual * (1 - usual), 1e-6) / users)
    return float((share - usual) / error), Typical(kind, text, round(share, 4), round(usual, 4))


def as_sentence(reasons: Sequence[Evidence]) -> str:
    """Reasons in one line for a table."""
    return "; ".join(
        f"{e.text}{f' x{e.times}' if e.times and e.times > 1 else ''} {e.share:.0%}" for e in reasons if e.kind != REST
    )
