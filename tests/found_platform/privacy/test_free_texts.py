"""Free texts that are kept name nobody: neither whom they are about nor who was erased."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import at, lake_of, write_source

from found_platform import erasure
from found_platform.app import audiences, prompts, retention, users
from found_platform.app.context import Actor, Context
from found_platform.app.lookups import Question
from found_platform.erasure import proof, steps
from found_platform.erasure.persons import Persons
from found_platform.errors import BadInput, Unfinished
from found_platform.privacy import audit, free_texts, holds, keys, suppression, tombstones
from found_platform.serving import problems
from found_platform.settings import Settings

USERS = ("ann@example.com", "Bob Tree", "10017", "carol-2049")
EVENTS = [{"user_id": user, "event_time": at("2026-01-01"), "text": "bread"} for user in USERS]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    return lake_of(folder / "home", write_source(folder / "source", EVENTS)).home


@pytest.fixture
def home(original: Path, tmp_path: Path) -> Settings:
    """A copy of a home of four users, each test its own."""
    return Settings.load(Path(shutil.copytree(original, tmp_path / "home")))


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        (("ann@example.com",), "asked by ann@example.com."),
        (("Bob Tree",), 'a letter of "Bob Tree", of May'),
        (("10017",), "10017 wrote"),
        (("nobody-yet", "10017"), "10017"),
    ],
)
def test_a_reason_that_names_whom_it_is_about_is_refused_and_nothing_changes(
    home: Settings, ids: tuple[str, ...], text: str
) -> None:
    context = Context(home.home, Actor("ann", "test"))
    for refused in (
        lambda: users.suppress(context, users.Suppress(ids, text)),
        lambda: users.lift_suppression(context, users.Suppress(ids, text)),
        lambda: retention.place_hold(context, retention.PlaceHold("case", ids, (), text)),
        lambda: users.erase(context, users.Erase(ids, text)),
    ):
        with pytest.raises(BadInput, match=r"reason,? names one of the persons, and it would be kept: say it without the id\."):
            refused()
    assert not suppression.suppressed(home)
    assert holds.all_of(home) == []
    assert audit.entries(home) == []


def test_a_reason_of_a_file_and_a_name_count_too(home: Settings, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user_id,reason\n10017,moved\ncarol-2049,as 10017\n")
    with pytest.raises(BadInput, match="names one of the persons"):
        suppression.add(home, tmp_path / "users.csv")
    with pytest.raises(BadInput, match="names one of the persons"):
        holds.add(home, "carol-2049", ("carol-2049",))
    assert suppression.add(home, ("10017",), "100170 others, and 10017x").changed == 1  # no whole word is the id


def test_a_demand_names_nobody_who_is_given_beside_it(home: Settings) -> None:
    context = Context(home.home, Actor("ann", "test"))
    draft = audiences.Draft(Question("people like carol-2049"), exclude=(("carol-2049",),))
    with pytest.raises(BadInput, match="The demand or its name names one of the persons"):
        audiences.preview(context, audiences.Previewing(draft))
    with pytest.raises(BadInput, match="The demand or its name names one of the persons"):
        prompts.tune(context, prompts.Tune("of-bob", "people like Bob Tree", ("Bob Tree", "10017", "carol-2049")))
    free_texts.check_demand(home, ["people who spend 10017"], {keys.user_key(keys.home_secret(home), "10017")})  # a number


def test_the_audit_leaves_out_who_was_erased_whoever_writes_it(home: Settings) -> None:
    tombstones.add(home, keys.home_secret(home), [keys.user_key(keys.home_secret(home), user) for user in USERS])
    about = {"sentence": "people like (carol-2049)", "phrases": ["Bob Tree buys", "bread"], "top": 3, "where": "age > 10017"}
    audit.record(home, "find", question=about, audience="carol-2049", reason="of ann@example.com")
    row = audit.entries(home)[0]
    assert (row["audience"], row["reason"]) == ("erased", "of erased")
    assert json.loads(row["question"]) == {
        "sentence": "people like (erased)",
        "phrases": ["erased buys", "bread"],
        "top": 3,
        "where": "age > 10017",  # an id of few characters is a number like any other
    }
    with pytest.raises(BadInput, match="names somebody who was erased"):
        suppression.add(home, ("somebody",), "a friend of carol-2049")


def written_while(monkeypatch: pytest.MonkeyPatch, write: Callable[[int], None]) -> None:
    """Something is written after the last step, each time that the steps were gone through."""
    times = iter(range(100))
    last = list(steps.STEPS)[-1]

    def step(settings: Settings, persons: Persons) -> dict[str, int]:
        counts = step_before(settings, persons)
        write(next(times))
        return counts

    step_before = steps.STEPS[last]
    monkeypatch.setitem(steps.STEPS, last, step)


def test_what_is_written_while_an_erasure_runs_is_looked_for_a_second_time(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    note = home.home / "note.json"
    written_while(monkeypatch, lambda time: note.write_text('"carol-2049 called"') if not time else None)
    certificate = erasure.erase(home, ("carol-2049",))
    assert note.read_text() == '"erased called"'
    assert certificate.steps["tombstones"] == {"tombstones": 2}
    assert certificate.steps["files"]["note.json"] == 1
    assert proof.search(home.home, Persons.of(home, ("carol-2049",), ())).hits == []


@pytest.mark.slow
def test_an_erasure_that_is_overtaken_again_is_no_failure_of_the_server(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    written_while(monkeypatch, lambda _: (home.home / "note.json").write_text('"carol-2049 called"') and None)
    with pytest.raises(
        Unfinished, match=r"1 place in .* still name somebody who is to be erased: note\.json\..* the same command"
    ) as refusal:
        erasure.erase(home, ("carol-2049",))
    assert (problems.of(refusal.value).status, problems.of(refusal.value).detail) == (409, str(refusal.value))
    monkeypatch.undo()
    assert erasure.erase(home, ("carol-2049",)).searched["hits"] == 0
