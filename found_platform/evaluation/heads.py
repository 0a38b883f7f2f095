"""Heads made from a few users of either kind, as a look-up by seeds makes them."""

import numpy as np

from found_platform.audiences import prompts
from found_platform.evaluation.population import Population
from found_platform.scoring import few_shot as few_shot_heads

TUNED = 5
"""Users of either kind that prompts are tuned from in the paper."""

ABOUT = {
    "sentence": "the demand alone, before any user is shown",
    "prototype": "the difference of the means of either kind, beside the demand",
    "logistic": "a regularised logistic regression on the whole vector",
    "lp++": "the same, its weights blended with the demand (arXiv 2404.02285)",
    "prompt": "learnable tokens before the demand, tuned by the triplet loss: the paper's way",
    "chosen": "what a look-up by seeds uses: the head that ranks left-out seeds best",
}


def scores(
    population: Population, demand: str, demand_scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """Scores (U,) by each head of `scoring.few_shot`, from a few users (rows) who will do it and who will not.

    `demand_scores` (U,) are those of the demand without any label. Prompt tuning takes seconds: with more than TUNED of either
    kind it is there for the first `seed` alone.
    """
    with_history = np.flatnonzero(population.has_history)
    place = np.full(len(population.keys), -1)
    place[with_history] = np.arange(len(with_history))
    vectors = population.vectors[with_history]
    demand_query = few_shot_heads.imitate(vectors, demand_scores[with_history])
    tuner = prompts.tuner(population.model, demand) if seed == 0 or len(positives) <= TUNED else None
    keys = population.keys.take(with_history)
    by_head = few_shot_heads.few_shot_scores(
        vectors, keys, place[positives].tolist(), place[negatives].tolist(), demand_query, tuner, seed
    )
    scores_by_head = {}
    for name, values in by_head.items():
        scores_by_head[name] = np.full(len(population.keys), values.min() - 1)
        scores_by_head[name][with_history] = values
    return scores_by_head
