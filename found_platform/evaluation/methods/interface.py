"""What a method of the benchmark is: a name, one line about it, and what it makes of a population and a question."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from found_platform.evaluation import thresholds
from found_platform.evaluation.classifiers import Classifier, logistic
from found_platform.evaluation.population import Population
from found_platform.evaluation.scenario import Scenario
from found_platform.outcomes import Outcome


@dataclass(frozen=True)
class Question:
    """What a scenario asks: a demand in one or more wordings, its horizon, and the outcome and ranking that a person stated."""

    demands: list[str]
    horizon_days: int
    outcome: Outcome | None = None
    rank: str | None = None


@dataclass(frozen=True)
class ZeroShot:
    """Scores (D, U) of each wording without a label; None where the question cannot be put to it.

    `own` is a method of FOUND, not one that it is compared with; quick tables leave out what is `slow`. `threshold` draws its line,
    from the scores (N,) of the users who are asked about, see `thresholds`. `by_training_seed`: another training seed gives another
    draw. `says_who`: a score is NaN where it cannot rank a user; of others, who did nothing in the lookback is last.
    """

    name: str
    about: str
    scores: Callable[[Population, Question], np.ndarray | None]
    own: bool = False
    slow: bool = False
    threshold: Callable[[np.ndarray], float] = thresholds.average
    by_training_seed: bool = False
    says_who: bool = False


@dataclass(frozen=True)
class Source:
    """Where a method comes from that others published: what of it is as there, what is smaller here, and what data it reads."""

    faithful: str
    reduced: str
    needs: str


@dataclass(frozen=True)
class Probe:
    """Features (U, F), dense or sparse, of everybody, on some rows of which a classifier is fitted; None where there are none.

    `slow` is one that is trained, or read user by user, before it can be asked: quick tables leave it out. `few_shot` is one whose
    classifier is also fitted on a few users of either kind. `by_training_seed`: another training seed gives other draws.
    """

    name: str
    about: str
    features: Callable[[Population], Any]
    classifier: Classifier = logistic
    own: bool = False
    slow: bool = False
    few_shot: bool = False
    source: Source | None = None
    by_training_seed: bool = False


@dataclass(frozen=True)
class FewShot:
    """Scores (U,) of everybody by a question and a few users of either kind, at rows (P,) and (N,); None where it has none.

    What is shown users and is no classifier on features, which is a `Probe`.
    """

    name: str
    about: str
    scores: Callable[[Population, Question, np.ndarray, np.ndarray], np.ndarray | None]
    own: bool = False


@dataclass(frozen=True)
class MostLabels:
    """Features (U, F) of everybody by a scenario, None where there are none; scores (N,) of its users by theirs (N, F) and their
    labels (N,), each made from the labels of most others, None where these are too few. Scores are made in another process.

    The last argument is the seed by which the users are divided.
    """

    name: str
    about: str
    features: Callable[[Population, Scenario], np.ndarray | None]
    scores: Callable[[np.ndarray, np.ndarray, int], np.ndarray | None]
    own: bool = False


Method = ZeroShot | Probe | FewShot | MostLabels
"""What can be compared; the kind of a method says what it is shown."""


def rows_of(
    name: str,
    about: str,
    vectors: Callable[[Population], np.ndarray],
    *,
    faithful: str,
    reduced: str,
    needs: str = "texts, channels, times, categories and amounts of events",
    classifier: Classifier = logistic,
    few_shot: bool = True,
) -> tuple[Probe, Probe]:
    """A published system's two rows: its vectors (U, D) alone, as published, and beside the activity aggregates, as FOUND's are."""
    source = Source(faithful, reduced, needs)
    alone = Probe(
        name,
        about,
        lambda population: population.standard(vectors(population)),
        classifier,
        slow=True,
        few_shot=few_shot,
        source=source,
    )
    beside = Probe(
        f"{name}_activity",
        f"{about}, beside the activity aggregates",
        lambda population: population.standard(vectors(population), population.standard_activity),
        classifier,
        slow=True,
        few_shot=few_shot,
    )
    return alone, beside
