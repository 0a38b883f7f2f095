"""Which version takes service: none of an older cutoff or worse than the champion, none by a failed or another's gate."""

import contextlib
import datetime as dt
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pytest
from conftest import Outcome

from dagster_defs import runs, staleness
from dagster_defs.execution import open_instance
from dagster_defs.graph import AssetGraph
from found_platform import index, registry
from found_platform.embedding import users
from found_platform.errors import BadInput, JobFailed
from found_platform.registry import Verdict, gate
from found_platform.registry.comparison import compare, interval
from found_platform.registry.gate import Past
from found_platform.settings import Settings
from found_platform.training_data import export

if TYPE_CHECKING:
    from models.saved import Model

ASSETS = ("promotion", "user_index")


@pytest.fixture
def copy(settings: Settings, tmp_path: Path) -> Settings:
    """A copy of the demo's home."""
    shutil.copytree(settings.home, tmp_path / "found")
    return Settings.load(tmp_path / "found")


def version_of_cutoff(settings: Settings, cutoff: dt.date) -> str:
    """Another version, as training for another cutoff leaves it."""
    import torch

    model = registry.champion(settings).model
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.01 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(cutoff.toordinal())))
    version = registry.log(settings, model, parameters={}, metrics={}, tags={"cutoff": str(cutoff)}, card="# Another")
    registry.nominate(settings, version, str(cutoff))
    return version


def serving(settings: Settings) -> tuple[str | None, str]:
    return registry.version_of(settings, registry.CHAMPION), index.live(settings).model_version


def stale(settings: Settings, cutoff: dt.date) -> list[str]:
    graph = AssetGraph(settings)
    with open_instance(settings) as instance:
        return [asset for asset in ASSETS if staleness.stale(graph, instance, asset, [str(cutoff)])]


def metadata(settings: Settings, asset: str) -> dict:
    with open_instance(settings) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return {k: v.value for k, v in event.asset_materialization.metadata.items()}


def test_two_cutoffs_do_not_take_service_from_each_other(
    copy: Settings, cutoff: dt.date, found: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "judge", lambda *_: Verdict(True, "fine", {"future_auc": 0.7}))
    older, newer = cutoff - dt.timedelta(days=7), cutoff + dt.timedelta(days=1)
    first = serving(copy)[0]
    assert first is not None
    old = version_of_cutoff(copy, older)
    users.embed(copy, registry.load(copy, old), older)
    for folder in ("data", "align"):
        (export.folder(copy, older) / folder).mkdir(parents=True)
    with open_instance(copy) as instance:  # what the two assets read of this cutoff counts as made
        for upstream in ("training_set", "text_vectors", "user_text_pairs", "found_model", "user_embeddings"):
            instance.report_runless_asset_event(dg.AssetMaterialization(upstream, partition=str(older)))
    for asset in ASSETS:
        runs.materialize(copy, asset, str(older))
    assert serving(copy) == (first, first)
    reason = f"version {first} of the newer cutoff {cutoff} keeps serving"
    assert registry.reason_to_wait(copy, old) == reason
    assert metadata(copy, "user_index")["not_promoted"].startswith(reason)
    assert metadata(copy, "promotion")["verdict"] == "fine", "it is judged all the same"
    assert (stale(copy, older), stale(copy, cutoff)) == ([], []), "a rerun of either cutoff has nothing to do"

    refused = found("publish", "--cutoff", older, "--home", copy.home)
    assert refused.status == 2
    assert reason in refused.err
    assert f"found promote --version {old} --home {copy.home}" in refused.err
    candidate = found("promote", "--home", copy.home)
    assert candidate.status == 2
    assert f"`found promote --version {old}` takes the older one all the same" in candidate.err
    assert serving(copy) == (first, first)

    new = version_of_cutoff(copy, newer)
    assert registry.reason_to_wait(copy, new) is None, "a newer cutoff takes over by itself"
    registry.store_verdict(copy, new, Verdict(False, "nobody can tell", {}, judged=False))
    assert registry.reason_to_wait(copy, new) == f"version {first}, which passed the gate, keeps serving"
    registry.store_verdict(copy, new, Verdict(True, "fine", {}))
    registry.promote(copy, new)
    assert str(registry.reason_to_wait(copy, first)).startswith(f"version {new} of the newer cutoff {newer}")
    assert (stale(copy, older), stale(copy, cutoff)) == ([], [])

    named = found("promote", "--version", old, "--home", copy.home, "--format", "json")
    assert named.status == 0, named.err
    assert json.loads(named.out)["after"]["champion"] == old
    assert serving(copy) == (old, old)
    assert registry.reason_to_wait(copy, new) == f"a person chose version {old}"
    assert (stale(copy, older), stale(copy, cutoff)) == ([], [])


def retrained(settings: Settings, cutoff: dt.date) -> str:
    """A newer version of the same cutoff with its states, not yet judged."""
    version = version_of_cutoff(settings, cutoff)
    users.embed(settings, registry.load(settings, version), cutoff)
    return version


def test_after_a_failed_gate_a_lone_run_of_what_follows_moves_nothing(
    copy: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (*serving(copy), index.live(copy))
    new = retrained(copy, cutoff)
    with pytest.raises(BadInput, match=f"version {new} .*stored gate verdict does not pass"):
        runs.materialize(copy, "user_index", str(cutoff))  # the version before it passed, and its promotion is there
    monkeypatch.setattr(gate, "judge", lambda *_: Verdict(False, "worse than chance", {"future_auc": 0.4}))
    with pytest.raises(JobFailed, match="the check gate_passes failed: worse than chance"):
        runs.materialize(copy, "promotion", str(cutoff))
    for asset in ("user_index", "tuned_prompts"):
        with contextlib.suppress(BadInput):
            runs.materialize(copy, asset, str(cutoff))
    assert (*serving(copy), index.live(copy)) == before
    registry.store_verdict(copy, new, Verdict(True, "fine", {}))  # the gate passes, and no promotion has run since
    with pytest.raises(BadInput, match=f"version {new} of the cutoff {cutoff} has not taken service"):
        runs.materialize(copy, "user_index", str(cutoff))
    assert (*serving(copy), index.live(copy)) == before


def test_a_version_that_is_worse_than_the_champion_waits_and_a_person_may_choose_it(
    copy: Settings, cutoff: dt.date, found: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = serving(copy)[0]
    assert first is not None
    new = retrained(copy, cutoff)
    monkeypatch.setattr(gate, "judge", lambda *_: Verdict(True, "fine", {"future_auc": 0.7}))
    own, calls = Past.figures_of, itertools.count()

    def blurred(past: Past, settings: Settings, model: "Model") -> tuple:
        ranks, shares, figures = own(past, settings, model)
        return (ranks if next(calls) % 2 else ranks - 0.2), shares, figures  # the candidate is asked first, then the champion

    monkeypatch.setattr(Past, "figures_of", blurred)
    for asset in ASSETS:
        runs.materialize(copy, asset, str(cutoff))
    assert serving(copy) == (first, first)
    about = metadata(copy, "promotion")
    assert about["not_promoted"].startswith(f"version {first}, than which it is worse on the same held-out users, keeps serving")
    assert about["future_auc_difference_high"] < 0
    with open_instance(copy) as instance:
        key = dg.AssetCheckKey(dg.AssetKey("promotion"), "holds_against_the_champion")
        (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.event is not None
    assert record.event.dagster_event is not None
    check = record.event.dagster_event.asset_check_evaluation_data
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert f"worse at finding own futures than version {first}, the champion" in str(check.metadata["why"].value)
    assert stale(copy, cutoff) == [], "a rerun has nothing to do"

    bare = found("promote", "--home", copy.home)
    assert bare.status == 2
    assert f"`found promote --version {new}` makes it the champion all the same" in bare.err
    named = found("promote", "--version", new, "--home", copy.home)
    assert named.status == 0, named.err
    assert serving(copy) == (new, new)
    with open_instance(copy) as instance:
        for asset in ASSETS:
            seen = instance.fetch_observations(dg.AssetKey(asset), limit=1).records[0].asset_observation
            assert seen is not None
            about = {name: seen.metadata[name].value for name in ("champion_before", "champion", "index", "job")}
            assert about == {"champion_before": first, "champion": new, "index": index.live(copy).name, "job": "promote"}


def test_the_champion_and_its_like_differ_by_nothing_and_a_better_one_is_ahead(settings: Settings, cutoff: dt.date) -> None:
    champion = registry.champion(settings).version
    same = compare(gate.Candidate(settings, champion, cutoff), champion)
    assert not same.worse
    assert (same.figures["phrase_auc_difference_low"], same.figures["phrase_auc_difference_high"]) == (0, 0)
    frozen = next(v.version for v in registry.versions(settings) if v.tags["kind"] == registry.FROZEN_TEXT)
    ahead = compare(gate.Candidate(settings, champion, cutoff), frozen)
    assert not ahead.worse
    assert ahead.figures["phrase_auc"] - ahead.figures["champion_phrase_auc"] == pytest.approx(
        (ahead.figures["phrase_auc_difference_low"] + ahead.figures["phrase_auc_difference_high"]) / 2, abs=0.02
    )


def test_the_interval_of_a_difference_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    bounds = [interval(rng.normal(0.02, 0.2, 60), seed) for seed in range(200)]
    assert 0.88 < np.mean([low < 0.02 < high for low, high in bounds]) < 0.99
