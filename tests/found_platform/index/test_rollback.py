"""Going back: the model and its index, or the index alone; what a rerun does afterwards; how one goes forward again."""

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from another_version import another_version
from conftest import Outcome

from found_platform import index, registry
from found_platform.audiences import lookup, membership, prompts, specification
from found_platform.errors import BadInput
from found_platform.registry import Verdict
from found_platform.settings import Settings


@pytest.fixture
def copy(settings: Settings, tmp_path: Path) -> Settings:
    """A copy of the demo's home."""
    shutil.copytree(settings.home, tmp_path / "found")
    return Settings.load(tmp_path / "found")


@pytest.fixture
def newer(overtaken: Settings, tmp_path: Path) -> Settings:
    """A copy of a home in which a newer version has taken over from that of `settings`."""
    shutil.copytree(overtaken.home, tmp_path / "newer")
    return Settings.load(tmp_path / "newer")


def serving(settings: Settings) -> tuple[str | None, str]:
    """The champion, and the version that look-ups are answered by."""
    return registry.version_of(settings, registry.CHAMPION), answer(settings).model_version


def answer(settings: Settings) -> lookup.Audience:
    """A look-up."""
    return lookup.find(settings, lookup.Question("gold", mode="aligned"), lookup.Size(top=5))


def test_a_model_is_rolled_back_with_its_index_and_a_rerun_leaves_it(
    settings: Settings, newer: Settings, cutoff: dt.date, found: Callable[..., Outcome]
) -> None:
    first = index.live(settings)
    before = answer(settings)
    bad = index.live(newer).model_version
    assert serving(newer) == (bad, bad) != (first.model_version, first.model_version)

    outcome = found("rollback", "model", "--home", newer.home)
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == f"champion  version {bad} -> version {first.model_version}"
    assert lines[1].startswith(f"index     v{bad}-")
    assert f"-> {first.name.removesuffix('.db')} (" in lines[1]
    assert f"found promote --version {bad} --home {newer.home}" in lines[2]
    assert serving(newer) == (first.model_version, first.model_version)
    assert index.live(newer) == first  # the very index from before, at once
    assert answer(newer) == before

    again = found("rollback", "model", "--home", newer.home)
    assert again.status == 2
    assert "no earlier champion" in again.err
    assert "found promote --version V" in again.err
    assert serving(newer) == (first.model_version, first.model_version)

    listed = json.loads(found("model", "list", "--home", newer.home, "--format", "json").out)
    assert [v["version"] for v in listed if "rolled_back" in v["tags"]] == [bad]
    assert "rolled back" in found("model", "list", "--home", newer.home).out

    rerun = found("demo", "--home", newer.home, "--format", "json")
    assert rerun.status == 0, rerun.err
    document = json.loads(rerun.out)
    assert document["made"]["promotion"] == document["made"]["user_index"] == 0
    assert document["audience"]["model_version"] == first.model_version
    assert serving(newer) == (first.model_version, first.model_version)

    refused = found("publish", "--cutoff", cutoff, "--home", newer.home)
    assert refused.status == 2
    assert f"found promote --version {bad}" in refused.err

    forward = found("promote", "--version", bad, "--home", newer.home, "--format", "json")
    assert forward.status == 0, forward.err
    assert json.loads(forward.out)["after"]["champion"] == bad
    assert serving(newer) == (bad, bad)
    look_up = (
        "audience",
        "find",
        "gold",
        "--mode",
        "aligned",
        "--top",
        "20",
        "--explain",
        "--format",
        "json",
        "--home",
        newer.home,
    )
    assert found("rollback", "model", "--home", newer.home).status == 0
    assert serving(newer) == (first.model_version, first.model_version)
    again = found(*look_up).out
    assert found("promote", "--version", bad, "--home", newer.home).status == 0
    assert found(*look_up).out != again
    assert found("rollback", "model", "--home", newer.home).status == 0
    assert found(*look_up).out == again, "byte by byte"


def test_the_index_of_an_earlier_champion_is_built_again_where_it_is_gone(
    settings: Settings, newer: Settings, cutoff: dt.date, found: Callable[..., Outcome]
) -> None:
    first = index.live(settings)
    bad = index.live(newer).model_version
    index.publish(newer, bad, cutoff)  # now neither the live index nor the one before it is of the first version
    outcome = found("rollback", "model", "--home", newer.home)
    assert outcome.status == 0, outcome.err
    assert serving(newer) == (first.model_version, first.model_version)
    assert index.live(newer).rows == first.rows
    assert index.withdrawn(newer, bad, str(cutoff))
    assert found("rollback", "index", "--home", newer.home).status == 2  # not to the index that was just taken back


def test_an_index_alone_is_rolled_back_and_stays_until_it_is_published_again(
    settings: Settings, newer: Settings, cutoff: dt.date, found: Callable[..., Outcome]
) -> None:
    first = index.live(settings)
    bad = index.live(newer).model_version
    outcome = found("rollback", "index", "--home", newer.home)
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines()[0] == f"champion  version {bad} (unchanged)"
    assert f"found rollback model --home {newer.home}" in outcome.out
    assert index.live(newer) == first
    assert serving(newer) == (bad, first.model_version)
    audience = answer(newer)
    assert (audience.model_version, audience.index_version) == (first.model_version, first.name.removesuffix(".db"))

    again = found("rollback", "index", "--home", newer.home)
    assert again.status == 2
    assert "no earlier index" in again.err
    assert "found publish --cutoff" in again.err

    history = [json.loads(line) for line in (newer.home / "index" / "history.jsonl").read_text().splitlines()]
    assert (history[-1]["event"], history[-1]["from"]["model_version"], history[-1]["to"]["name"]) == (
        "rolled back",
        bad,
        first.name,
    )

    assert found("publish", "--cutoff", cutoff, "--home", newer.home).status == 0
    assert serving(newer) == (bad, bad)
    assert not index.withdrawn(newer, bad, str(cutoff))
    assert found("rollback", "index", "--home", newer.home, "--format", "json").status == 0
    assert index.live(newer) == first


def test_a_newer_version_takes_over_by_itself_after_a_rollback(settings: Settings, newer: Settings, cutoff: dt.date) -> None:
    from found_platform.index import champion

    first = index.live(settings).model_version
    bad = index.live(newer).model_version
    champion.rollback(newer)
    assert registry.is_held(newer, bad)
    assert not registry.is_held(newer, first)
    newest = another_version(newer, cutoff)
    assert not registry.is_held(newer, newest)
    assert serving(newer) == (newest, newest)
    assert not registry.is_held(newer, newest)


def test_what_cannot_serve_is_refused_and_changes_nothing(copy: Settings, cutoff: dt.date, found: Callable[..., Outcome]) -> None:
    before = serving(copy)
    for command, message in (
        (("rollback", "model"), "no earlier champion"),
        (("rollback", "index"), "no earlier index"),
        (("promote", "--version", "99"), "no model version 99"),
        (("publish", "--cutoff", cutoff - dt.timedelta(days=1)), "No model of the cutoff"),
        (("publish", "--cutoff", "soon"), "soon"),
        (("model", "show", "99"), "no model version '99'"),
    ):
        outcome = found(*command, "--home", copy.home)
        assert outcome.status == 2, outcome
        assert message in outcome.err
    version = index.live(copy).model_version
    registry.store_verdict(copy, version, Verdict(False, "worse than chance", {}))
    refused = found("promote", "--home", copy.home)
    assert refused.status == 2
    assert "worse than chance" in refused.err
    assert serving(copy) == before


def test_a_version_is_shown_with_its_card_and_lineage(settings: Settings, found: Callable[..., Outcome]) -> None:
    version = index.live(settings).model_version
    shown = found("model", "show", "champion", "--home", settings.home)
    assert shown.status == 0, shown.err
    assert f"version {version}; aliases:" in shown.out
    assert "gate: passed" in shown.out
    document = json.loads(found("model", "show", version, "--home", settings.home, "--format", "json").out)
    assert document["card"] == registry.card(settings, version)
    assert "champion" in document["aliases"]


def test_prompts_and_the_audiences_on_them_follow_the_model(copy: Settings, cutoff: dt.date, found: Callable[..., Outcome]) -> None:
    gold = lookup.score(copy, lookup.Question("people who will soon buy gold", mode="aligned"))
    first = gold.published.model_version
    prompts.tune(copy, "gold", "people who will soon buy gold", set(gold.keys[:6]))
    draft = specification.draft(copy, audience="gold", question=lookup.Question(prompt="gold"), top=10)
    specification.save(copy, draft)
    before = membership.refresh(copy, "gold").refresh
    bad = another_version(copy, cutoff)
    with pytest.raises(BadInput, match=f"not tuned for model version {bad}"):
        membership.refresh(copy, "gold")
    assert membership.last(copy, "gold") == before

    back = found("rollback", "model", "--home", copy.home)
    assert f"prompt    gold: tuned for version {first}" in back.out
    assert not membership.refresh(copy, "gold").changed

    forward = found("promote", "--version", bad, "--home", copy.home, "--format", "json")
    assert json.loads(forward.out)["prompts"] == {"gold": f"tuned for version {bad}"}
    after = membership.refresh(copy, "gold").refresh
    assert (after.refresh, after.model_version, after.size) == (2, bad, 10)
    assert prompts.load(copy, "gold", bad).version > prompts.load(copy, "gold", first).version
