"""`habit`: what users did so far of what is asked. It takes the place of replay where the past is too short to learn from; it is no
mode that is asked for."""

import numpy as np

from found_platform.index.past import Past
from found_platform.outcomes import Act, Outcome, Statement
from found_platform.scoring import acts, everybody
from found_platform.scoring.acts import Doing
from found_platform.scoring.demand import Demand
from found_platform.scoring.population import Population
from found_platform.scoring.scorers.interface import Carried, Ranking
from found_platform.scoring.whom import Whom

FADE = 60.0
"""Days over which what was done fades."""

FEW = 3.0
"""Acts that a share is shrunk by."""


class Habit:
    """Newer acts weigh more; where the demand is not to do it, less of them is better."""

    name, is_mode, rewrites, asks_log = "habit", False, True, True

    def rank(self, population: Population, demand: Demand, horizon_days: int, *, reason: str | None = None) -> Ranking:
        """See `Scorer`."""
        outcome = _outcome(demand)
        texts = [acts.match(population, statement.do) for statement in outcome.will]
        whom = Whom(population, outcome, None)

        def of_part(part: Population) -> np.ndarray:
            doings = [acts.resolve(part, statement.do, about) for statement, about in zip(outcome.will, texts, strict=True)]
            scores = sum(
                (-1.0 if statement.negated else 1.0) * _habit(doing, statement, outcome)
                for statement, doing in zip(outcome.will, doings, strict=True)
            )
            return np.stack([scores, whom.of(part, doings).now()], 1)  # pyright: ignore[reportArgumentType]

        scores, about = everybody.joined(population, of_part).T
        return Ranking(self.name, reason or "habits so far were asked for", scores, about=about > 0)

    def carried(
        self, population: Population, ranking: Ranking, demand: Demand, rows: np.ndarray, places: np.ndarray, events: Past
    ) -> Carried:
        """See `Scorer`: the acts of what is asked, newer ones more."""
        statement = _outcome(demand).will[0]
        matching = acts.match(population, statement.do)
        weights = np.ones(len(events.text)) if matching is None else matching.weights()[events.text]
        faded = weights * np.exp((events.happened - events.day) / FADE) * ~events.exposed
        return Carried(np.zeros(len(faded)) if statement.negated or statement.do.returned else faded)


def _outcome(demand: Demand) -> Outcome:
    return demand.outcome or Outcome(will=(Statement(do=Act(about=demand.phrases or (demand.sentence,))),))


def _habit(doing: Doing, statement: Statement, outcome: Outcome) -> np.ndarray:
    """(U,) how much of it everybody did, on a log scale; for affinity, its share."""
    fade = np.exp((doing.events.happened - doing.events.day) / FADE)
    amounts = doing.events.amount if outcome.rank == "value" or statement.total is not None else 1.0
    amount_of_act = doing.events.sum_by_user(doing.weights * fade * amounts)
    if outcome.rank == "affinity":
        base = doing.share_base.sum_by_user(np.exp((doing.share_base.happened - doing.share_base.day) / FADE))
        return np.log((amount_of_act + 0.01) / (base + FEW))
    return np.log1p(amount_of_act)


SCORER = Habit()
