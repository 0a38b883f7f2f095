"""Prompts that are tuned from seeds, of a home: from file to registry, with its versions and its audit."""

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from conftest import Outcome

from dagster_defs import fingerprints, locks, runs, staleness
from dagster_defs.execution import open_instance
from dagster_defs.graph import AssetGraph
from found_platform import index, lake, registry
from found_platform.audiences import prompts
from found_platform.embedding import users
from found_platform.errors import BadInput
from found_platform.privacy import audit, suppression
from found_platform.privacy import keys as user_keys
from found_platform.scoring import few_shot
from found_platform.settings import Settings
from found_platform.training_data import text_vectors
from models.found import Found


@pytest.fixture(scope="module")
def copy(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of the demo's home that tests may change. Files of prompts lie in it: they are an experiment of its own."""
    return Settings.load(Path(shutil.copytree(settings.home, tmp_path_factory.mktemp("copy") / "found")))


@pytest.fixture(scope="module")
def files(copy: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    """A file of twelve seeds, the last but one of whom nobody knows, one of five negatives, and the ids of the seeds."""
    published = index.live(copy)
    keys, _, events = users.load(copy, published.model_version, dt.date.fromisoformat(published.as_of))
    ids = user_keys.user_ids(copy, keys)
    active = [ids[key] for key, count in zip(keys, events, strict=True) if count]
    seeds = [*active[:10], "nobody of this home", active[10]]
    folder = tmp_path_factory.mktemp("files")
    (folder / "seeds.csv").write_text("user_id\n" + "\n".join(seeds) + "\n")
    (folder / "negatives.txt").write_text("\n".join(active[20:25]) + "\n")
    return folder / "seeds.csv", folder / "negatives.txt", seeds


@pytest.fixture(scope="module")
def gold(copy: Settings, files: tuple[Path, Path, list[str]], found: Callable[..., Outcome]) -> dict[str, Any]:
    """What the command says of the prompt `gold`, in a process that has read no text yet."""
    text_vectors.encoder.cache_clear()
    outcome = found(
        *("audience", "tune", "gold", "--demand", "people who will buy gold", "--seeds", files[0], "--negatives", files[1]),
        *("--home", copy.home, "--format", "json"),
    )
    assert outcome.status == 0, outcome.err
    return json.loads(outcome.out)


def test_the_command_names_what_it_could_not_use_and_what_it_chose(
    gold: dict[str, Any], files: tuple[Path, Path, list[str]]
) -> None:
    assert (gold["seeds"], gold["negatives"]) == (11, 5)
    assert gold["unknown"] == {str(files[0]): [11], str(files[1]): []}
    assert set(gold["leave_one_out"]) == {"sentence", "prototype", "logistic", "lp++", "prompt"}
    assert gold["kind"] in gold["leave_one_out"]
    assert len(gold["suggested_negatives"]) == few_shot.SUGGESTED
    assert not set(gold["suggested_negatives"]) & set(files[2])


def test_tuning_waits_for_who_writes_prompts_and_for_an_erasure(
    copy: Settings, files: tuple[Path, Path, list[str]], found: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUND_WAIT_MINUTES", "0")
    with locks.hold(copy, ["run-prompts"]):
        refused = found("audience", "tune", "silver", "--demand", "silver", "--seeds", files[0], "--home", copy.home)
    assert (refused.status, "run-prompts in" in refused.err, "is still held by pid" in refused.err) == (1, True, True)
    assert "silver" not in prompts.names(copy)


def test_a_prompt_comes_back_for_its_model_version_and_for_no_other(copy: Settings, gold: dict[str, Any]) -> None:
    tuned = prompts.load(copy, "gold", gold["model_version"])
    assert (tuned.name, tuned.demand, tuned.seeds) == ("gold", "people who will buy gold", 11)
    assert tuned.head.leave_one_out == gold["leave_one_out"]
    assert prompts.names(copy) == ["gold"]
    with pytest.raises(BadInput, match=r"not tuned for model version 99.*found audience tune gold --home"):
        prompts.load(copy, "gold", "99")
    with pytest.raises(BadInput, match=r"no prompt 'silver' \(gold\)"):
        prompts.load(copy, "silver", gold["model_version"])


def test_the_stored_query_is_the_head_of_these_seeds(copy: Settings, gold: dict[str, Any]) -> None:
    saved = prompts.specification(copy, "gold")
    again = prompts.tune(copy, "again", saved.demand, saved.seeds, saved.negatives)
    tuned = prompts.load(copy, "gold", gold["model_version"])
    assert again.head.kind == tuned.head.kind
    np.testing.assert_allclose(
        prompts.load(copy, "again", gold["model_version"]).head.query, tuned.head.query, rtol=1e-3, atol=1e-5
    )
    assert again.missing == saved.seeds - set(users.load(copy, again.model_version, dt.date.fromisoformat(again.as_of))[0])


def test_nothing_that_is_stored_names_a_person(copy: Settings, gold: dict[str, Any], files: tuple[Path, Path, list[str]]) -> None:
    """Keys are in the Delta table alone, where erasing a user finds them; raw ids are nowhere."""
    rows = lake.read(copy.lake, prompts.TABLE)
    assert rows.filter(pc.field("prompt") == "gold").num_rows == 17
    keys = set(rows["user_key"].to_pylist())
    assert all(len(key) == 32 for key in keys)
    stored = list((copy.home / "mlflow" / "artifacts" / "prompts").rglob("*"))
    assert {p.suffix for p in stored if p.is_file()} == {".json", ".safetensors"}
    for path in (p for p in stored if p.is_file()):
        content = path.read_bytes()
        assert not any(word.encode() in content for word in keys | set(files[2]))


def test_a_new_version_has_every_prompt_tuned_again_once(copy: Settings, gold: dict[str, Any]) -> None:
    """As the asset does it for a cutoff: for a version that has no prompts yet, and not again for one that has them."""
    published = index.live(copy)
    as_of = dt.date.fromisoformat(published.as_of)
    before = prompts.load(copy, "gold", published.model_version).version
    tuned, failed = prompts.retune(copy, published.model_version, as_of)
    assert not failed
    assert {p.name: p.version for p in tuned}["gold"] == before
    model = registry.load(copy, published.model_version).model
    assert isinstance(model, Found)
    other = registry.log(copy, model.frozen_text(), parameters={}, metrics={}, tags={"cutoff": published.as_of}, card="")
    users.embed(copy, registry.load(copy, other), as_of)
    tuned, failed = prompts.retune(copy, other, as_of)
    assert not failed
    assert {p.model_version for p in tuned} == {other}
    frozen = prompts.load(copy, "gold", other).head
    assert len(frozen.query) == 64
    assert prompts.load(copy, "gold", published.model_version).version == before


def test_the_asset_tunes_what_is_saved_and_says_what_it_could_not(copy: Settings, gold: dict[str, Any]) -> None:
    as_of = index.live(copy).as_of
    graph = AssetGraph(copy)
    with open_instance(copy) as instance:
        assert staleness.stale(graph, instance, "tuned_prompts", [as_of]) == [as_of]
    runs.materialize(copy, "tuned_prompts", as_of)
    with open_instance(copy) as instance:
        assert not staleness.stale(graph, instance, "tuned_prompts", [as_of])
        assert "gold" in fingerprints.row_hashes(graph, instance, "tuned_prompts")[as_of]


def test_a_saved_prompt_is_tuned_again_without_its_files(
    copy: Settings, gold: dict[str, Any], found: Callable[..., Outcome]
) -> None:
    outcome = found("audience", "tune", "gold", "--home", copy.home)
    assert outcome.status == 0, outcome.err
    assert "Prompt gold version" in outcome.out
    assert "11 seeds, 5 negatives" in outcome.out
    assert prompts.specification(copy, "gold").negatives


def test_what_cannot_be_tuned_is_refused_and_leaves_nothing(
    copy: Settings, gold: dict[str, Any], files: tuple[Path, Path, list[str]], tmp_path: Path, found: Callable[..., Outcome]
) -> None:
    (tmp_path / "few.txt").write_text("\n".join(files[2][:2]))
    (tmp_path / "empty.txt").write_text("user_id\n")
    before = prompts.fingerprint(copy)
    for arguments, message in [
        (["few", "--demand", "gold", "--seeds", tmp_path / "few.txt"], "2 have a history"),
        (["few", "--demand", "gold", "--seeds", tmp_path / "empty.txt"], "Of 0 seeds"),
        (["few", "--demand", " ", "--seeds", files[0]], "The demand is empty"),
        (["No name", "--demand", "gold", "--seeds", files[0]], "is no name of a prompt"),
        (["few", "--demand", "gold"], "Give --demand and --seeds together"),
        (["few", "--negatives", files[1]], "--negatives come with"),
        (["few"], "There is no prompt 'few'"),
        (["few", "--demand", "gold", "--seeds", files[0], "--negatives", files[0]], "seeds and negatives at once"),
    ]:
        refused = found("audience", "tune", *arguments, "--home", copy.home)
        assert refused.status == 2
        assert message in refused.err
    assert prompts.fingerprint(copy) == before


def test_who_may_not_be_targeted_is_not_offered_and_who_asked_is_on_record(
    copy: Settings, gold: dict[str, Any], files: tuple[Path, Path, list[str]]
) -> None:
    first = gold["suggested_negatives"][0]
    seeds, negatives = (user_keys.read_users(copy, path) for path in files[:2])
    (copy.home / "gone.csv").write_text(f"user_id\n{first}\n")
    suppression.add(copy, copy.home / "gone.csv", "asked by mail")
    tuned = prompts.tune(copy, "again", "people who will buy gold", set(seeds), set(negatives))
    ids = user_keys.user_ids(copy, tuned.head.suggested_negatives)
    assert set(gold["suggested_negatives"]) - set(ids.values()) == {first}
    entry = next(e for e in audit.entries(copy) if e["action"] == "tune")
    assert (entry["rows"], entry["model_version"]) == (len(gold["suggested_negatives"]), gold["model_version"])
