"""Look-ups serve what was published, as it was published, whatever becomes of the lake; and the index path reads nobody else."""

import datetime as dt
import gc
import os
import shutil
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from found_platform import index, lake
from found_platform.audiences import lookup, preview, prompts, specification
from found_platform.audiences.lookup import Question
from found_platform.audiences.question import Size
from found_platform.errors import BadInput
from found_platform.index import snapshot
from found_platform.privacy import keys, suppression, vault
from found_platform.scoring import replay, scorers
from found_platform.scoring import texts as task
from found_platform.settings import Settings

GOLD = "people who will soon buy gold"
PETS = "pet owners who will buy food for their cat or dog but not toys"
WHERE = "events_28d >= 2"
QUESTIONS = [Question(PETS, mode=mode, where=where) for mode in ("auto", "aligned", "late", "replay") for where in (None, WHERE)]
IGNORED = shutil.ignore_patterns("dagster", "monitoring", "simulated", "staging", "training", "truth")


@pytest.fixture
def apart(settings: Settings, tmp_path: Path) -> Settings:
    return Settings.load(Path(shutil.copytree(settings.home, tmp_path / "found", ignore=IGNORED)))


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """In so small a population few did it, and few match a filter."""
    monkeypatch.setattr(task, "MIN_MATCHED", 5)
    monkeypatch.setattr(lookup, "FEW_MATCHES", 1)


def forget_what_is_open() -> None:
    """As a new process would find the home."""
    lookup._population.cache_clear()
    replay.prepared.cache_clear()
    gc.collect()


def answers(settings: Settings) -> list[Any]:
    lookups = [lookup.find(settings, question, Size(top=25), explain=True) for question in QUESTIONS]
    return [*lookups, preview.preview(settings, specification.draft(settings, question=Question(PETS), top=30))]


def late_events(settings: Settings, as_of: dt.date) -> None:
    """What the guide's recipe for late events does to the lake: an event of a text nobody had, and events of everybody."""
    rows = lake.read(settings.lake, "raw_events", pc.field("event_date") == as_of - dt.timedelta(days=3))
    changed = rows.slice(0, 200)
    place = changed.schema.get_field_index
    changed = changed.set_column(place("text"), "text", pa.array([f"a text that came late {i % 3}" for i in range(len(changed))]))
    changed = changed.set_column(place("text_id"), "text_id", pa.array([-1 - i % 3 for i in range(len(changed))], pa.int64()))
    schema = pa.schema(lake.open_table(settings.lake, "raw_events").schema().to_arrow())
    lake.append(settings.lake, "raw_events", changed.cast(schema), schema=schema)


def test_what_was_published_serves_as_it_was_published_whatever_happens_to_the_lake(apart: Settings) -> None:
    before = answers(apart)
    assert {answer.mode for answer in before[: len(QUESTIONS)]} == {"aligned", "late", "replay"}
    late_events(apart, dt.date.fromisoformat(index.live(apart).as_of))
    forget_what_is_open()
    assert answers(apart) == before
    for table in lake_tables(apart):
        if table not in ("raw_profile", suppression.TABLE):
            shutil.rmtree(apart.lake / table)
    (apart.home / "source.yaml").write_text((apart.home / "source.yaml").read_text().replace("age_band: string\n", ""))
    forget_what_is_open()
    assert answers(apart) == before
    shutil.rmtree(apart.home / "mlflow")
    forget_what_is_open()
    assert lookup.find(apart, QUESTIONS[0], Size(top=25), explain=True) == before[0]


def lake_tables(settings: Settings) -> list[str]:
    return [path.name for path in settings.lake.iterdir() if lake.exists(settings.lake, path.name)]


def test_a_publication_of_before_gets_its_snapshot_once_at_the_first_look_up(
    apart: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answers(apart)
    shutil.rmtree(apart.home / "index" / "states")
    forget_what_is_open()
    written, write = [], snapshot.write
    monkeypatch.setattr(snapshot, "write", lambda *args: written.append(args) or write(*args))
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(lambda _: lookup.find(apart, QUESTIONS[0], Size(top=25), explain=True), range(4)))
    assert len(written) == 1
    assert all(answer == before[0] for answer in at_once)
    forget_what_is_open()
    assert answers(apart) == before
    assert len(written) == 1


def test_a_publication_of_before_is_taken_over_after_late_events_too(apart: Settings) -> None:
    as_of = dt.date.fromisoformat(index.live(apart).as_of)
    shutil.rmtree(apart.home / "index" / "states")
    late_events(apart, as_of)
    forget_what_is_open()
    assert lookup.find(apart, Question(PETS, mode="late"), Size(top=5)).count == 5
    population = lookup._population(apart, index.live(apart))
    assert "a text that came late 0" in population.words


def test_a_publication_whose_states_are_gone_is_refused_with_what_to_do(apart: Settings) -> None:
    shutil.rmtree(apart.home / "index" / "states")
    version = index.live(apart).model_version
    schema = pa.schema(lake.open_table(apart.lake, "user_embeddings").schema().to_arrow())
    lake.replace(apart.lake, "user_embeddings", schema.empty_table(), schema=schema, predicate=f"model_version = '{version}'")
    forget_what_is_open()
    with pytest.raises(BadInput, match="found publish --cutoff"):
        lookup.find(apart, Question(PETS))


def test_a_snapshot_is_private_whole_and_goes_with_its_publication(apart: Settings) -> None:
    first = index.live(apart)
    as_of = dt.date.fromisoformat(first.as_of)
    lookup.release(apart)
    open_one = lookup._population(apart, first)
    scores = lookup.score(apart, Question(PETS, mode="late")).scores
    states = apart.home / "index" / "states"
    for path in [states, *states.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    second = index.publish(apart, first.model_version, as_of)
    assert {p.name for p in states.iterdir()} == {snapshot.folder(apart, p.name).name for p in (first, second)}
    index.rollback(apart)
    assert lookup.find(apart, Question(PETS)).index_version == first.name.removesuffix(".db")
    (states / f"{first.name}.building").mkdir()  # as a killed writer leaves it
    for _ in range(2):
        index.publish(apart, first.model_version, as_of)
    assert not snapshot.folder(apart, first.name).exists()
    assert not list(states.glob("*.building"))
    np.testing.assert_array_equal(  # whoever had it open goes on reading it
        scorers.rank(open_one, lookup.Demand(PETS), "late", 7).of(open_one)[:3],
        scorers.rank(open_one, lookup.Demand(PETS), "late", 7).of(open_one)[:3],
    )
    assert len(open_one.words) == len(open_one.past.texts)
    assert len(scores)


def blank(folder: Path) -> None:
    """Zeros in place of whatever the snapshot holds of users, events and texts; the files keep their sizes.

    What is counted stays: how many users a filter matches, of those with a history.
    """
    for path in set(folder.glob("*.npy")) - {folder / "events.npy"}:
        start = path.read_bytes().index(b"\n") + 1
        with path.open("r+b") as file:
            size = path.stat().st_size - start
            file.seek(start)
            file.write(b"\0" * size)


@pytest.mark.parametrize("where", [None, WHERE])
def test_the_index_path_reads_nobody_but_whom_it_names(apart: Settings, where: str | None) -> None:
    """The answer stays the same where all that is known of users beside the index is blanked."""
    tuned = lookup.score(apart, Question(GOLD, mode="aligned"))
    prompts.tune(apart, "gold", GOLD, set(tuned.keys[:6]))
    questions = [Question(GOLD, mode="aligned", where=where), Question(prompt="gold", where=where)]
    before = [lookup.find(apart, question, Size(top=10)) for question in questions]
    assert not any(answer.exact for answer in before)
    exactly = [lookup.find(apart, question, Size(top=10), exact=True) for question in questions]
    for answer, exact in zip(before, exactly, strict=True):
        assert [u.user_id for u in answer.users] == [u.user_id for u in exact.users]
    blank(snapshot.folder(apart, index.live(apart).name))
    forget_what_is_open()
    assert [lookup.find(apart, question, Size(top=10)) for question in questions] == before


def test_consent_is_asked_of_whom_the_index_names(apart: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = lookup.score(apart, Question(GOLD, mode="aligned"))
    consenting = set(everybody.keys[5::9])
    profile = lake.read(apart.lake, "raw_profile")
    profile = profile.append_column("consent", pa.array([key in consenting for key in profile["user_key"].to_pylist()]))
    shutil.rmtree(apart.lake / "raw_profile")
    lake.replace(apart.lake, "raw_profile", profile, schema=profile.schema)
    source = apart.home / "source.yaml"
    source.write_text(source.read_text().replace("profile_schema:\n", "profile_schema:\n  consent: bool\n"))
    asks = apart.model_copy(update={"consent_column": "consent"})
    answer, exact = (lookup.find(asks, Question(GOLD, mode="aligned"), Size(top=10), exact=e) for e in (False, True))
    assert not answer.exact
    assert [u.user_id for u in answer.users] == [u.user_id for u in exact.users]
    assert {u.user_id for u in answer.users} <= set(keys.user_ids(apart, list(consenting)).values())
    monkeypatch.setattr(index, "MAX_LIMIT", 20)
    scarce = lookup.find(asks, Question(GOLD, mode="aligned"), Size(top=10))
    assert scarce.exact
    assert "fewer than 10 of the best 20 users may be targeted" in scarce.reason
    assert scarce.users == exact.users


@pytest.mark.parametrize("question", [Question(GOLD, mode="aligned"), Question(PETS, mode="late")], ids=["index", "exact"])
def test_a_user_without_a_row_in_the_vault_is_left_out_and_said(apart: Settings, question: Question) -> None:
    before = lookup.find(apart, question, Size(top=10), explain=True)
    best = lookup.score(apart, question).keys
    vault.remove(apart, [best[1]])
    after = lookup.find(apart, question, Size(top=10), explain=True)
    assert [u.user_id for u in after.users] == [u.user_id for i, u in enumerate(before.users) if i != 1]
    assert after.count == 9
    assert "1 user has no id in the vault and is left out" in after.reason
    assert "no id in the vault" not in before.reason
    shown = preview.preview(apart, specification.draft(apart, question=question, top=10))
    assert shown.warning is not None
    assert "1 user has no id in the vault" in shown.warning
    assert len(shown.sample) == 9


def test_a_new_mode_is_one_file(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    code = '''
    """The users with the most events first."""
    from found_platform.scoring.scorers.interface import Carried, Ranking

    class Busy:
        name, is_mode, rewrites = "busy", True, False

        def rank(self, population, demand, horizon_days, *, reason=None):
            return Ranking("busy", reason or "busy users were asked for", population.events.astype(float))

        def carried(self, population, ranking, demand, rows, places, events):
            return Carried(events.day - events.happened + 0.0)

    SCORER = Busy()
    '''
    (tmp_path / "busy.py").write_text(textwrap.dedent(code).lstrip())
    monkeypatch.setattr(scorers, "__path__", [*scorers.__path__, str(tmp_path)])
    scorers._registry.cache_clear()
    request.addfinalizer(lambda: (scorers._registry.cache_clear(), sys.modules.pop(f"{scorers.__name__}.busy", None)))
    assert scorers.modes() == ("auto", "aligned", "busy", "late", "replay")
    answer = lookup.find(settings, Question(GOLD, mode="busy"), Size(top=5), explain=True)
    assert (answer.mode, answer.exact, answer.count) == ("busy", True, 5)
    assert [u.score for u in answer.users] == sorted((u.score for u in answer.users), reverse=True)
    assert all(u.evidence for u in answer.users)


def test_a_thousand_look_ups_in_eight_threads_leave_memory_and_threads_where_they_were(settings: Settings) -> None:
    """After a first part; the benchmark `benchmarks/process.py many` does ten thousand."""
    questions = [Question(GOLD, mode="aligned", where=WHERE if i % 4 == 0 else None) for i in range(9)] + [
        Question(PETS, mode="late")
    ]

    def run(count: int) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: lookup.find(settings, questions[i % len(questions)], Size(top=10)), range(count)))

    def state() -> tuple[float, int, int]:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1]) - int(Path("/proc/self/statm").read_text().split()[2])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, threading.active_count(), len(os.listdir("/proc/self/task"))

    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is read from /proc, which this system does not have")
    run(200)
    memory, python_threads, system_threads = state()
    run(800)
    more, python_after, system_after = state()
    assert more - memory < 40
    assert python_after <= python_threads + 2
    assert system_after <= system_threads + 2
