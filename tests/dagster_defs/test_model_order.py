"""A model of an older cutoff does not take service from a newer one by itself, and reruns of both leave everything as it is."""

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from conftest import Outcome

from dagster_defs import runs, staleness
from dagster_defs.execution import open_instance
from dagster_defs.graph import AssetGraph
from found_platform import index, registry
from found_platform.embedding import users
from found_platform.registry import Verdict, gate
from found_platform.settings import Settings
from found_platform.training_data import export

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
        made = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert made is not None
    assert made.asset_materialization is not None
    return {k: v.value for k, v in made.asset_materialization.metadata.items()}


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
    said = f"version {first} of the newer cutoff {cutoff} keeps serving"
    assert registry.reason_to_wait(copy, old) == said
    assert metadata(copy, "user_index")["not_promoted"].startswith(said)
    assert metadata(copy, "promotion")["verdict"] == "fine", "it is judged all the same"
    assert (stale(copy, older), stale(copy, cutoff)) == ([], []), "a rerun of either cutoff has nothing to do"

    refused = found("publish", "--cutoff", older, "--home", copy.home)
    assert refused.status == 2
    assert said in refused.err
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
