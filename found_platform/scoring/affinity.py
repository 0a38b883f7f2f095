"""What tells how much of what users do will be of a kind, whatever they do of it: shares so far, and their taste.

A share of a few acts is mostly chance, so it is shrunk towards the share of everybody. Taste is what else users do: the mean of the
texts of their acts in the frozen space, and the mix of categories, each reduced to a few directions (principal components, a
truncated SVD) that are found in the past alone.
"""

from functools import cached_property

import numpy as np

from found_platform.cache import single_flight
from found_platform.index.past import Past
from found_platform.scoring import parts
from found_platform.scoring.acts import WeightedEvents
from found_platform.scoring.population import Population

BACK = (28, 91, 100_000)
"""Days back over which shares are counted."""

DECAYS = (30.0, 120.0)
"""Days over which an act fades in a share."""

FEW, MANY = 3.0, 20.0
"""Acts of everybody's mix that are added to a user's own: two strengths of belief that users differ."""

DIRECTIONS = 24
"""Directions of taste, of texts and of categories each; chosen on a development population of the simulator."""

FADE = 180.0
"""Days over which an act fades in the mix of categories."""


def bases(kept: Past, day: int) -> np.ndarray:
    """(U, B) how many acts known by a day each user did in each of BACK, and how many are left of them after each of DECAYS."""
    rows = np.flatnonzero(kept.known < day)
    user, age = kept.user[rows], day - kept.happened[rows]
    counts = [np.bincount(user[age <= back], minlength=kept.users) for back in BACK]
    faded = [np.bincount(user, weights=np.exp(-age / decay), minlength=kept.users) for decay in DECAYS]
    return np.stack([*counts, *faded], 1)


def usual_of(doing: WeightedEvents, day: int, base: np.ndarray) -> np.ndarray:
    """(2,) weights of the acts of a kind known by a day, and of all acts, `base` (U, B): their ratio is everybody's share."""
    return np.array([doing.weights[doing.events.known < day].sum(), base[:, len(BACK) - 1].sum()])


def shares(doing: WeightedEvents, day: int, base: np.ndarray, usual_weights: np.ndarray | None = None) -> np.ndarray:
    """(U, S) float32, logs: which share of the acts known by a day, `base` (U, B), was of the kind, shrunk.

    `usual_weights` is `usual_of` everybody, where these are some of them.
    """
    of_kind, of_all = usual_of(doing, day, base) if usual_weights is None else usual_weights
    before = np.flatnonzero(doing.events.known < day)
    events, weights = doing.events.at(before), doing.weights[before]
    age = day - events.happened
    counts, faded = np.split(base.T, [len(BACK)])
    usual = float(of_kind) / max(1.0, of_all)
    columns = []
    for back, acts in zip(BACK, counts, strict=True):
        weight_of_act = events.sum_by_user(weights * (age <= back))
        columns += [(weight_of_act + prior * usual) / (acts + prior) for prior in (FEW, MANY)]
    for decay, acts in zip(DECAYS, faded, strict=True):
        weight_of_act = events.sum_by_user(weights * np.exp(-age / decay))
        columns.append((weight_of_act + FEW * usual) / (acts + FEW))
    return np.log(np.maximum(np.stack(columns, 1), 1e-9)).astype(np.float32)


class Taste:
    """Directions of taste, found in what was known by a day, and where users stand in them at any day."""

    def __init__(self, population: Population, day: int):
        self._population = population
        counts = np.zeros(len(population.past.texts), np.int64)
        for users in parts.parts(population):
            counts += np.bincount(_before(_own(users.past), day).text, minlength=len(counts))
        self._texts = _principal(population.states.frozen_texts, counts)
        self._categories = len(population.states.values["category"])
        self._mix = None
        if self._categories > DIRECTIONS:
            self._mix = _directions(self._counts(_before(_own(parts.some(population).past), day), day))

    @cached_property
    def _whole(self) -> Past:
        return _own(self._population.past)

    def of_part(self, part: Population, day: int, rows: np.ndarray | None) -> list[np.ndarray]:
        """As `features`, of a part of the users alone; nothing is kept."""
        own = _own(part.past)
        return self._of(_before(own if rows is None else own.of_only(rows), day), day)

    def features(self, day: int, rows: np.ndarray | None) -> list[np.ndarray]:
        """Two arrays (N, K) float32: the mean of the texts of a user's acts, shrunk towards everybody's, and the mix of categories,
        without columns where there are too few of them.

        They are of the users at `rows` (N,), ascending; where these are None of everybody at the cutoff, and kept.
        """
        if rows is None:
            return self._current
        return self._of(_before(self._whole.of_only(rows), day), day)

    @cached_property
    def _current(self) -> list[np.ndarray]:
        return self._of(self._whole, self._whole.day)

    def _of(self, before: Past, day: int) -> list[np.ndarray]:
        acts = np.bincount(before.user, minlength=before.users) + FEW
        texts = np.stack([before.sum_by_user(column[before.text]) / acts for column in self._texts.T], 1).astype(np.float32)
        if self._mix is None:
            return [texts, np.empty((before.users, 0), np.float32)]
        counts = self._counts(before, day)
        return [texts, (np.asarray(counts @ self._mix.T) / (_lengths(counts) + 1.0)[:, None]).astype(np.float32)]

    def _counts(self, events: Past, day: int):
        """(U, C) sparse: how much everybody did of each category, newer acts more, on a log scale."""
        from scipy.sparse import csr_matrix

        categorised = events.at(np.flatnonzero(events.category >= 0))
        weights = np.exp((categorised.happened - day) / FADE)
        counts = csr_matrix((weights, (categorised.user, categorised.category)), shape=(categorised.users, self._categories))
        counts.data = np.log1p(counts.data)
        return counts


def _own(past: Past) -> Past:
    return past.at(np.flatnonzero(~past.exposed))


def _before(events: Past, day: int) -> Past:
    return events.at(np.flatnonzero(events.known < day))


@single_flight(4)
def taste(population: Population, day: int) -> Taste:
    """The taste of a population, kept for the demands that follow."""
    return Taste(population, day)


def _principal(vectors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(T, K) vectors (T, E), centred, in the directions in which events (`counts` of each text) differ the most."""
    total = max(1, counts.sum())
    centred = vectors - (counts @ vectors) / total
    _, directions = np.linalg.eigh((centred * counts[:, None]).T @ centred / total)
    return centred @ directions[:, ::-1][:, :DIRECTIONS]


def _directions(counts) -> np.ndarray:
    """(K, C) the directions in which the mix of users differs the most."""
    from scipy.sparse import diags
    from sklearn.utils.extmath import randomized_svd

    unit = diags(1 / np.maximum(_lengths(counts), 1e-6)) @ counts
    return randomized_svd(unit, DIRECTIONS, random_state=0)[2]


def _lengths(counts) -> np.ndarray:
    return np.sqrt(np.asarray(counts.multiply(counts).sum(1)).ravel())
