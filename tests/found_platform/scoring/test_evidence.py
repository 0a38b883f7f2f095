"""Why this user: shares against what a score loses without its parts, and what an audience has more of against counts by hand."""

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc
import pytest

from found_platform import lake, registry
from found_platform.contract import midnight
from found_platform.scoring import evidence, scorers
from found_platform.scoring import texts as task
from found_platform.scoring.demand import Demand
from found_platform.scoring.evidence import REST, Evidence
from found_platform.scoring.population import Population
from found_platform.scoring.scorers import Ranking, aligned, late
from found_platform.settings import Settings

CAT = Demand("pet owners who will buy food for their cat or dog", ("cat food", "dog food"))
KINDS = {"event", "search", "exposure", "activity", "attribute", "habits", REST}


@pytest.fixture(scope="module")
def population(settings: Settings, cutoff: dt.date) -> Population:
    return Population.stored(settings, registry.of_cutoff(settings, str(cutoff)), cutoff)


@pytest.fixture(autouse=True, scope="module")
def few_are_enough() -> Iterator[None]:
    """In so small a population, few did it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "MIN_MATCHED", 5)
        yield


@pytest.fixture(scope="module", params=["aligned", "late", "replay"])
def ranking(request: pytest.FixtureRequest, population: Population, settings: Settings) -> Ranking:
    ranked = scorers.rank(population, CAT, request.param, settings.horizon_days)
    assert ranked.mode == request.param, ranked.reason
    return ranked


def best(population: Population, ranking: Ranking, count: int = 20) -> np.ndarray:
    scores = np.where(population.has_history, ranking.of(population), -np.inf)
    return np.argsort(-scores)[:count]


def test_shares_sum_to_one_and_the_largest_comes_first(population: Population, ranking: Ranking) -> None:
    explained = scorers.explain(population, ranking, CAT, best(population, ranking))
    assert len(explained) == 20
    assert sum(bool(reasons) for reasons in explained.values()) >= 15
    for reasons in filter(None, explained.values()):
        assert sum(e.share for e in reasons) == pytest.approx(1, abs=0.003)
        shown = [e.share for e in reasons if e.kind != REST]
        assert shown == sorted(shown, reverse=True)
        assert len(shown) <= evidence.SHOWN
        assert {e.kind for e in reasons} <= KINDS


def test_texts_are_the_users_own_counted_as_they_are_in_the_lake(
    population: Population, ranking: Ranking, settings: Settings, cutoff: dt.date
) -> None:
    events = lake.read(settings.lake, "raw_events").to_pandas()
    events = events[(events.event_time < str(cutoff)) & (events.arrived_at <= midnight(cutoff))]
    checked = 0
    for key, reasons in scorers.explain(population, ranking, CAT, best(population, ranking, 5)).items():
        own = events[events.user_key == key]
        for e in reasons:
            if e.kind in ("event", "search", "exposure"):
                of_text = own[own.text == e.text]
                of_text = of_text if ranking.mode != "aligned" else of_text[~of_text.exposure]
                assert e.times == len(of_text)
                assert e.last == of_text.event_time.max().date()
                checked += 1
    assert checked >= 5


def test_late_interaction_gives_each_text_what_the_score_loses_without_it(population: Population) -> None:
    ranking = Ranking("late", "", late.scores(population, CAT))
    values = late.event_values(population, CAT)
    past, rows = population.past, best(population, ranking, 5)
    text_of_event = np.array(population.words)[past.text]
    for row, (key, reasons) in zip(rows, scorers.explain(population, ranking, CAT, rows).items(), strict=True):
        assert key == population.keys[row]
        whole = np.exp(ranking.of(population)[row]) - 0.05
        for e in reasons:
            if e.kind == REST:
                continue
            gone = (past.user == row) & (text_of_event == e.text)
            without = past.sum_by_user(np.where(gone, 0.0, values))[row]
            assert 1 - without / whole == pytest.approx(e.share, abs=0.002)


def test_replay_gives_each_group_what_the_log_odds_lose_without_it(population: Population, settings: Settings) -> None:
    replayed = task.answer(population, CAT.matched(population), settings.horizon_days)
    ranking = Ranking("replay", "", replayed.scores, replayed=replayed)
    basis, rows = replayed.basis, best(population, ranking, 10)
    explained = scorers.explain(population, ranking, CAT, rows)
    usual = np.median(basis.features, 0)
    for row, reasons in zip(rows, explained.values(), strict=True):
        lost = {}
        for name, columns in basis.groups.items():
            without = basis.features[row].copy()
            without[columns] = usual[columns]
            lost[name] = float((basis.head.odds(basis.features[row][None]) - basis.head.odds(without[None]))[0])
        raised = {name: value for name, value in lost.items() if value > 0}
        shares = {e.text.split(" is ")[0]: e.share for e in reasons if e.kind == "attribute"}
        shares.update({e.kind: e.share for e in reasons if e.kind == "activity"})
        texts = sum(v for v in replayed.event_values(population.past)[population.past.user == row] if v > 1e-6)
        missing = {n for n in raised if n not in ("activity", "matches") and population.attributes[n][int(row)].as_py() is None}
        total = sum(v for n, v in raised.items() if n not in missing and not (n == "matches" and not texts))
        for name, share in shares.items():
            assert share == pytest.approx(raised[name] / total, abs=0.002), name
    assert any(e.kind == "attribute" or e.kind == "activity" for reasons in explained.values() for e in reasons)


def test_aligned_texts_are_the_nearest_of_the_users_own(population: Population, settings: Settings) -> None:
    ranking = scorers.rank(population, CAT, "aligned", settings.horizon_days)
    rows = best(population, ranking, 5)
    assert ranking.query is not None
    values = aligned.event_values(population, ranking.query, population.past)
    for row, reasons in zip(rows, scorers.explain(population, ranking, CAT, rows).values(), strict=True):
        own = population.past.user == row
        sums = np.bincount(population.past.text[own], weights=values[own])
        largest = [population.words[t] for t in np.argsort(-sums, kind="stable") if sums[t] > 1e-6][: evidence.SHOWN]
        texts = [e.text for e in reasons if e.kind in ("event", "search")]
        assert texts
        assert set(texts) <= set(largest)


def test_what_an_audience_has_more_of_is_counted_by_hand(population: Population, settings: Settings) -> None:
    rows = best(population, scorers.rank(population, CAT, "late", settings.horizon_days), 40)
    traits = evidence.typical(population, rows)
    assert traits
    past, with_history = population.past, np.flatnonzero(population.has_history)
    for t in traits:
        assert t.audience > t.base
        if t.kind == "text":
            having = set(past.user[(past.text == population.words.index(t.text)) & ~past.exposed].tolist())
        else:
            name, value = t.text.split(" is ", 1)
            column = pc.equal(pc.cast(population.attributes[name], "string"), value).fill_null(False).to_numpy()
            having = set(np.flatnonzero(column).tolist())
        assert t.audience == pytest.approx(len(having & set(rows.tolist())) / 40, abs=1e-4)
        assert t.base == pytest.approx(len(having & set(with_history.tolist())) / len(with_history), abs=1e-4)


def test_what_an_audience_is_held_against_is_counted_once(
    population: Population, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each preview passes over everybody's events."""
    rows = best(population, scorers.rank(population, CAT, "late", settings.horizon_days), 40)
    traits = evidence.typical(population, rows)
    events: list[int] = []
    count = evidence._users_by_text
    monkeypatch.setattr(evidence, "_users_by_text", lambda past: events.append(len(past.user)) or count(past))
    assert evidence.typical(population, rows) == traits
    assert events == [np.isin(population.past.user, rows).sum()]


def test_reasons_in_one_line_leave_out_what_is_not_shown() -> None:
    reasons = [Evidence("event", "gold ring", 0.6, 3, dt.date(2024, 1, 1)), Evidence("attribute", "age is 3", 0.3)]
    assert evidence.as_sentence([*reasons, Evidence(REST, "2 smaller reasons", 0.1)]) == "gold ring x3 60%; age is 3 30%"
