"""A look-up: a demand or a tuned prompt, a filter and exclusions in; ranked users out, with what answered and as of when.

`score` ranks everybody who may be targeted. `find` gives the best of them, through the index where the scores are a query to it and
few users are asked for, else exactly; the answer says which. What is asked is what was published, as it was published; only who may
be targeted, the vault and the audit are those of now.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from found_platform import index
from found_platform.audiences import prompts, understanding
from found_platform.audiences.answer import Audience, FoundUser, Gate, Scored, joined_filter
from found_platform.audiences.question import TWENTY, Question, Size
from found_platform.cache import single_flight
from found_platform.errors import BadInput
from found_platform.index import Publication, snapshot
from found_platform.outcomes import RANKS, Outcome, document, in_full
from found_platform.privacy import audit, keys, suppression, vault
from found_platform.rewriting import Rewriting, reading
from found_platform.scoring import exact, filters, scorers
from found_platform.scoring.demand import Demand
from found_platform.scoring.evidence import Evidence
from found_platform.scoring.population import Population
from found_platform.scoring.scorers import Ranking
from found_platform.scoring.scorers.prompt import TunedDemand
from found_platform.settings import Settings

FEW_MATCHES = 1000
"""Under this many matching users, exact scoring is as fast as the index and never misses one."""
MOST_EMBEDDED = 20_000
"""Users up to whom an embedded index is asked. Milvus Lite passes over them one by one in Python, while every other thread of the
process waits: beyond, exact scoring takes a quarter of the time or less, and all of its threads at once."""
FURTHER = 4
"""Times as many users are asked of the index where too few of the best may be targeted."""
FEW_THEN = 200
"""Users of a past moment whom a filter must select: below this, the precision of the whole population is reported."""


def check(question: Question) -> None:
    """Raises BadInput for a question that cannot be answered in any home."""
    if sum(way is not None for way in (question.sentence, question.prompt, question.outcome)) != 1:
        raise BadInput("Ask with a sentence, with the name of a tuned prompt, or with an outcome, and only one of them.")
    if question.sentence is not None:
        understanding.check_demand(question.sentence)
    if question.mode not in scorers.modes():
        raise BadInput(f"The mode {question.mode!r} is not one of {', '.join(scorers.modes())}.")
    if question.phrases and question.sentence is None:
        raise BadInput("Phrases say a sentence in other words: a prompt or an outcome has none.")
    if question.rank is not None and (question.rank not in RANKS or question.prompt is not None):
        raise BadInput(f"--rank is {question.rank!r}: a sentence or an outcome is ranked by {', '.join(RANKS)}.")
    if question.horizon_days is not None and question.horizon_days < 1:
        raise BadInput(f"A horizon of {question.horizon_days} days lies not ahead: ask for at least one day.")


def check_understood(settings: Settings, question: Question) -> None:
    """Raises BadInput for a sentence that is not understood in what is published, unless it is asked anyway."""
    check(question)
    if question.prompt is None and scorers.get(question.mode).rewrites:
        understanding.understood(_population(settings, index.live(settings)), question)


def _opened(settings: Settings, question: Question) -> tuple[Publication, Population]:
    """What is published. The filter is read before it is opened: a slip of the pen need not wait for the model."""
    published = index.live(settings)
    if (where := joined_filter(question, None)) and (columns := snapshot.attribute_columns(settings, published.name)) is not None:
        filters.parse(where, columns)
    population = _population(settings, published)
    _filter(population, question)
    return published, population


def _filter(population: Population, question: Question, outcome: Outcome | None = None) -> filters.Filter | None:
    """Before anybody is ranked: a slip of the pen is said at once. The filter of an outcome holds beside that of the question."""
    where = joined_filter(question, outcome)
    return filters.parse(where, population.attributes.schema) if where else None


def score(settings: Settings, question: Question, exclude: frozenset[str] = frozenset()) -> Scored:
    """Ranks everybody with a history whom the filter selects, who may be targeted and is not excluded (by user key).

    Raises BadInput for a question or filter that cannot be used.
    """
    check(question)
    published, population = _opened(settings, question)
    ranking, demand, rewritten = _ranked(population, published, question)
    where = _filter(population, question, demand.outcome)
    return _score(population, published, question, where, exclude, ranking, demand, rewritten)


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
    published, population = _opened(settings, question)
    ranking, demand, rewritten = _ranked(population, published, question)
    where = _filter(population, question, demand.outcome)
    note, left_out = None, _left_out(population, ranking)
    hits: list[tuple[str, float]] | str = "exact scoring was asked for" if exact else "a threshold was asked for"
    if not exact and size.top is not None and ranking.query is not None:
        hits = (
            _search(population, published, ranking, where, size.top, exclude, question.purpose)
            or "the index found nobody who may be chosen"
        )
    chances: list[float] | None = None
    expected: list[float] | None = None
    if isinstance(hits, str):
        reason = f"{ranking.reason}; scored over all users: {hits}" if exact or ranking.query is not None else ranking.reason
        scored = _score(population, published, question, where, exclude, ranking, demand, rewritten, size.top)
        count = int((scored.scores >= size.min_score).sum()) if size.top is None else min(size.top, len(scored.rows))
        best = list(zip(population.keys.take(scored.rows[:count]), scored.scores[:count].tolist(), strict=True))
        chances = None if scored.probabilities is None else scored.probabilities[:count].tolist()
        expected = None if scored.expected is None else scored.expected[:count].tolist()
        note = scored.nobody
        if not count and note is None:
            highest = f"the best of {len(scored.rows):,} users scores {scored.scores[0]:.3f}"
            note = f"Nobody scores {size.min_score:g} or more: {highest}."
    else:
        reason, best = f"{ranking.reason}; answered by the index", hits
    ids = keys.user_ids(settings, [key for key, _ in best])
    without_id = vault.without_id(settings, len(best) - len(ids))
    evidence = _explain(population, ranking, demand, [key for key, _ in best if key in ids]) if explain else {}
    answer = Audience(
        query=understanding.in_words(question, demand, settings),
        rewriting=rewritten,
        mode=ranking.mode,
        reason="; ".join(filter(None, [reason, left_out, without_id])),
        exact=isinstance(hits, str),
        as_of=published.as_of,
        model_version=published.model_version,
        index_version=published.name.removesuffix(".db"),
        count=len(ids),
        users=[
            FoundUser(
                ids[key],
                round(value, 6),
                round(chances[i], 6) if chances else None,
                round(expected[i], 6) if expected else None,
                evidence.get(key),
            )
            for i, (key, value) in enumerate(best)
            if key in ids
        ],
        note=note,
        outcome=None if demand.outcome is None else document.as_data(demand.outcome),
        outcome_in_words=understanding.outcome_in_words(demand, question, settings),
        warning=understanding.warning(rewritten),
    )
    options = {
        "top": size.top,
        "min_score": size.min_score,
        "exact": exact or None,
        "explain": explain or None,
        "without_users": len(exclude) or None,
    }
    audit.record(
        settings,
        "find",
        question={**question.as_dict(), **options},
        rows=answer.count,
        model_version=answer.model_version,
        index_version=answer.index_version,
        reason=answer.reason,
    )
    return answer


def explain(scored: Scored, user_keys: Sequence[str]) -> dict[str, list[Evidence]]:
    """What carried the scores of some of the users, by user key."""
    return _explain(scored.population, scored.ranking, scored.demand, user_keys)


def _explain(population: Population, ranking: Ranking, demand: Demand, user_keys: Sequence[str]) -> dict[str, list[Evidence]]:
    return scorers.explain(population, ranking, demand, population.keys.rows(user_keys))


def population(settings: Settings, published: Publication) -> Population:
    """What a publication holds, mapped and kept open."""
    return _population(settings, published)


def release(settings: Settings) -> None:
    """Gives the index back, so that another process can open it; the next look-up opens it again."""
    _searcher(settings).close()


@single_flight(2)
def _population(settings: Settings, published: Publication) -> Population:
    """What a publication holds, kept open between the look-ups of a process."""
    return Population.published(settings, published)


@single_flight(2)
def _searcher(settings: Settings) -> index.Searcher:
    """The index, kept open between the look-ups of a process."""
    return index.Searcher(settings)


def _ranked(population: Population, published: Publication, question: Question) -> tuple[Ranking, Demand, Rewriting | None]:
    """As `_rank`; the last few are kept, so that a changed filter or size does not wait for the past to be learned anew."""
    settings = population.settings
    asks_elsewhere = settings.rewriter is not None or settings.rewriter_endpoint is not None  # and may get another answer next time
    if question.prompt is not None or asks_elsewhere:  # a prompt may be tuned anew under its name
        return _rank(population, question)
    whoever = replace(question, where=None)
    if not scorers.get(question.mode).rewrites and (ranked := _kept_query(settings, published, whoever)) is not None:
        return ranked
    return _kept_rank(settings, published, whoever)


@single_flight(256)
def _kept_query(settings: Settings, published: Publication, question: Question) -> tuple[Ranking, Demand, Rewriting | None] | None:
    """As `_rank` of a sentence that is asked as it stands; None where scores of everybody came of it: too much to keep many."""
    ranked = _rank(_population(settings, published), question)
    return ranked if ranked[0].everybody is None else None


@single_flight(4)
def _kept_rank(settings: Settings, published: Publication, question: Question) -> tuple[Ranking, Demand, Rewriting | None]:
    return _rank(_population(settings, published), question)


def _rank(population: Population, question: Question) -> tuple[Ranking, Demand, Rewriting | None]:
    """Everybody's scores, what was wanted, and what the sentence was understood as."""
    settings, version = population.settings, population.version
    if question.prompt is not None:
        assert version is not None
        tuned = prompts.load(settings, question.prompt, version)
        reason = f"the prompt {tuned.name} of {tuned.seeds} seed users, head {tuned.head.kind}: {tuned.head.chosen_because}"
        demand = TunedDemand(tuned.demand, head=tuned.head)
        return scorers.get("prompt").rank(population, demand, settings.horizon_days, reason=reason), Demand(tuned.demand), None
    if question.sentence is not None and not scorers.get(question.mode).rewrites:  # the fast way: nothing but the sentence is read
        sentence = understanding.check_demand(question.sentence)
        demand, read = Demand(sentence, question.phrases or ()), reading.read(sentence)
        ranking = scorers.rank(population, demand, question.mode, settings.horizon_days)
        notes = [f"who is near “{', '.join(read.unwanted)}” stays in: this mode leaves nobody out"] if read.unwanted else []
        return _noted(ranking, notes, read.min_amount), demand, None
    demand, rewritten, horizon_days = understanding.understood(population, question)
    ranking = scorers.rank(population, demand, question.mode, horizon_days)
    notes = [rewritten.note] if rewritten and rewritten.note not in ranking.reason else []
    return _noted(ranking, notes, rewritten.min_amount if rewritten else None), demand, rewritten


def _noted(ranking: Ranking, notes: list[str], min_amount: float | None) -> Ranking:
    """A ranking whose reason also says what of the demand it did not heed."""
    if min_amount and ranking.replayed is None:
        notes = [*notes, f"“at least {in_full(min_amount)}” is not heeded: any amount counts"]
    return replace(ranking, reason="; ".join([ranking.reason, *notes]))


@single_flight(2)
def _silent(population: Population) -> int:
    """Users who did something before the lookback and nothing since."""
    return int(((population.states.volume(population.past.day) > 0) & ~population.has_history).sum())


def _left_out(population: Population, ranking: Ranking) -> str | None:
    """Who is known and not ranked, in a sentence; None where that is nobody."""
    count = 0 if ranking.everybody is not None else _silent(population)
    if not count:
        return None
    days = population.settings.lookback_days
    return f"{count:,} users who did nothing in the last {days} days are left out, whom --mode auto ranks"


def _score(
    population: Population,
    published: Publication,
    question: Question,
    where: filters.Filter | None,
    exclude: frozenset[str],
    ranking: Ranking,
    demand: Demand,
    rewritten: Rewriting | None,
    top: int | None = None,
) -> Scored:
    """Everybody who passes the gates, or only the `top` best of them."""
    settings, replayed = population.settings, ranking.replayed
    history = ranking.rankable(population)
    curve, within = replayed.backtest.curve() if replayed else (), history
    gates = [Gate("history", history)]
    selected = np.ones(len(history), bool)
    if where is not None:
        selected = filters.selected(where, population.attributes, settings.duckdb_memory)
        gates.append(Gate("filter", selected))
        if replayed is not None:
            selected_then = filters.selected(where, replayed.backtest.attributes, settings.duckdb_memory)
            if selected_then.sum() >= FEW_THEN:
                curve, within = replayed.backtest.curve(selected_then), within & selected
            else:
                few = (
                    f"past precision is that of all users: only {selected_then.sum():,} that were looked at matched the filter then"
                )
                ranking = replace(ranking, reason=f"{ranking.reason}; {few}")
    if ranking.about is not None:
        gates.append(Gate("asked", ranking.about))
        selected = selected & ranking.about
    if suppression.attributes(settings, question.purpose):
        agreed = suppression.consenting(settings, population.keys.arrow, population.cutoff, question.purpose)
        gates.append(Gate("consent", agreed))
    gates.append(Gate("suppression", ~suppression.among_suppressed(settings, population.keys.arrow)))
    if exclude:
        gates.append(Gate("exclusions", ~population.keys.mask(exclude)))
    eligible = np.logical_and.reduce([gate.passed for gate in gates])
    rows, scores = exact.best(ranking.of(population), int(eligible.sum()) if top is None else top, eligible)
    return Scored(
        question=question,
        published=published,
        population=population,
        ranking=ranking,
        demand=demand,
        rewriting=rewritten,
        rows=rows,
        scores=scores,
        probabilities=replayed.probabilities[rows] if replayed and replayed.expected is None else None,
        expected=replayed.expected[rows] if replayed and replayed.expected is not None else None,
        backtest=replayed.backtest if replayed else None,
        curve=curve,
        within=within,
        base=int(history.sum()),
        selected=int((history & selected).sum()),
        gates=tuple(gates),
    )


def _search(
    population: Population,
    published: Publication,
    ranking: Ranking,
    where: filters.Filter | None,
    top: int,
    exclude: frozenset[str],
    purpose: str | None,
) -> list[tuple[str, float]] | str:
    """The best users by the index, or why it is not asked. Nobody is read but those whom it names.

    How many users match a filter is counted in the mapped columns that it names: Milvus Lite would make a row of Python of each.
    """
    settings, searcher = population.settings, _searcher(population.settings)
    out = exclude | suppression.suppressed(settings)
    limit = top + len(out)
    if limit > index.MAX_LIMIT:
        return f"the audience is larger than {index.MAX_LIMIT:,}"
    if settings.milvus_uri is None and published.rows > MOST_EMBEDDED:
        return f"that is quicker than the embedded index for {published.rows:,} users"
    assert ranking.query is not None
    try:
        expression, share = "", 1.0
        if where is not None:
            try:
                expression = where.to_milvus()
            except BadInput:
                return "the filter names a column that the index cannot"
            matches = int(
                np.count_nonzero(filters.selected(where, population.attributes, settings.duckdb_memory) & population.has_history)
            )
            if matches < FEW_MATCHES:
                return f"only {matches:,} users match the filter"
            share = matches / max(1, published.rows)
        if not published.trusted(share):
            return "the index was found not to be exact enough for this filter"
        while True:
            hits = searcher.search(published, ranking.query, limit, expression)
            user_keys = [key for key, _ in hits]
            allowed = suppression.allowed(settings, user_keys, population.cutoff, purpose)
            kept = [hit for hit, may in zip(hits, allowed, strict=True) if may and hit[0] not in exclude]
            if len(kept) >= top or len(hits) < limit:
                return [(key, value + ranking.bias) for key, value in kept[:top]]
            if limit == index.MAX_LIMIT:  # nearly nobody consents
                return f"fewer than {top:,} of the best {limit:,} users may be targeted"
            limit = min(index.MAX_LIMIT, FURTHER * limit)
    except index.IndexBusy as busy:
        return str(busy)
