"""How far a long use case is: events that it tells its context, and that a way in shows as it likes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from found_platform.app.document import written_as


@dataclass(frozen=True)
class Opened:
    """A home is tied to a source and everything is about to run. `notes` say what is new and what to expect."""

    source: str
    first: date
    end: date
    cutoff: date
    profile: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Working:
    """What is being worked on from now on: an asset, or what it waits for."""

    on: str


@dataclass(frozen=True)
class AssetDone:
    """One asset of a full run: keys made in this run, keys that were up to date, rows written, seconds."""

    asset: str
    materialized: int = field(metadata=written_as("made"))
    up_to_date: int
    rows: int | None
    seconds: float


@dataclass(frozen=True)
class Published:
    """Users are published and look-ups answer; what is still to come of the run judges and watches, and nobody waits for it.

    Attributes:
        demand: one to look up first.
        frozen_text_serves: why no trained model serves, where none does.
        waiting: that the version of this cutoff waits behind the champion that answers.
        benchmark_scenarios: how many scenarios the benchmark takes at most that ends the run; None takes all.
    """

    demand: str
    frozen_text_serves: str | None
    waiting: str | None
    benchmark_scenarios: int | None = None


@dataclass(frozen=True)
class Expected:
    """What a backfill is going to make, and how long that is expected to take: by asset its days."""

    days: dict[str, int]
    seconds: float
    sentence: str


@dataclass(frozen=True)
class DaysDone:
    """Days of an asset that a backfill has made so far, of all that it has to make."""

    asset: str
    materialized: int = field(metadata=written_as("made"))
    total: int


Event = Opened | Working | AssetDone | Published | Expected | DaysDone
Listener = Callable[[Event], None]


def nobody(event: Event) -> None:
    """The listener where nobody looks."""
