"""What the workers of an engine make for models: vectors of texts and users, and training files, as this process makes them."""

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import BEHAVIOR, MODEL

from found_platform import lake
from found_platform.contract import ACTIVITY_FEATURES
from found_platform.embedding import users
from found_platform.settings import Settings
from found_platform.training_data import export, pairs, row_files, text_vectors, text_workers, training_set
from models.found import Found, rebuild
from models.frozen_text import FrozenText, FrozenTextConfig
from models.saved import Model

pytestmark = pytest.mark.slow

CUTOFF = dt.date(2024, 2, 1)


@dataclass(frozen=True)
class Version:
    """A model that no registry knows."""

    version: str
    model: Model


def model_of(kind: str, settings: Settings) -> Model:
    encoder = text_vectors.encoder(settings.text_encoder)
    torch.manual_seed(0)
    if kind == "frozen text":
        return FrozenText(FrozenTextConfig(settings.text_encoder, encoder.revision, encoder.dim), torch.zeros(encoder.dim))
    behavior = {**BEHAVIOR, "text_dim": encoder.dim}
    sizes = {"text_dim": encoder.dim, "activity": len(ACTIVITY_FEATURES), "behavior": behavior, "tabular": None}
    return Found(rebuild({**MODEL, **sizes, "encoder_revision": encoder.revision})).eval()


@pytest.mark.parametrize("kind", ["frozen text", "found"])
def test_workers_make_the_states_that_this_process_makes(kind: str, edge_home: Settings, address: str, tmp_path: Path) -> None:
    """A learned model keeps states of the held-out fold at past moments too."""
    kept = []
    for name, place in (("duckdb", "duckdb"), ("engine", address)):
        home = Path(shutil.copytree(edge_home.home, tmp_path / name))
        settings = edge_home.model_copy(update={"home": home, "engine": place, "grid_days": 10})
        text_vectors.encode(settings, CUTOFF)
        written = users.embed(settings, Version("2", model_of(kind, settings)), CUTOFF)
        assert written.rows > 10
        rows = lake.read(settings.lake, users.TABLE).sort_by([("as_of", "ascending"), ("user_key", "ascending")])
        kept.append(rows)
        assert not list((home / "tmp").glob("*/*.safetensors"))
        log = "".join(path.read_text() for path in lake.path(settings.lake, users.TABLE).glob("_delta_log/*.json"))
        assert not [key for key in rows["user_key"].to_pylist() if key in log]
    expected, rows = kept
    assert len(expected["as_of"].unique()) == (1 if kind == "frozen text" else 4)
    others = ["model_version", "as_of", "user_key", "fold", "history_events"]
    assert rows.select(others).equals(expected.select(others))
    vectors = (np.array(table["vector"].to_pylist(), np.float32) for table in (rows, expected))
    np.testing.assert_allclose(*vectors, rtol=0, atol=1e-6)


def test_workers_encode_the_texts_that_are_not_cached_each_once(
    edge_home: Settings, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In shards by text id; and a second run has nothing to do."""
    monkeypatch.setattr(text_workers, "SHARD", 4)
    kept, early = [], dt.date(2024, 1, 1)
    for name, place in (("duckdb", "duckdb"), ("engine", address)):
        home = Path(shutil.copytree(edge_home.home, tmp_path / name))
        settings = edge_home.model_copy(update={"home": home, "engine": place})
        some, _ = text_vectors.encode(settings, early)
        written, new = text_vectors.encode(settings, CUTOFF)
        assert (some.rows + new, text_vectors.encode(settings, CUTOFF)[1]) == (written.rows, 0)
        assert min(some.rows, new) > 0
        rows = lake.read(settings.lake, text_vectors.TABLE)
        assert len(set(rows["text_id"].to_pylist())) == rows.num_rows == written.rows
        kept.append(text_vectors.load(settings, text_vectors.encoder(settings.text_encoder).revision))
    np.testing.assert_array_equal(kept[1].ids, kept[0].ids)
    np.testing.assert_allclose(kept[1].vectors.astype(np.float32), kept[0].vectors.astype(np.float32), rtol=0, atol=2e-3)


def test_workers_write_the_training_files_that_this_process_writes(
    edge_home: Settings, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, each file by the worker that has its users."""
    monkeypatch.setattr(row_files, "ROWS", 20)
    home = Path(shutil.copytree(edge_home.home, tmp_path / "home"))
    settings = edge_home.model_copy(update={"home": home, "grid_days": 3})
    text_vectors.encode(settings, CUTOFF)
    training_set.build(settings, CUTOFF)
    pairs.build(settings, CUTOFF)
    written = []
    for place in ("duckdb", address):
        folder = export.write(settings.model_copy(update={"engine": place}), CUTOFF)
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert sum(name.startswith("rows-") for name in written[0]) > 2
    assert written[0] == written[1]
