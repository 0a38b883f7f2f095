"""From text vectors to a published version, on the home that the demo made."""

import datetime as dt
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.dataset as pad
import pytest
from conftest import at, lake_of, write_source
from torch import nn

from found_platform import feature_store, index, lake, registry
from found_platform.contract import midnight
from found_platform.embedding import users
from found_platform.embedding.sentences import embed_sentences
from found_platform.errors import BadInput, JobFailed
from found_platform.index import recall
from found_platform.registry import LoadedModel, Verdict, model_card, tracking
from found_platform.settings import Settings
from found_platform.training_data import text_vectors
from found_platform.training_runs import fit, stages
from models import device
from models.found import Found
from models.frozen_text import FrozenText, FrozenTextConfig


def champion(settings: Settings) -> Found:
    """The model in service, which is FOUND: on the simulated population alignment helps."""
    model = registry.champion(settings).model
    assert isinstance(model, Found)
    return model


@pytest.fixture
def copy(settings: Settings, tmp_path: Path) -> Settings:
    """A copy of the demo's home that a test may change."""
    shutil.copytree(settings.home, tmp_path / "found")
    return Settings.load(tmp_path / "found")


def test_every_text_is_encoded_once_and_later_texts_are_added(tmp_path: Path) -> None:
    events = [{"user_id": "u", "event_time": at(f"2024-01-0{d}"), "text": f"text {d % 3}"} for d in range(1, 8)]
    events.append({"user_id": "u", "event_time": at("2024-01-08"), "text": "new"})
    settings = lake_of(tmp_path / "home", write_source(tmp_path, events))
    assert [text_vectors.encode(settings, dt.date(2024, 1, d))[1] for d in (8, 8, 9, 4)] == [3, 0, 1, 0]
    encoder = text_vectors.encoder("random-bert")
    texts = text_vectors.load(settings, encoder.revision)
    ids, vectors = texts.ids, texts.vectors
    assert vectors.dtype == np.float16
    assert list(ids) == sorted(set(ids))
    words = {r["text_id"]: r["text"] for r in lake.read(settings.lake, "behavior_text").to_pylist()}
    np.testing.assert_allclose(vectors, encoder.encode([words[i] for i in ids]), atol=1e-3)
    assert list(text_vectors.load(settings, encoder.revision, ids[1:3]).ids) == list(ids[1:3])


def test_texts_and_users_are_encoded_where_the_device_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is only written down here; what comes back is float32 of the CPU all the same."""
    events = [{"user_id": f"u{i}", "event_time": at("2024-01-01"), "text": f"text {i}"} for i in range(5)]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, events))
    places: list[tuple[str, str]] = []
    monkeypatch.setattr(nn.Module, "to", lambda self, place: places.append((type(self).__name__, str(place))) or self)
    monkeypatch.setattr(device, "chosen_device", lambda: "cuda")
    text_vectors.encode(settings, dt.date(2024, 1, 2))
    encoder = text_vectors.encoder("random-bert")
    users.embed(
        settings,
        LoadedModel("1", FrozenText(FrozenTextConfig("random-bert", encoder.revision, encoder.dim)), {}),
        dt.date(2024, 1, 2),
    )
    assert places == [(name, place) for name in ("Bert", "FrozenText") for place in ("cuda", "cpu")]
    assert users.load(settings, "1", dt.date(2024, 1, 2))[1].dtype == np.float32


def test_an_interrupted_encoding_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [{"user_id": "u", "event_time": at("2024-01-01"), "text": f"text {i}"} for i in range(25)]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, events))
    monkeypatch.setattr(text_vectors, "CHUNK", 10)
    encoder, calls = text_vectors.encoder("random-bert"), []
    real = encoder.encode

    def stopping(texts, *args):
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(texts, *args)

    monkeypatch.setattr(encoder, "encode", stopping)
    with pytest.raises(KeyboardInterrupt):
        text_vectors.encode(settings, dt.date(2024, 1, 2))
    assert text_vectors.encode(settings, dt.date(2024, 1, 2))[1] == 5
    assert calls == [10, 10, 5, 5]


def test_a_user_vector_is_the_centred_mean_of_their_own_texts(settings: Settings, cutoff: dt.date) -> None:
    """From the raw events, in a loop, for every user."""
    model = champion(settings).frozen_text()
    texts = text_vectors.load(settings, model.config.encoder_revision)
    vector = dict(zip(texts.ids, texts.vectors.astype(np.float64), strict=True))
    events: dict[str, list[tuple]] = {}
    for e in lake.read(settings.lake, "raw_events", pad.field("event_date") < cutoff).to_pylist():
        events.setdefault(e["user_key"], []).append((e["event_time"], e["text_id"], e["channel"], e["exposure"]))
    keys = sorted(events)
    rows = feature_store.history(settings, keys, [midnight(cutoff)] * len(keys))
    vectors, counts = users.vectors_of(settings, model, rows, texts), users.own_texts(rows)[1]
    for key, stored, count in zip(keys, vectors, counts, strict=True):
        ordered = sorted(events[key])
        behaviour = [e for e in ordered if e[2] != "search"][-settings.sequence_length :]
        own = [e[1] for e in behaviour if not e[3]] + [e[1] for e in ordered if e[2] == "search"][-settings.search_length :]
        expected = np.zeros(len(stored))
        if own:
            mean = np.mean([vector[i] for i in own], axis=0) - model.center.numpy()
            expected = mean / np.linalg.norm(mean)
        assert count == len(own)
        np.testing.assert_allclose(stored, expected, atol=1e-4)


def test_what_is_stored_is_what_the_model_says_however_users_are_batched(
    settings: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded = registry.champion(settings)
    keys, stored, counts = users.load(settings, loaded.version, cutoff)
    rows = feature_store.history(settings, keys, [midnight(cutoff)] * len(keys))
    texts = users.texts_of(settings, loaded.model, cutoff)
    whole = users.vectors_of(settings, loaded.model, rows, texts)
    np.testing.assert_allclose(stored, whole, atol=1e-5)
    np.testing.assert_array_equal(counts, users.own_texts(rows)[1])
    config = champion(settings).config
    assert stored.shape[1] == config.learned + config.activity == config.dim + config.behavior.width + config.activity
    shutil.copytree(settings.home, tmp_path / "found")
    copied = Settings.load(tmp_path / "found")
    monkeypatch.setattr(users, "USERS", 7)
    monkeypatch.setattr(users, "PART", 30)
    assert users.embed(copied, loaded, cutoff).rows == len(keys)
    assert users.load(copied, loaded.version, cutoff)[0] == keys
    np.testing.assert_allclose(users.load(copied, loaded.version, cutoff)[1], stored, atol=1e-5)


def test_a_version_carries_its_lineage_and_is_champion(settings: Settings, cutoff: dt.date) -> None:
    loaded = registry.champion(settings)
    assert loaded.tags["cutoff"] == str(cutoff)
    assert loaded.tags["feature_service"] == "found_user_v2"
    assert loaded.tags["gate"] == "passed"
    assert set(loaded.tags) >= {
        "sha256",
        "delta.training_set",
        "delta.user_text_pairs",
        "delta.text_vectors",
        "commit",
        "gate_reason",
    }
    assert registry.version_of(settings, registry.CANDIDATE) == loaded.version
    assert loaded.tags["alignment"] == "helped"
    assert fit.sound(loaded)[0]


def test_a_card_says_what_a_version_is_made_of_how_it_does_and_what_it_cannot_do(settings: Settings, cutoff: dt.date) -> None:
    loaded = registry.champion(settings)
    title, *sections = registry.card(settings, loaded.version).split("\n## ")
    card = dict(section.split("\n", 1) for section in sections)
    assert title.startswith(f"# FOUND, cutoff {cutoff}, profile tiny\n")
    assert list(card) == ["Held-out retrieval", "Stages", "Sizes", "Made of", "Known limits", "The gate"]
    for table in ("training_set", "user_text_pairs", "text_vectors"):
        assert f"- delta.{table}: {lake.version(settings.lake, table)}\n" in card["Made of"]
    assert f"- cutoff: {cutoff}\n" in card["Made of"]
    outcomes = {name: stage.outcome for name in stages.COMMANDS if (stage := stages.finished(settings, cutoff, name))}
    align = outcomes["align"]
    assert f"among {align['best']['candidates']:,.0f} (horizon 7 days)" in card["Held-out retrieval"]
    assert f"\nBest step {align['best_step']} of {align['step']}.\n" in card["Held-out retrieval"]
    for figure, key in (("recall@10", "recall_at_10"), ("mean reciprocal rank", "mrr"), ("others farther away", "auc")):
        row = f"| {figure} | {align['start'][f'frozen_{key}']:.3f} | {align['best'][key]:.3f} |"
        assert row in card["Held-out retrieval"]
    assert set(outcomes) == {"behavior", "tabular", "align"}
    for name, o in outcomes.items():
        assert f"| {name} | {o['rows']:,} | {o['users']:,} | {o['parameters']:,} | {o['trained_parameters']:,} |" in card["Stages"]
    for size in ("- dim: 32\n", "- searches: 16\n", "windows 12,", "- text encoder: random-bert, revision "):
        assert size in card["Sizes"]
    losses = dict(
        line.removeprefix("- weights of the losses of ").split(": ", 1) for line in card["Sizes"].split("\n") if "losses" in line
    )
    assert set(losses) == set(outcomes)
    for name, weight in (
        ("behavior", "cyclic 0.1"),  # what the profile does not name has a weight too
        ("tabular", "replaced 10.0"),
        ("align", "anchor 0"),
        ("align", "late 0.5"),
    ):
        assert weight in losses[name]
    assert [line.removeprefix("- ") for line in card["Known limits"].split("\n") if line] == list(model_card.LIMITS)
    assert card["The gate"].strip() == f"Passed: {loaded.tags['gate_reason']}."


def test_mlflow_runs_a_version_and_gives_query_vectors(settings: Settings) -> None:
    import mlflow
    import pandas as pd

    served = mlflow.pyfunc.load_model(str(registry.served(settings, registry.champion(settings).version)))
    vectors = served.predict(pd.DataFrame({"text": ["gold ring", "tent"]}))
    expected = embed_sentences(champion(settings), ["gold ring", "tent"])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    files = {p.suffix for p in (settings.home / "mlflow" / "artifacts").rglob("*") if p.is_file()}
    assert ".pkl" not in files
    assert ".safetensors" in files


@pytest.mark.slow
def test_only_a_version_whose_own_verdict_passes_is_promoted(tmp_path: Path) -> None:
    import torch

    from models.frozen_text import FrozenText, FrozenTextConfig

    settings = Settings.load(tmp_path, profile="tiny")
    model = FrozenText(FrozenTextConfig("random-bert", "r", 4), torch.ones(4))
    tags = {"cutoff": "2024-01-01"}

    def log() -> str:
        return registry.log(settings, model, parameters={}, metrics={}, tags=tags, card="# A card")

    first = log()
    assert log() == first  # the same weights are the same version
    assert registry.card(settings, first) == "# A card"
    model.center += 1
    second = log()
    with pytest.raises(BadInput, match="No model version of the cutoff 2024-01-01"):
        registry.of_cutoff(settings, "2024-01-01")
    registry.nominate(settings, second, "2024-01-01")
    with pytest.raises(BadInput, match="has not been judged"):
        registry.promote(settings, first)
    registry.store_verdict(settings, first, Verdict(True, "fine", {"a": 1.0}))
    registry.promote(settings, first)
    registry.store_verdict(settings, second, Verdict(False, "worse than chance", {}))
    with pytest.raises(BadInput, match="worse than chance"):
        registry.promote(settings, second)
    assert registry.version_of(settings, registry.CHAMPION) == first
    assert registry.version_of(settings, registry.PREVIOUS) is None
    registry.store_verdict(settings, second, Verdict(True, "fine now", {}))
    registry.promote(settings, second)
    assert (registry.version_of(settings, registry.CHAMPION), registry.version_of(settings, registry.PREVIOUS)) == (second, first)
    assert registry.of_cutoff(settings, "2024-01-01") == second


@pytest.mark.slow
def test_threads_at_two_homes_read_each_its_own_registry(tmp_path: Path) -> None:
    import torch

    from models.frozen_text import FrozenText, FrozenTextConfig

    model = FrozenText(FrozenTextConfig("random-bert", "r", 4), torch.ones(4))
    homes = [Settings.load(tmp_path / name, profile="tiny") for name in ("a", "b")]
    for home in homes:
        registry.log(home, model, parameters={}, metrics={}, tags={"cutoff": "2024-01-01", "home": home.home.name}, card="# A card")

    def read(of_home: Settings) -> set[str]:
        return {v.tags["home"] for _ in range(20) for v in registry.versions(of_home)}

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, homes * 2)) == [{"a"}, {"b"}] * 2


def test_publishing_rereads_the_verdict_and_a_failed_build_leaves_the_live_index(
    copy: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = index.live(copy)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "gate_passed", lambda *_: False)
        with pytest.raises(BadInput, match="verdict does not pass"):
            index.publish(copy, before.model_version, cutoff)
    with monkeypatch.context() as patch:
        patch.setattr(recall, "measure", lambda *_: (recall.RecallCheck(1.0, "", 0.4),))
        with pytest.raises(JobFailed, match="finds only 40"):
            index.publish(copy, before.model_version, cutoff)
    assert index.live(copy) == before
    after = index.publish(copy, before.model_version, cutoff)
    assert index.live(copy) == after != before
    last = index.publish(copy, before.model_version, cutoff)
    kept = {p.name for p in (copy.home / "index").iterdir()}
    assert kept == {"current.json", "history.jsonl", "states", after.name, last.name}
    states = {p.name.removesuffix(".db") for p in (copy.home / "index" / "states").iterdir()}
    assert states == {after.name.removesuffix(".db"), last.name.removesuffix(".db")}


SERVER = """
import os, sys
os.environ |= {"_MLFLOW_SERVER_FILE_STORE": sys.argv[1], "_MLFLOW_SERVER_ARTIFACT_DESTINATION": sys.argv[2],
               "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/", "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true"}
from mlflow.server import app
browser = app.test_client()
run, model = sys.argv[3:]
print(browser.get("/ajax-api/2.0/mlflow/artifacts/list", query_string={"run_id": run}).get_data(as_text=True))
print(browser.get("/get-artifact", query_string={"run_uuid": run, "path": "model_card.md"}).get_data(as_text=True))
print(browser.get(f"/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/directories").get_data(as_text=True))
"""


@pytest.mark.slow
def test_mlflows_own_pages_show_the_files_of_a_home_that_was_copied(copy: Settings) -> None:
    """As `mlflow server --backend-store-uri … --artifacts-destination …` serves them."""
    mlflow = tracking.client(copy)
    version = mlflow.get_model_version_by_alias(registry.MODEL, registry.CHAMPION)
    model = Path(registry.served(copy, version.version)).parent.name
    folder = copy.home / "mlflow"
    served = subprocess.run(
        [sys.executable, "-c", SERVER, f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts"), str(version.run_id), model],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert served.returncode == 0, served.stderr
    assert '"path": "model_card.md"' in served.stdout
    assert "# FOUND, cutoff" in served.stdout
    assert '"path": "MLmodel"' in served.stdout


@pytest.mark.slow
def test_one_process_serves_two_homes_from_threads(tmp_path: Path) -> None:
    """Nothing of MLflow is set for the whole process: what a thread registers lies in its own home."""
    import torch

    from models.frozen_text import FrozenText, FrozenTextConfig

    homes = [Settings.load(tmp_path / name, profile="tiny") for name in ("one", "other")]

    def work(place: int) -> list[float]:
        for number in range(2):
            model = FrozenText(FrozenTextConfig("random-bert", "r", 4), torch.full((4,), float(10 * place + number)))
            registry.log(homes[place], model, parameters={"n": 1}, metrics={"m": 1.0}, tags={"cutoff": "2024-01-01"}, card="# A")
        return [float(registry.load(homes[place], v.version).model.center[0]) for v in registry.versions(homes[place])]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [[1.0, 0.0], [11.0, 10.0]]
