"""Workers of an engine answer of their parts what this process answers."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import five_logs
import numpy as np
import pytest
from small_log import GOLD, HORIZON, PEOPLE, MadeUp, people, population

from found_platform.engine import spark_connect
from found_platform.errors import BadInput, JobFailed
from found_platform.index import snapshot
from found_platform.outcomes import parse
from found_platform.rewriting.ground import Ground
from found_platform.scoring import affinity, everybody, matching, part_workers, parts, replay, scorers, stated, texts
from found_platform.scoring.demand import Demand
from found_platform.scoring.population import Population
from found_platform.settings import Settings

JEWELLERY = {"do": {"categories": ["jewellery"]}}
AGAIN = {"will": {**JEWELLERY, "history": "again"}, "among": {"did": JEWELLERY["do"], "last_days": 120, "where": "tier = 'half'"}}
OUTCOMES = [
    AGAIN,
    {"will": {"do": {"about": list(GOLD[:2])}}},
    {"will": JEWELLERY, "rank": "affinity"},
    {"will": {}, "rank": "value"},
]
NAME = "v1-made-up"
ROWS = np.array([700, 3, 41, 399])
SECRETS = {"secret": "ab" * 32, "alert_secret": "cd" * 32}


class Publishable(MadeUp):
    """What no lake has to be there for."""

    delta_versions = {}  # noqa: RUF012

    @property
    def ground(self) -> Ground:
        """See `States`: another log's, for nobody reads a sentence."""
        return five_logs.log("bank")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home whose snapshot is of people who are made up."""
    events, _ = people()
    tier = ["half" if user < PEOPLE // 2 else "rest" for user in range(PEOPLE)]
    users = population(events, PEOPLE, tmp_path_factory.mktemp("home"), profile={"tier": tier})
    users.states.__class__ = Publishable
    settings = users.settings.model_copy(update={"encoder": "offline-text", **SECRETS})
    assert isinstance(users.states, Publishable)
    snapshot.write(settings, NAME, users.states, users.vectors, users.events)
    return settings


@pytest.fixture(autouse=True)
def divided(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """More than 300 users are looked at in parts, here of the size of those that are sent to an engine."""
    monkeypatch.setattr(parts, "WHOLE", 300)
    monkeypatch.setattr(parts, "PART", 300)
    monkeypatch.setattr(part_workers, "MANY", 300)
    kept = (replay.prepared, affinity.taste, snapshot.opened)
    with contextlib.ExitStack() as later:
        for each in kept:
            each.cache_clear()
            later.callback(each.cache_clear)
        yield


def published(home: Settings, engine: str) -> Population:
    files = snapshot.Snapshot(snapshot.folder(home, NAME))
    return Population._of_snapshot(home.model_copy(update={"engine": engine}), files)


def answers(users: Population) -> Iterator[np.ndarray | None]:
    """What each kind of question answers of everybody."""
    replays = [texts.answer(users, matching.match(users, [list(GOLD)]), HORIZON)]
    replays += [stated.answer(users, parse(content), HORIZON) for content in OUTCOMES]
    for r in replays:
        yield from (r.scores, r.about, r.expected, r.basis.features, r.basis.effects(ROWS)["matches"])
    for mode, demand in (("late", Demand("gold", GOLD)), ("habit", Demand.of_outcome(parse(AGAIN)))):
        ranking = scorers.get(mode).rank(users, demand, HORIZON)
        yield from (ranking.of(users), ranking.about)
    yield scorers.Ranking("aligned", "", query=np.arange(3.0, dtype=np.float32)).of(users)


def test_answers_are_those_of_this_process(home: Settings, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = list(answers(published(home, "duckdb")))
    monkeypatch.setattr(everybody, "ThreadPoolExecutor", None)  # whoever asks parts here fails
    for one, other in zip(answers(published(home, address)), expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_array_equal(one, other)


def test_only_many_users_of_a_snapshot_go_to_an_engine(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not part_workers.takes(published(home, "duckdb"))
    there = published(home, "sc://127.0.0.1:1")
    assert part_workers.takes(there)
    assert not part_workers.takes(parts.part(there, slice(0, 400)))
    monkeypatch.setattr(part_workers, "MANY", PEOPLE)
    assert not part_workers.takes(there)


def test_a_question_holds_no_secret_and_nothing_of_users(home: Settings, sail: str) -> None:
    users = published(home, sail)
    task = texts.Texts(replay.prepared(users, HORIZON), matching.match(users, [list(GOLD)]))
    sent = cloudpickle.dumps((users, lambda _: task))
    assert not [value for value in SECRETS.values() if value.encode() in sent]
    assert len(sent) < 8 * PEOPLE  # a label of everybody is as much


def test_what_a_worker_refuses_is_said(home: Settings, sail: str, tmp_path: Path) -> None:
    def refuses(some: Population) -> np.ndarray:
        if some.keys.array[0] == users.keys.array[300]:
            raise BadInput("Nothing is known of that.")
        return some.events

    users = published(home, sail)
    with pytest.raises(BadInput, match=r"^Nothing is known of that\.$"):
        everybody.joined(users, refuses)
    moved = shutil.copytree(home.home, tmp_path / "moved")
    gone = published(home.model_copy(update={"home": moved}), sail)
    shutil.rmtree(moved / "index")
    with pytest.raises(JobFailed, match=r"is not there for a worker of the engine: either it was published anew"):
        everybody.joined(gone, lambda some: some.events)


def test_an_engine_that_is_not_there_is_said(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_connect, "SECONDS", 0.5)
    users = published(home, "sc://127.0.0.1:1")
    with pytest.raises(BadInput, match=r"No engine answers at sc://127\.0\.0\.1:1"):
        everybody.joined(users, lambda some: some.events)


def test_a_session_that_the_engine_has_ended_is_opened_again(home: Settings, sail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sail ends none: the error is as Spark's."""
    errors = pytest.importorskip("pyspark.errors.exceptions.connect")

    def ends(*_: object) -> None:
        with spark_connect.failures(sail):
            raise errors.SparkConnectException("[INVALID_HANDLE.SESSION_CLOSED] The handle is invalid. Session was closed.")

    users = published(home, sail)
    everybody.joined(users, lambda some: some.events)
    kept = part_workers._kept_open(users.settings)
    monkeypatch.setattr(kept, "each", ends)
    np.testing.assert_array_equal(everybody.joined(users, lambda some: some.events), users.events)
    assert part_workers._kept_open(users.settings) is not kept
