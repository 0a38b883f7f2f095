"""Few-shot targeting: from a handful of seed users to one query over the stored vectors.

Several heads are fitted, each linear in the stored vector, so that any of them can be asked of the vector index. How well each
ranks seeds that it has not seen decides which is used. Functions of arrays: what users and demands are is not known here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from found_platform.errors import BadInput
from found_platform.metrics import placements

MIN_SEEDS = 3
FEW_SEEDS = 10
FOLDS = 5
"""Of up to five seeds each is left out alone, of more a fifth at a time."""
BACKGROUND = 1000
"""Users drawn to stand for everybody."""
GIVEN_SHARE = 0.2
"""Share of the others' weight that negatives given by a person have; the background has the rest."""
RIDGE = 1.0
"""Pull of a probe's weights to 0, by column: before any seed is seen, scores spread by one over its root, in log odds."""
TRUST, TRUSTED = 1.5, 3.0
"""Log odds that a standard deviation of the demand's own score is worth before any seed is seen, and how strongly that is held."""
PROTOTYPE = 0.5
"""Worth of the full difference of class means beside the demand's own score, both of unit spread."""
AHEAD = 3.0
"""Standard errors by which another head must lead the usual one: seeds are few, and several heads are compared."""
SPREAD, SPREAD_SEEDS = 0.2, 10
"""A usual spread of what two heads make of a seed, and how many seeds that counts as: the spread over five is no measure."""
POOR = 0.6
TUNING = 100
"""Users of the background that a prompt is tuned against."""
SUGGESTED = 10

Linear = tuple[np.ndarray, float]
"""Weights and a bias."""

Tuner = Callable[[Sequence[tuple[np.ndarray, np.ndarray]]], np.ndarray]
"""Prompt tuning: from S pairs of stored vectors of positives (P, W) and of negatives (N, W) to S queries (S, K), K <= W."""


@dataclass(frozen=True)
class FewShotHead:
    """A score linear in stored vectors: `vectors[:, :len(query)] @ query + bias`. It orders users and is no probability.

    `leave_one_out` has each head's AUC: seeds left out, against others left out. `suggested_negatives` are keys of the likest users
    who are no seeds, best first: a person can say which of them are not wanted.
    """

    kind: str
    query: np.ndarray  # (W',) float32, on the first W' places
    bias: float
    chosen_because: str
    leave_one_out: dict[str, float]
    warning: str | None
    suggested_negatives: list[str]


def fit(
    vectors: np.ndarray,
    keys: list[str],
    positives: Sequence[int],
    negatives: Sequence[int] | None = None,
    sentence_query: np.ndarray | None = None,
    tuner: Tuner | None = None,
    seed: int = 0,
) -> FewShotHead:
    """The head to use for these seeds.

    That is `lp++` (`logistic` where there is no demand), unless another ranks left-out seeds clearly better.

    Args:
        vectors: (U, W) stored vectors of the users who have a history, or of a fair sample of them and the seeds.
        keys: (U,) user keys of the rows.
        positives: rows of the seed users.
        negatives: rows of users who are not wanted; None or none where nobody said.
        sentence_query: (W',) the demand before any seed is seen, a query on the first W' places: the sentence's vector, or any
            mode's scores by `imitate`. Without it the heads `sentence` and `lp++` are left out.
        tuner: prompt tuning for the demand; without it the head `prompt` is left out.
        seed: of the background and of what is left out when.

    Raises BadInput for fewer than three seeds, and for a user who is a seed and a negative.
    """
    return _fit(vectors, keys, positives, negatives, sentence_query, tuner, seed)[0]


def few_shot_scores(
    vectors: np.ndarray,
    keys: list[str],
    positives: Sequence[int],
    negatives: Sequence[int] | None = None,
    sentence_query: np.ndarray | None = None,
    tuner: Tuner | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Scores (U,) by each head's name, and by `chosen`, the head that `fit` returns. Arguments and errors as there."""
    head, heads = _fit(vectors, keys, positives, negatives, sentence_query, tuner, seed)
    scores = {name: vectors[:, : len(query)] @ query + bias for name, (query, bias) in heads.items()}
    return {**scores, "chosen": scores[head.kind]}


def imitate(vectors: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Any ranking as a query: the one (W,) whose products with the vectors (U, W) come nearest to scores (U,), up to a constant."""
    space = Space.of(vectors)
    features = space.standard(vectors)
    ridge = 0.05 * len(features) * np.eye(features.shape[1])
    weights = np.linalg.solve(features.T @ features + ridge, features.T @ (scores - scores.mean()))
    return space.query((weights, 0.0))[0]


@dataclass(frozen=True)
class Space:
    """Columns of unit variance over everybody: the parts of a stored vector are on different scales."""

    mean: np.ndarray  # (W,)
    scale: np.ndarray  # (W,)

    @classmethod
    def of(cls, vectors: np.ndarray) -> "Space":
        scale = vectors.std(0, dtype=np.float64)
        return cls(vectors.mean(0, dtype=np.float64), np.where(scale > 1e-6, scale, 1.0))

    def standard(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors - self.mean) / self.scale

    def query(self, head: Linear) -> Linear:
        """A head on standard columns as one on stored vectors."""
        query = head[0] / self.scale
        return query.astype(np.float32), float(head[1] - query @ self.mean)

    def weights(self, query: np.ndarray) -> np.ndarray:
        """A query on the first places of stored vectors as weights (W,) on standard columns."""
        return np.pad(query.astype(np.float64), (0, len(self.scale) - len(query))) * self.scale


@dataclass(frozen=True)
class Sample:
    """Seeds, negatives given, and a background that stands for everybody, in this order."""

    vectors: np.ndarray  # (N, W) as stored
    features: np.ndarray  # (N, W) standard columns
    is_seed: np.ndarray  # (N,) bool, the seeds
    is_negative: np.ndarray  # (N,) bool, the negatives given

    def take(self, rows: np.ndarray) -> "Sample":
        return Sample(self.vectors[rows], self.features[rows], self.is_seed[rows], self.is_negative[rows])

    @property
    def mass(self) -> np.ndarray:
        """(N,) weights: 1 for a seed; the others together weigh as much as the seeds together."""
        seeds = self.is_seed.sum()
        share = GIVEN_SHARE if self.is_negative.any() else 0.0
        drawn = ~self.is_seed & ~self.is_negative
        mass = self.is_seed.astype(float)
        mass[self.is_negative] = share * seeds / max(self.is_negative.sum(), 1)
        mass[drawn] = (1 - share) * seeds / max(drawn.sum(), 1)
        return mass

    def folds(self, rng: np.random.Generator) -> np.ndarray:
        """(N,) when each is left out: seeds, negatives given and background in equal parts."""
        folds = np.empty(len(self.is_seed), int)
        for group in (self.is_seed, self.is_negative, ~self.is_seed & ~self.is_negative):
            folds[group] = rng.permutation(int(group.sum())) % min(FOLDS, int(self.is_seed.sum()))
        return folds

    def tuned_on(self) -> tuple[np.ndarray, np.ndarray]:
        """Stored vectors of the seeds, and of the negatives given with some of the background."""
        others = self.vectors[~self.is_seed]
        return self.vectors[self.is_seed], others[: self.is_negative.sum() + TUNING]

    def wins(self, weights: np.ndarray) -> np.ndarray:
        """(P,) for each seed the share of the others, by mass, that it ranks above. Their mean is the AUC."""
        scores = self.features @ weights
        return placements(scores[self.is_seed], scores[~self.is_seed], self.mass[~self.is_seed])


def probe(sample: Sample, text: np.ndarray | None = None) -> Linear:
    """A regularised logistic regression; with `text`, LP++ (arXiv 2404.02285): its weights are w + alpha t.

    The weighted cross-entropy + RIDGE W / 2 |w|^2 + TRUSTED / 2 (alpha - TRUST)^2 falls block by block, each time to the lowest
    point of a parabola that lies nowhere below it, so there is no learning rate. It starts with w along the difference of means.

    Args:
        text: (W,) t, the demand's own weights, of unit spread as a score.
    """
    features, labels, mass = sample.features, sample.is_seed.astype(float), sample.mass
    ridge = RIDGE * features.shape[1]
    text_scores = features @ text if text is not None else np.zeros(len(features))
    weights, alpha, bias = features.T @ (mass * (labels - 0.5)) / ridge, TRUST, 0.0

    def error() -> np.ndarray:
        return mass * ((1 + np.tanh((features @ weights + alpha * text_scores + bias) / 2)) / 2 - labels)

    # The cross-entropy of a row is curved by a quarter of its mass at most.
    curved = np.linalg.norm(np.sqrt(mass)[:, None] * features, 2) ** 2 / 4 + ridge
    curved_alpha = mass @ text_scores**2 / 4 + TRUSTED
    for _ in range(300):
        step = (features.T @ error() + ridge * weights) / curved
        weights = weights - step
        alpha -= (text_scores @ error() + TRUSTED * (alpha - TRUST)) / curved_alpha
        bias -= error().sum() / (mass.sum() / 4)
        if np.abs(step).max() < 1e-6:
            break
    return (weights if text is None else weights + alpha * text), float(bias)


def prototype(sample: Sample, text: np.ndarray | None = None) -> Linear:
    """The difference of the class means, shrunk towards the demand's own weights `text` (W,).

    As much of its squared length is taken away as the scatter of so few seeds alone would give it (James and Stein).
    """
    seeds, others = sample.features[sample.is_seed], sample.features[~sample.is_seed]
    difference = seeds.mean(0) - np.average(others, 0, sample.mass[~sample.is_seed])
    if text is None:
        return difference, 0.0
    kept = max(0.0, 1 - seeds.var(0, ddof=1).sum() / len(seeds) / max(difference @ difference, 1e-12))
    return text + PROTOTYPE * kept * _unit(difference, others), 0.0


def _unit(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Weights of which the score has unit spread."""
    return weights / max((features @ weights).std(), 1e-9)


def _fit(
    vectors: np.ndarray,
    keys: list[str],
    positives: Sequence[int],
    negatives: Sequence[int] | None,
    sentence_query: np.ndarray | None,
    tuner: Tuner | None,
    seed: int,
) -> tuple[FewShotHead, dict[str, Linear]]:
    """The head to use, and every head on stored vectors by name."""
    near, far = (np.unique(np.array([] if rows is None else rows, int)) for rows in (positives, negatives))
    if len(near) < MIN_SEEDS:
        raise BadInput(f"{len(near)} seed users are too few to learn from: give {MIN_SEEDS} at least, better {FEW_SEEDS} or more.")
    if both := len(np.intersect1d(near, far)):
        raise BadInput(f"Users who are seeds and negatives at once: {both}. A user is one or the other.")
    rng = np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(len(vectors)), np.concatenate([near, far]))
    if len(others) < len(near):
        raise BadInput(f"Only {len(others)} users are no seeds: there is nobody to tell {len(near)} seeds from.")
    drawn = rng.choice(others, min(BACKGROUND, len(others)), replace=False)
    rows, space = np.concatenate([near, far, drawn]), Space.of(vectors[drawn])
    place = np.arange(len(rows))
    is_seed = place < len(near)
    is_negative = ~is_seed & (place < len(near) + len(far))
    sample = Sample(vectors[rows], space.standard(vectors[rows]), is_seed, is_negative)
    text = None if sentence_query is None else _unit(space.weights(sentence_query), sample.features[~is_seed])

    folds = sample.folds(rng)
    parts = [sample, *(sample.take(folds != fold) for fold in range(folds.max() + 1))]
    fitted = [_heads(part, text) for part in parts]
    prompts = [] if tuner is None else tuner([part.tuned_on() for part in parts])
    for heads, prompt in zip(fitted, prompts, strict=False):
        heads["prompt"] = space.weights(prompt), 0.0
    wins = {name: np.empty(len(near)) for name in fitted[0]}
    for fold, heads in enumerate(fitted[1:]):
        left_out = sample.take(folds == fold)
        for name, (weights, _) in heads.items():
            wins[name][folds[is_seed] == fold] = left_out.wins(weights)

    heads = {name: space.query(head) for name, head in fitted[0].items()}
    if sentence_query is not None:
        heads["sentence"] = sentence_query.astype(np.float32), 0.0
    if tuner is not None:
        heads["prompt"] = prompts[0].astype(np.float32), 0.0
    kind, because = _choose(wins, "logistic" if text is None else "lp++")
    query, bias = heads[kind]
    scores = vectors[:, : len(query)] @ query
    likest = others[np.argsort(-scores[others], kind="stable")[:SUGGESTED]]
    figures = {name: round(float(w.mean()), 4) for name, w in wins.items()}
    return FewShotHead(kind, query, bias, because, figures, _warning(wins[kind]), [keys[row] for row in likest]), heads


def _heads(sample: Sample, text: np.ndarray | None) -> dict[str, Linear]:
    """Each head on standard columns, by name."""
    heads = {"prototype": prototype(sample, text), "logistic": probe(sample)}
    return heads if text is None else {"sentence": (text, 0.0), **heads, "lp++": probe(sample, text)}


def _choose(wins: dict[str, np.ndarray], usual: str) -> tuple[str, str]:
    """The head to use by what each made of left-out seeds (P,), and why."""
    best = max(wins, key=lambda name: (wins[name].mean(), name == usual))
    if best == usual:
        return usual, f"{usual} ranks left-out seeds best (AUC {wins[usual].mean():.2f})"
    ahead = wins[best] - wins[usual]
    lead, aucs = ahead.mean(), (wins[best].mean(), wins[usual].mean())
    if f"{aucs[0]:.3f}" == f"{aucs[1]:.3f}":
        return usual, f"{usual} and {best} rank left-out seeds equally well (AUC {aucs[1]:.3f})"
    decimals = 2 if f"{aucs[0]:.2f}" != f"{aucs[1]:.2f}" else 3
    figures = f"AUC {aucs[0]:.{decimals}f} against {aucs[1]:.{decimals}f}"
    if lead > AHEAD * _error_of_mean(ahead, SPREAD):
        return best, f"{best} ranks left-out seeds clearly better than {usual} ({figures})"
    return usual, f"{best} ranks left-out seeds better than {usual} ({figures}), but not by more than chance does among so few"


def _error_of_mean(values: np.ndarray, spread: float) -> float:
    """Standard error of the mean of values (P,), of which a usual spread is known."""
    squares = values.var() * len(values) + SPREAD_SEEDS * spread**2
    return float(np.sqrt(squares / (len(values) - 1 + SPREAD_SEEDS) / len(values)))


def _warning(wins: np.ndarray) -> str | None:
    """What seeds of which a head made this when they were left out (P,) cannot tell, if anything."""
    seeds, auc, sentences = len(wins), float(wins.mean()), []
    if seeds < FEW_SEEDS:
        about = 2 * _error_of_mean(wins, 1 / np.sqrt(12))  # places by chance are spread evenly
        sentences.append(
            f"leave-one-out over {seeds} seeds is {seeds} judgements: its AUC of {auc:.2f} may be off by {about:.2f}, which tells "
            f"useless from useful, but not good from better; give {FEW_SEEDS} seeds or more"
        )
    if auc < POOR:
        sentences.append(
            "left-out seeds rank hardly above other users: the seeds have little in common in what is stored; check who they are"
        )
    return "; ".join(sentences) or None
