"""A look-up: who may not be in it, what of the demand each mode heeds, and what a filter changes in what the past says."""

import csv
import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome

from found_platform import index, registry, rewriting
from found_platform.audiences import lookup, membership, preview, sizing, specification
from found_platform.audiences.lookup import Question
from found_platform.embedding.sentences import embed_sentences
from found_platform.privacy import audit, keys, suppression
from found_platform.scoring import matching, replay, scorers
from found_platform.scoring import texts as task
from found_platform.scoring.demand import Demand
from found_platform.scoring.population import Population
from found_platform.scoring.scorers import late as late_interaction
from found_platform.settings import Settings

GOLD = "people who will soon buy gold"
PETS = "pet owners who will buy food for their cat or dog"


@pytest.fixture(scope="module")
def population(settings: Settings, cutoff: dt.date) -> Population:
    return Population.stored(settings, registry.of_cutoff(settings, str(cutoff)), cutoff)


@pytest.fixture
def apart(settings: Settings, tmp_path: Path) -> Settings:
    ignored = shutil.ignore_patterns("dagster", "monitoring", "simulated", "staging", "training", "truth")
    return Settings.load(Path(shutil.copytree(settings.home, tmp_path / "found", ignore=ignored)))


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """In so small a population, few did it."""
    monkeypatch.setattr(task, "MIN_MATCHED", 5)


@pytest.mark.parametrize("question", [Question(GOLD, mode="aligned"), Question(PETS)], ids=["index", "exact"])
def test_who_is_excluded_or_suppressed_is_not_found_and_the_next_move_up(
    apart: Settings, tmp_path: Path, question: Question
) -> None:
    everybody = lookup.find(apart, question, lookup.Size(top=30))
    names = [u.user_id for u in everybody.users]
    assert everybody.exact == (question.mode != "aligned")
    file = tmp_path / "out.csv"
    file.write_text("user_id\n" + "\n".join(names[:5]))
    suppression.add(apart, file, "asked")
    without = lookup.find(apart, question, lookup.Size(top=20), exclude=frozenset(_keys(apart, tmp_path, names[7:10])))
    left = [n for n in names if n not in names[:5] + names[7:10]]
    assert [u.user_id for u in without.users] == left[:20]
    assert without.exact == everybody.exact
    scored = lookup.score(apart, question)
    assert not set(names[:5]) & set(keys.user_ids(apart, scored.keys).values())


def _keys(settings: Settings, folder: Path, names: list[str]) -> set[str]:
    (folder / "some.csv").write_text("user_id\n" + "\n".join(names))
    return keys.read_users(settings, folder / "some.csv")


def test_what_a_demand_leaves_out_is_not_asked_for(population: Population) -> None:
    both = Demand("parents who will buy toys but not cat food")
    assert both.wordings == ("parents who will buy toys",)
    assert Demand(PETS).wordings == (PETS,)
    assert Demand("users who will not churn").wordings == ("users who will not churn",)  # nothing would be left
    assert Demand(GOLD, ("gold ring", "savings plan")).wordings == ("gold ring", "savings plan")
    query = scorers.rank(population, both, "aligned", 7).query
    np.testing.assert_allclose(query, embed_sentences(population.model, ["parents who will buy toys"])[0], atol=1e-6)


def test_phrases_are_asked_in_every_mode(settings: Settings, population: Population) -> None:
    phrases = ("cat food", "dog food")
    aligned = lookup.score(settings, Question(GOLD, phrases=phrases, mode="aligned"))
    vectors = embed_sentences(population.model, list(phrases))
    np.testing.assert_allclose(aligned.ranking.query, vectors.mean(0), atol=1e-6)
    late = lookup.score(settings, Question(GOLD, phrases=phrases, mode="late"))
    plain = lookup.score(settings, Question(GOLD, mode="late"))
    assert late.demand.phrases == phrases
    assert late.rewriting is not None
    assert late.rewriting.by == "a person"
    assert late.keys[:10] != plain.keys[:10]
    single = [late_interaction.event_values(population, Demand(p)) for p in phrases]
    np.testing.assert_allclose(late_interaction.event_values(population, Demand(GOLD, phrases)), np.mean(single, 0), rtol=1e-5)


def test_late_interaction_leaves_out_what_is_nearer_to_the_unwanted(population: Population) -> None:
    demand, plain = Demand(GOLD, ("gold ring",), ("cat food",)), Demand(GOLD, ("gold ring",))
    values, all_values = late_interaction.event_values(population, demand), late_interaction.event_values(population, plain)
    assert ((values == 0) | (values == all_values)).all()
    of_cats = np.array(["cat food" in population.words[t] for t in population.past.text])
    assert of_cats.any()
    assert (values[of_cats] == 0).mean() > 0.9  # who is held out differs by home, and what was learned a little with it
    of_gold = np.array(["gold ring" in population.words[t].lower() for t in population.past.text])
    assert (values[of_gold] > 0).mean() > 0.9


def test_each_mode_says_what_it_does_not_heed(settings: Settings) -> None:
    sentence = "people who will buy cat food for more than 20 euros but not dog food"
    aligned = lookup.find(settings, Question(sentence, mode="aligned"), lookup.Size(top=3))
    assert "who is near “dog food” stays in" in aligned.reason
    late = lookup.find(settings, Question(sentence, mode="late"), lookup.Size(top=3))
    assert "stays in" not in late.reason
    for answer in (aligned, late):
        assert "“at least 20” is not heeded" in answer.reason


@pytest.mark.usefixtures("few_are_enough")
def test_an_amount_that_is_asked_for_is_counted_in_the_past(population: Population, settings: Settings) -> None:
    some = Demand(PETS, ("cat food", "dog food"), channels=("pay_bill",)).matched(population)
    own = population.past.of_texts(some.closeness > matching.SAME)
    middle = float(np.median(own.amount[own.amount > 0]))
    much = replace(some, min_amount=middle)
    np.testing.assert_array_equal(much.as_asked(own), some.as_asked(own) & (own.amount >= middle))
    assert not much.anyhow
    texts = task.Texts(replay.Replay(population, settings.horizon_days), some)
    any_amount, dear = (texts._labels_of(matching, own.day - 28) for matching in (some, much))
    did, paid = any_amount >= 0.5, dear >= 0.5
    assert paid.sum() < did.sum()
    assert not (paid & ~did).any()
    nobody = replace(Demand(PETS), min_amount=1e9, phrases=("cat food", "dog food"))
    ranking = scorers.rank(population, nobody, "replay", settings.horizon_days)
    assert ranking.replayed is not None
    assert "counting any amount: too few did it for 1,000,000,000 or more" in ranking.reason


@pytest.mark.usefixtures("few_are_enough")
def test_chances_come_true_in_the_window_that_was_kept_apart(settings: Settings) -> None:
    """In tenths of the users, what was said beforehand is about what happened; by chance the tenths differ by their own error."""
    scored = lookup.score(settings, Question(PETS))
    assert scored.backtest is not None, scored.reason
    bins = scored.backtest.reliability
    assert sum(b.users for b in bins) == len(scored.backtest.odds)
    assert [b.predicted for b in bins] == sorted(b.predicted for b in bins)
    off = [abs(b.predicted - b.observed) for b in bins]
    assert np.mean(off) < 0.1 + np.mean([np.sqrt(0.25 / b.users) for b in bins])
    np.testing.assert_allclose(np.average([b.observed for b in bins], weights=[b.users for b in bins]), scored.backtest.did.mean())
    previewed = preview.preview(settings, specification.draft(settings, question=Question(PETS), top=10))
    assert previewed.reliability == bins


@pytest.mark.usefixtures("few_are_enough")
def test_a_filter_gives_the_past_precision_of_those_whom_it_selects(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    where = "events_90d >= 20"
    everybody = lookup.score(settings, Question(PETS))
    assert everybody.backtest is not None
    assert everybody.curve == everybody.backtest.curve()
    few = lookup.score(settings, Question(PETS, where="events_90d >= 100000"))
    assert few.curve == everybody.curve
    assert "past precision is that of all users: only 0 that were looked at matched the filter then" in few.reason
    monkeypatch.setattr(lookup, "FEW_THEN", 20)
    some = lookup.score(settings, Question(PETS, where=where))
    then = some.backtest.attributes["events_90d"].to_numpy() >= 20  # pyright: ignore[reportOptionalMemberAccess]
    assert 20 <= then.sum() < len(then)
    assert some.curve == everybody.backtest.curve(then)
    assert some.curve[-1].users == then.sum()
    now = some.population.attributes["events_90d"].to_numpy() >= 20
    np.testing.assert_array_equal(some.within, some.population.has_history & now)
    for level in ("narrow", "balanced", "broad"):
        cut = sizing.cut(specification.draft(settings, question=Question(PETS, where=where), level=level), some)
        share = sizing.widest(some.curve, sizing.KEPT[level])
        if share is not None:
            assert cut.size == pytest.approx(share * some.within.sum(), abs=2)


def test_a_home_may_name_a_language_model_as_its_rewriter(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cutoff: dt.date
) -> None:
    assert type(rewriting.of_home(settings, cutoff)).__name__ == "GroundedRewriter"
    monkeypatch.setenv("FOUND_REWRITER", "some-model")
    monkeypatch.setenv("FOUND_REWRITER_ENDPOINT", "http://127.0.0.1:9/v1")  # nothing listens there
    told = Settings.load(settings.home)
    answer = lookup.find(told, Question(PETS), lookup.Size(top=3))
    assert "some-model was not used (127.0.0.1 gave no answer" in answer.reason
    assert [u.user_id for u in answer.users] == [u.user_id for u in lookup.find(settings, Question(PETS), lookup.Size(top=3)).users]
    given = lookup.find(told, Question(PETS, phrases=("cat food",)), lookup.Size(top=3))
    assert "some-model" not in given.reason


def test_another_rewriter_makes_another_refresh(apart: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    specification.save(apart, specification.draft(apart, audience="pets", question=Question(PETS), top=10))
    before = membership.made_from(apart, "pets")
    monkeypatch.setenv("FOUND_REWRITER", "another-model")
    assert membership.made_from(Settings.load(apart.home), "pets") != before


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_a_file_of_users_says_where_they_come_from(
    apart: Settings, tmp_path: Path, found: Callable[..., Outcome], suffix: str
) -> None:
    out = tmp_path / f"pets.{suffix}"
    outcome = found("audience", "find", PETS, "--top", 7, "--out", out, "--home", apart.home)
    assert outcome.status == 0, outcome.err
    provenance = json.loads((tmp_path / f"pets.{suffix}.provenance.json").read_text())
    assert provenance["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    live = index.live(apart)
    assert (provenance["question"]["sentence"], provenance["question"]["top"], provenance["count"]) == (PETS, 7, 7)
    assert (provenance["model_version"], provenance["as_of"]) == (live.model_version, live.as_of)
    assert provenance["rewriting"]["phrases"]
    assert "users" not in provenance
    row = audit.entries(apart)[0]
    assert (row["action"], row["rows"]) == ("export", 7)
    assert provenance["sha256"] in row["reason"]
    assert json.loads(row["question"])["top"] == 7
    if suffix == "csv":
        assert len(list(csv.DictReader(out.open()))) == 7


@pytest.mark.usefixtures("few_are_enough")
def test_the_answer_shows_what_was_understood(settings: Settings, found: Callable[..., Outcome]) -> None:
    shown = found("audience", "find", PETS, "--top", 2, "--home", settings.home).out
    assert "understood as: In the next" in shown
    assert "matched in the data: " in shown
    assert "confidence " in shown
    assert ", by grounded" in shown
    document = json.loads(found("audience", "find", PETS, "--top", 2, "--home", settings.home, "--format", "json").out)
    assert document["rewriting"]["matches"][0]["similarity"] > 0
    previewed = found("audience", "preview", PETS, "--top", 10, "--home", settings.home).out
    assert "matched in the data: " in previewed
    assert "Whether the chances came true then:" in previewed


def test_another_filter_or_size_asks_the_past_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = []
    rank = lookup._rank
    monkeypatch.setattr(lookup, "_rank", lambda population, question: questions.append(question) or rank(population, question))
    everybody = lookup.score(settings, Question(PETS))
    some = lookup.score(settings, Question(PETS, where="events_90d >= 20"))
    lookup.find(settings, Question(PETS), lookup.Size(top=3))
    assert len(questions) == 1
    assert len(some.rows) < len(everybody.rows)
    lookup.score(settings, Question(PETS, horizon_days=3))
    monkeypatch.setenv("FOUND_REWRITER", "some-model")
    monkeypatch.setenv("FOUND_REWRITER_ENDPOINT", "http://127.0.0.1:9/v1")  # what it says may be another thing the next time
    told = Settings.load(settings.home)
    for _ in range(2):
        lookup.score(told, Question(PETS))
    assert len(questions) == 4
