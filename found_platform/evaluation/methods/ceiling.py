"""The labelled ceiling: what replay's features hold, for whoever knows the labels of most users.

Boosting sees the features of a demand as replay scores them at the cutoff, and four fifths of the labels at a time; the other
fifth is judged. A look-up sees no label at all, so what it lacks to this row is what it could still learn from the same features,
and what this row lacks to the oracle is not in them.
"""

import numpy as np

from found_platform.evaluation.methods.interface import MostLabels
from found_platform.evaluation.population import Population
from found_platform.evaluation.scenario import Scenario
from found_platform.outcomes import Outcome
from found_platform.scoring.replay import prepared
from found_platform.scoring.replayed import PastTooShort
from found_platform.scoring.stated import TASKS

FOLDS = 5
TREES = {"learning_rate": 0.08, "max_iter": 80, "max_leaf_nodes": 8, "min_samples_leaf": 10, "l2_regularization": 5.0}


def scores(features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray | None:
    """(N,) of each of the users with these features (N, F), by trees that were fitted on the labels (N,) of the others.

    None where there are fewer users of either kind than FOLDS.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold

    if np.bincount(labels, minlength=2).min() < FOLDS:
        return None
    scores = np.empty(len(labels))
    for fit, judged in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, labels):
        trees = HistGradientBoostingClassifier(**TREES, max_features=0.3, early_stopping=False, random_state=seed)  # pyright: ignore
        scores[judged] = trees.fit(features[fit], labels[fit]).decision_function(features[judged])
    return scores


def features(population: Population, scenario: Scenario) -> np.ndarray | None:
    """(U, F) what replay knows of everybody at the cutoff: of the outcome that is stated, or that the demand is read as."""
    outcome = scenario.outcome or population.rewritten(scenario.demand).outcome
    if outcome is None:
        return None
    plain = Outcome(will=outcome.will, join=outcome.join)
    rankings = [plain]
    if "affinity" in (scenario.rank, outcome.rank) and not outcome.will[0].do.is_anything:
        rankings.append(plain.model_copy(update={"rank": "affinity"}))
    try:
        replay = prepared(population, scenario.horizon_days)
    except PastTooShort:
        return None
    return np.hstack([replay.head_features(TASKS[each.rank](replay, each, scenario.horizon_days)) for each in rankings])


METHODS = (
    MostLabels(
        "labelled_ceiling", "boosted trees on replay's features, fitted on four fifths of the labels", features, scores, own=True
    ),
)
