"""The parameters of the simulated world, read from `world.yaml` once and laid out as arrays over its leaves.

What belongs here: what is the same for everybody. What does not: people (`people`) and what they do (`days`).
"""

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

import numpy as np
import yaml

VERSION = 1
"""The world's version. A change of any parameter is a new version with a table of its own in docs/simulator.md."""

BANDS = {
    "age_band": ["18-24", "25-34", "35-44", "45-54", "55-64", "65+"],
    "income_band": ["low", "middle", "high"],
    "city_tier": ["1", "2", "3"],
}
TILT = 3.0  # how much more likely a leaf is for those whose profile band it names
MAX_DELAY = 13
"""Days between a wish and its payment, at most."""
DELAY = 0.35 * 0.65 ** np.arange(MAX_DELAY + 1)
DELAY = DELAY / DELAY.sum()  # (14,) probability that a payment comes d days after the wish
SEASON_FACTOR = 2.0


@dataclass(frozen=True)
class World:
    """`leaves` are the things people can want; every array has a row a leaf."""

    raw: dict

    @cached_property
    def leaves(self) -> list[str]:
        return list(self.raw["leaves"])

    @cached_property
    def index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.leaves)}

    def _column(self, key: str, default: object = None) -> list:
        return [leaf.get(key, default) for leaf in self.raw["leaves"].values()]

    @cached_property
    def department(self) -> np.ndarray:
        """(L,) index of the leaf's department."""
        names = self._column("department")
        order = list(dict.fromkeys(names))
        return np.array([order.index(n) for n in names])

    @cached_property
    def price(self) -> np.ndarray:
        return np.array(self._column("price"), float)

    @cached_property
    def conversion(self) -> np.ndarray:
        return np.array(self._column("conversion"), float)

    @cached_property
    def spread(self) -> np.ndarray:
        """(L,) shape of the taste's gamma distribution: small where few love it and most do not care."""
        return np.array(self._column("spread", 0.25), float)

    @cached_property
    def weight(self) -> np.ndarray:
        """(L,) factor of the taste for a leaf."""
        return np.array(self._column("weight", 1.0), float)

    @cached_property
    def window(self) -> np.ndarray:
        """(L,) share of people who wish for the leaf and never buy it."""
        return np.array(self._column("window", 0.0), float)

    @cached_property
    def steady(self) -> np.ndarray:
        """(L,) wishes a day that everybody has alike, however active."""
        return np.array(self._column("steady", 0.0), float)

    @cached_property
    def everyday(self) -> np.ndarray:
        return np.array(self._column("everyday", False), bool)

    @cached_property
    def monthly(self) -> np.ndarray:
        """(L,) bool: bills, which come on one day of the month."""
        return np.array(self._column("monthly", False), bool)

    @cached_property
    def week(self) -> np.ndarray:
        """(7,) factor of the wishes on each day of the week, Monday first, mean 1."""
        factor = np.array(self.raw["week"], float)
        return factor / factor.mean()

    @cached_property
    def season(self) -> np.ndarray:
        """(12, L) factor of the wishes in each month."""
        factor = np.ones((12, len(self.leaves)))
        for i, months in enumerate(self._column("season", [])):
            factor[[m - 1 for m in months], i] = SEASON_FACTOR
        return factor

    @cached_property
    def hobbies(self) -> np.ndarray:
        """(L,) bool: leaves that can become a new hobby."""
        return np.isin(self.leaves, self.raw["hobby"]["leaves"])

    def phases(self, event: str) -> list[tuple[int, int, int, float]]:
        """(leaf, first day, last day, peak wishes a day) of a life event."""
        return [(self.index[leaf], int(a), int(b), float(p)) for leaf, a, b, p in self.raw["life_events"][event]["phases"]]

    @property
    def life_events(self) -> list[str]:
        return list(self.raw["life_events"])

    @cached_property
    def fingerprint(self) -> str:
        """The hash that docs/simulator.md quotes and a test holds."""
        return hashlib.sha256(_text("world.yaml").encode() + _text("scenarios.yaml").encode()).hexdigest()[:16]


def triangle(day: np.ndarray, first: int, last: int) -> np.ndarray:
    """A rise from 0 at `first` to 1 in the middle and a fall to 0 at `last`; 0 outside."""
    middle = (first + last) / 2
    return np.clip(1 - np.abs(day - middle) / (last - middle), 0, None)


def _text(name: str) -> str:
    return (resources.files("found_platform.sources.simulator") / name).read_text()


@cache
def world() -> World:
    return World(yaml.safe_load(_text("world.yaml")))


@cache
def scenarios() -> list[dict]:
    """The scenarios as data: demand, paraphrases, leaves and outcome that define them, horizon, domain, hard negatives."""
    return yaml.safe_load(_text("scenarios.yaml"))["scenarios"]
