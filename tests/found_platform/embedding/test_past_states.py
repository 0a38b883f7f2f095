"""States of past days are read in one query and written in one commit, as far as memory allows."""

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from small_training import BEHAVIOR, MODEL

from found_platform import feature_store, lake
from found_platform.contract import ACTIVITY_FEATURES
from found_platform.embedding import users
from found_platform.settings import Settings
from found_platform.training_data import text_vectors
from models.found import Found, rebuild

pytestmark = pytest.mark.slow

CUTOFF = dt.date(2024, 2, 1)


@dataclass(frozen=True)
class Version:
    """A model that no registry knows."""

    version: str
    model: Found


def embedded(edge_home: Settings, home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[pa.Table, int, int]:
    """The states of a learned model in a copy of a home, how many queries read histories, and how many commits hold them."""
    settings = edge_home.model_copy(update={"home": Path(shutil.copytree(edge_home.home, home)), "grid_days": 10})
    text_vectors.encode(settings, CUTOFF)
    encoder = text_vectors.encoder(settings.text_encoder)
    torch.manual_seed(0)
    sizes = {"text_dim": encoder.dim, "activity": len(ACTIVITY_FEATURES), "behavior": {**BEHAVIOR, "text_dim": encoder.dim}}
    model = Found(rebuild({**MODEL, **sizes, "tabular": None, "encoder_revision": encoder.revision})).eval()
    queries = 0
    histories = feature_store.histories

    def counted(*arguments: object) -> object:
        read = histories(*arguments)  # pyright: ignore

        def once_more(*spine: object) -> object:
            nonlocal queries
            queries += 1
            return read(*spine)  # pyright: ignore

        return once_more

    with monkeypatch.context() as patched:
        patched.setattr(feature_store, "histories", counted)
        assert users.embed(settings, Version("2", model), CUTOFF).rows > 10
    rows = lake.read(settings.lake, users.TABLE).sort_by([("as_of", "ascending"), ("user_key", "ascending")])
    return rows, queries, lake.version(settings.lake, users.TABLE)


def test_past_days_share_a_query_and_a_commit(edge_home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory holds but one day's users at once, each day has its own, and the states are the same."""
    together, queries, commits = embedded(edge_home, tmp_path / "together", monkeypatch)
    assert (len(together["as_of"].unique()), queries, commits) == (4, 2, 2)
    monkeypatch.setattr(users, "PART", 3)
    apart, queries_apart, commits_apart = embedded(edge_home, tmp_path / "apart", monkeypatch)
    assert queries_apart > queries
    assert commits_apart > commits
    others = ["model_version", "as_of", "user_key", "fold", "history_events"]
    assert apart.select(others).equals(together.select(others))
    vectors = (np.array(table["vector"].to_pylist(), np.float32) for table in (apart, together))
    np.testing.assert_allclose(*vectors, rtol=0, atol=1e-6)
