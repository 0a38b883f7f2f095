"""`replay`: past windows answer, where the past holds enough of what is asked; see `scoring.replay`."""

import numpy as np

from found_platform.index.past import Past
from found_platform.outcomes import Outcome, in_full
from found_platform.scoring import stated, texts
from found_platform.scoring.demand import Demand
from found_platform.scoring.evidence import HABITS, Evidence, Weighed
from found_platform.scoring.population import Population
from found_platform.scoring.replayed import PastTooShort, Replayed
from found_platform.scoring.scorers import habit, late
from found_platform.scoring.scorers.interface import Carried, Ranking


class Replay:
    """Log-odds of doing what is asked; late interaction takes its place where the past is too short."""

    name, is_mode, rewrites, asks_log = "replay", True, True, True

    def rank(self, population: Population, demand: Demand, horizon_days: int, *, reason: str | None = None) -> Ranking:
        """See `Scorer`."""
        if demand.stated is not None:
            return self._of_outcome(population, demand, demand.stated, horizon_days)
        matching = demand.matched(population)
        try:
            replayed = texts.answer(population, matching, horizon_days)
        except PastTooShort as why:
            return late.SCORER.rank(population, demand, horizon_days, reason=f"late interaction instead of replay: {why}")
        newest, before = replayed.matched
        reasons = [
            f"past windows of {replayed.days} days answer: {before:,} and {newest:,} users did it in the two newest that do not "
            "overlap"
        ]
        if replayed.matching.channels.sum() > matching.channels.sum():
            reasons.append("(counting any way to do it: too few did it as asked)")
        if replayed.matching.min_amount < matching.min_amount:
            reasons.append(f"(counting any amount: too few did it for {in_full(matching.min_amount)} or more)")
        if replayed.days < horizon_days:
            reasons.append(f"(the past is too short for windows of {horizon_days})")
        return Ranking(self.name, " ".join(reasons), replayed.scores, replayed=replayed)

    def _of_outcome(self, population: Population, demand: Demand, outcome: Outcome, horizon_days: int) -> Ranking:
        try:
            replayed = stated.answer(population, outcome, horizon_days)
        except PastTooShort as why:
            return habit.SCORER.rank(population, demand, horizon_days, reason=f"habits so far instead of replay: {why}")
        newest, before = replayed.matched
        reasons = [
            f"past windows of {replayed.days} days answer: it came true for {before:,} and {newest:,} users in the two newest that "
            "do not overlap"
        ]
        if replayed.days < horizon_days:
            reasons.append(f"(the past is too short for windows of {horizon_days}: numbers are asked in proportion)")
        return Ranking(self.name, " ".join(reasons), replayed.scores, replayed=replayed, about=replayed.about)

    def carried(
        self, population: Population, ranking: Ranking, demand: Demand, rows: np.ndarray, places: np.ndarray, events: Past
    ) -> Carried:
        """See `Scorer`."""
        assert ranking.replayed is not None
        words = stated.rhythm_in_words(population, demand.stated, rows) if demand.stated is not None else {}
        return Carried(ranking.replayed.event_values(events), _beside_texts(population, ranking.replayed, rows, words))


def _beside_texts(
    population: Population, replayed: Replayed, rows: np.ndarray, rhythm: dict[int, str]
) -> dict[int, tuple[float, list[Weighed]]]:
    """By row, what matches adds to the log-odds, and what activity, rhythm, each attribute and the learned vectors do."""
    effects = replayed.effects(rows)
    parts: dict[int, tuple[float, list[Weighed]]] = {}
    table = population.attributes
    for i, row in enumerate(rows.tolist()):
        rest: list[Weighed] = []
        for name, effect in effects.items():
            if name == "matches" or effect[i] <= 0:
                continue
            if name in ("learned", "taste"):
                rest.append((float(effect[i]), HABITS))
            elif name == "rhythm":
                rest.append((float(effect[i]), Evidence("rhythm", rhythm[row], 0.0)))
            elif name == "activity":
                often = table["events_28d"][row].as_py()
                rest.append((float(effect[i]), Evidence("activity", f"{often} events in the last 28 days", 0.0)))
            elif (value := table[name][row].as_py()) is not None:
                rest.append((float(effect[i]), Evidence("attribute", f"{name} is {value}", 0.0)))
        parts[row] = (max(0.0, float(effects["matches"][i])), rest)
    return parts


SCORER = Replay()
