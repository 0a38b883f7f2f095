"""A look-up: a demand or a tuned prompt, a filter and exclusions in; ranked users out, with what answered and as of when.

`score` ranks everybody who may be targeted. `find` gives the best of them, through the index where the scores are a query to it and
few users are asked for, else exactly; the answer says which.
"""

# pyright: reportArgumentType=false
# (pyright does not see that settings, which are frozen, can be hashed)

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from found_platform import index, lake, rewriting
from found_platform.audiences import prompts
from found_platform.audiences.question import TWENTY, Question, Size
from found_platform.contract import normalise_text
from found_platform.errors import BadInput
from found_platform.index import Publication
from found_platform.privacy import audit, suppression
from found_platform.rewriting import Rewriting, reading
from found_platform.scoring import evidence, exact, filters, modes
from found_platform.scoring.evidence import Evidence
from found_platform.scoring.heads import Reach
from found_platform.scoring.modes import Demand, Ranking
from found_platform.scoring.population import Population
from found_platform.scoring.replay import Check
from found_platform.settings import Settings

MAX_DEMAND = 1000
FEW_MATCHES = 1000
"""Under this many matching users, exact scoring is as fast as the index and never misses one."""
FEW_THEN = 200
"""Users of a past moment whom a filter must select, for precision and reach to be theirs."""


@dataclass(frozen=True)
class FoundUser:
    """One user of an answer. `score` is of the mode: an inner product, or log-odds in replay, where `probability` is calibrated."""

    user_id: str
    score: float
    probability: float | None = None
    evidence: list[Evidence] | None = None


@dataclass(frozen=True)
class Audience:
    """The answer. `exact` is false where the vector index answered; `rewriting` is what the sentence was understood as: the mode
    `aligned` asks it as it stands, and a prompt has none."""

    query: str
    rewriting: Rewriting | None
    mode: str
    reason: str
    exact: bool
    as_of: str
    model_version: str
    index_version: str
    count: int
    users: list[FoundUser] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Scored:
    """Everybody who may be targeted, best first.

    Attributes:
        rows: (N,) where the users stand in the population; `keys` are theirs.
        scores: (N,) of the mode.
        probabilities: (N,) calibrated, in replay.
        check: how a past window was told, in replay.
        curve: reach and precision in that window, of the users whom the filter selects; see `heads.Reach`.
        within: (U,) bool: the users whom the curve is about, as they are now.
        base: users with any history.
    """

    question: Question
    published: Publication
    population: Population
    ranking: Ranking
    demand: Demand
    rewriting: Rewriting | None
    rows: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray | None
    check: Check | None
    curve: tuple[Reach, ...]
    within: np.ndarray
    base: int

    @property
    def mode(self) -> str:
        return self.ranking.mode

    @property
    def reason(self) -> str:
        return self.ranking.reason

    @cached_property
    def keys(self) -> list[str]:
        return [self.population.keys[row] for row in self.rows]


def check_demand(sentence: str) -> str:
    """The sentence in normal form. Raises BadInput when it is empty or too long."""
    sentence = normalise_text(sentence)
    if not sentence:
        raise BadInput('The demand is empty: say in one sentence whom you want to reach, such as "people who will soon buy gold".')
    if len(sentence) > MAX_DEMAND:
        raise BadInput(f"The demand has {len(sentence):,} characters: one sentence of at most {MAX_DEMAND:,} is understood.")
    return sentence


def check(question: Question) -> None:
    """Raises BadInput for a question that cannot be answered in any home."""
    if (question.sentence is None) == (question.prompt is None):
        raise BadInput("Ask with a sentence, or with the name of a tuned prompt.")
    if question.sentence is not None:
        check_demand(question.sentence)
    if question.mode not in modes.MODES:
        raise BadInput(f"The mode {question.mode!r} is not one of {', '.join(modes.MODES)}.")
    if question.phrases and question.prompt is not None:
        raise BadInput("Phrases say a sentence in other words: a prompt has none.")
    if question.horizon_days is not None and question.horizon_days < 1:
        raise BadInput(f"A horizon of {question.horizon_days} days lies not ahead: ask for at least one day.")


def _check_filter(settings: Settings, question: Question) -> None:
    """Before anybody is ranked: a slip of the pen is said at once."""
    if question.where:
        filters.parse(question.where, index.filter_columns(settings))


def score(settings: Settings, question: Question, exclude: frozenset[str] = frozenset()) -> Scored:
    """Ranks everybody with a history whom the filter selects, who may be targeted and is not excluded (by user key).

    Raises BadInput for a question or filter that cannot be used.
    """
    check(question)
    published = index.live(settings)
    population = _population(settings, published.name, published.model_version, published.as_of)
    _check_filter(settings, question)
    return _score(population, published, question, exclude, *_rank(population, question))


def find(
    settings: Settings,
    question: Question,
    size: Size = TWENTY,
    *,
    exact: bool = False,
    exclude: frozenset[str] = frozenset(),
    explain: bool = False,
) -> Audience:
    """The best users, as many as the size says (a number or a lowest score), and a row in the audit.

    Raises BadInput as `score`, and for a size that is a level.
    """
    if size.level is not None:
        raise BadInput("A look-up takes a number of users or a lowest score: a level is for `found audience preview` and `save`.")
    check(question)
    published = index.live(settings)
    population = _population(settings, published.name, published.model_version, published.as_of)
    _check_filter(settings, question)
    ranking, demand, made = _rank(population, question)
    why: dict[str, list[Evidence]] = {}
    chances: list[float] | None = None
    hits: list[tuple[str, float]] | str = "exact scoring was asked for" if exact else "a threshold was asked for"
    if not exact and size.top is not None and ranking.query is not None:
        hits = _ask(population, published, ranking, question, size.top, exclude)
    if isinstance(hits, str):
        said = f"{ranking.reason}; scored over all users: {hits}" if exact or ranking.query is not None else ranking.reason
        scored = _score(population, published, question, exclude, ranking, demand, made)
        count = int((scored.scores >= size.min_score).sum()) if size.top is None else min(size.top, len(scored.rows))
        found = list(zip(scored.keys[:count], scored.scores[:count].tolist(), strict=True))
        chances = None if scored.probabilities is None else scored.probabilities[:count].tolist()
    else:
        said, found = f"{ranking.reason}; answered by the index", hits
    if explain:
        rows = np.array([population.row[key] for key, _ in found], np.int64)
        why = evidence.explain(population, ranking, demand, rows)
    answer = Audience(
        query=question.sentence if question.sentence is not None else demand.sentence,
        rewriting=made,
        mode=ranking.mode,
        reason=said,
        exact=isinstance(hits, str),
        as_of=published.as_of,
        model_version=published.model_version,
        index_version=published.name.removesuffix(".db"),
        count=len(found),
        users=[
            FoundUser(population.names[key], round(value, 6), round(chances[i], 6) if chances else None, why.get(key))
            for i, (key, value) in enumerate(found)
        ],
    )
    asked = {
        "top": size.top,
        "min_score": size.min_score,
        "exact": exact or None,
        "explain": explain or None,
        "without_users": len(exclude) or None,
    }
    audit.record(
        settings,
        "find",
        question={**asdict(question), **asked},
        rows=answer.count,
        model_version=answer.model_version,
        index_version=answer.index_version,
        reason=answer.reason,
    )
    return answer


def explain(scored: Scored, user_keys: Sequence[str]) -> dict[str, list[Evidence]]:
    """What carried the scores of some of the users, by user key."""
    rows = np.array([scored.population.row[key] for key in user_keys], np.int64)
    return evidence.explain(scored.population, scored.ranking, scored.demand, rows)


def release(settings: Settings) -> None:
    """Gives the index back, so that another process can open it; the next look-up opens it again."""
    _searcher(settings).close()


@lru_cache(maxsize=2)
def _population(settings: Settings, publication: str, version: str, as_of: str) -> Population:
    """What a publication holds, kept between the look-ups of a process."""
    return Population.stored(settings, version, dt.date.fromisoformat(as_of))


@lru_cache(maxsize=2)
def _searcher(settings: Settings) -> index.Searcher:
    """The index, kept open between the look-ups of a process."""
    return index.Searcher(settings)


def _rank(population: Population, question: Question) -> tuple[Ranking, Demand, Rewriting | None]:
    """Everybody's scores, what was wanted, and what the sentence was understood as."""
    settings, version = population.settings, population.version
    if question.prompt is not None:
        assert version is not None
        tuned = prompts.load(settings, question.prompt, version)
        reason = f"the prompt {tuned.name} of {tuned.seeds} seed users, head {tuned.head.kind}: {tuned.head.chosen_because}"
        return Ranking("prompt", reason, query=tuned.head.query, bias=tuned.head.bias), Demand(tuned.demand), None
    sentence = check_demand(question.sentence or "")
    if question.mode == "aligned":  # the fast one: nothing but the sentence is read
        demand, read = Demand(sentence, question.phrases or ()), reading.read(sentence)
        ranking = modes.rank(population, demand, question.mode, settings.horizon_days)
        notes = [f"who is near “{', '.join(read.unwanted)}” stays in: this mode leaves nobody out"] if read.unwanted else []
        return _noted(ranking, notes, read.min_amount), demand, None
    if question.phrases is None:
        made = rewriting.chosen(settings, population.cutoff).rewrite(sentence)
    else:  # a person says it better; what is left out, how and when it is done stays as it was read
        made = rewriting.grounded(settings, population.cutoff).rewrite(sentence)
        made = replace(made, phrases=question.phrases, sentences=(", ".join(question.phrases),), note="", by="a person")
    demand = Demand.of(made)
    ranking = modes.rank(population, demand, question.mode, question.horizon_days or made.horizon_days or settings.horizon_days)
    return _noted(ranking, [made.note] if made.note not in ranking.reason else [], made.min_amount), demand, made


def _noted(ranking: Ranking, notes: list[str], least: float | None) -> Ranking:
    """A ranking whose reason also says what of the demand it did not heed."""
    amounts = [f"“at least {least:,g}” is not heeded: any amount counts"] if least and ranking.replayed is None else []
    return replace(ranking, reason="; ".join([ranking.reason, *notes, *amounts]))


def _score(
    population: Population,
    published: Publication,
    question: Question,
    exclude: frozenset[str],
    ranking: Ranking,
    demand: Demand,
    made: Rewriting | None,
) -> Scored:
    settings, replayed = population.settings, ranking.replayed
    curve, within = replayed.check.curve() if replayed else (), population.has_history
    eligible = population.has_history & suppression.allowed(settings, population.keys, population.cutoff)
    if question.where:
        selected = _selected(settings, population.attributes, question.where)
        eligible &= selected
        if replayed is not None:
            then = _selected(settings, replayed.check.known, question.where)
            if then.sum() >= FEW_THEN:
                curve, within = replayed.check.curve(then), within & selected
            else:
                few = f"past precision is that of all users: only {then.sum():,} that were looked at matched the filter then"
                ranking = replace(ranking, reason=f"{ranking.reason}; {few}")
    eligible[[population.row[key] for key in exclude if key in population.row]] = False
    rows, scores = exact.best(ranking.of(population.vectors), int(eligible.sum()), eligible)
    return Scored(
        question=question,
        published=published,
        population=population,
        ranking=ranking,
        demand=demand,
        rewriting=made,
        rows=rows,
        scores=scores,
        probabilities=replayed.probabilities[rows] if replayed else None,
        check=replayed.check if replayed else None,
        curve=curve,
        within=within,
        base=int(population.has_history.sum()),
    )


def _selected(settings: Settings, attributes: pa.Table, where: str) -> np.ndarray:
    """(N,) bool: whom a filter selects of those (N rows) whose attributes these are."""
    clause, parameters = filters.parse(where, index.filter_columns(settings)).to_duckdb()
    con = lake.connect(settings.duckdb_memory)
    con.register("users", attributes.append_column("row", pa.array(np.arange(len(attributes)))))
    mask = np.zeros(len(attributes), bool)
    mask[con.execute(f"SELECT row FROM users WHERE {clause}", parameters).fetchnumpy()["row"]] = True
    return mask


def _ask(
    population: Population, published: Publication, ranking: Ranking, question: Question, top: int, exclude: frozenset[str]
) -> list[tuple[str, float]] | str:
    """The best users by the index, or why it is not asked."""
    settings = population.settings
    if settings.consent_column is not None:
        return "consent is looked up user by user"
    out = exclude | suppression.suppressed(settings)
    if top + len(out) > index.MAX_LIMIT:
        return f"the audience is larger than {index.MAX_LIMIT:,}"
    expression, share = "", 1.0
    if question.where:
        matches = int((_selected(settings, population.attributes, question.where) & population.has_history).sum())
        if matches < FEW_MATCHES:
            return f"only {matches:,} users match the filter"
        try:
            expression = filters.parse(question.where, index.filter_columns(settings)).to_milvus()
        except BadInput:
            return "the filter names a column that the index cannot"
        share = matches / max(1, int(population.has_history.sum()))
    if not published.trusted(share):
        return "the index was found not to be exact enough for this filter"
    assert ranking.query is not None
    try:
        hits = _searcher(settings).search(published, ranking.query, top + len(out), expression)
    except index.IndexBusy as busy:
        return str(busy)
    return [(key, value + ranking.bias) for key, value in hits if key not in out][:top]
