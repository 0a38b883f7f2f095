"""Look-ups that the index answers, and what takes its place where it cannot, on the home that the demo made."""

import datetime as dt
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from found_platform import index, registry
from found_platform.audiences import lookup
from found_platform.embedding import users
from found_platform.errors import BadInput
from found_platform.settings import Settings
from models.found import Found


@pytest.fixture
def copy(settings: Settings, tmp_path: Path) -> Settings:
    """A copy of the demo's home that a test may change."""
    shutil.copytree(settings.home, tmp_path / "found")
    return Settings.load(tmp_path / "found")


def test_the_index_and_exact_scoring_give_the_same_users(settings: Settings) -> None:
    for where in (None, "events_28d >= 1", "age_band = '25-34' AND balance > 500"):
        gold = lookup.Question("people who will soon buy gold", mode="aligned", where=where)
        approximate = lookup.find(settings, gold, lookup.Size(top=15))
        exact = lookup.find(settings, gold, lookup.Size(top=15), exact=True)
        assert [u.user_id for u in approximate.users] == [u.user_id for u in exact.users]
        assert exact.exact
        scores = [u.score for u in exact.users]
        assert scores == sorted(scores, reverse=True)
        np.testing.assert_allclose([u.score for u in approximate.users], scores, atol=1e-5)
    assert not lookup.find(settings, lookup.Question("gold", mode="aligned"), lookup.Size(top=3)).exact


def test_the_index_itself_filters_as_the_exact_path_does(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "FEW_MATCHES", 0)
    where = "city_tier = '1' AND events_90d >= 2"
    through_index = lookup.find(
        settings, lookup.Question("tents and sleeping bags", mode="aligned", where=where), lookup.Size(top=25)
    )
    assert not through_index.exact
    exact = lookup.find(
        settings, lookup.Question("tents and sleeping bags", mode="aligned", where=where), lookup.Size(top=25), exact=True
    )
    assert [u.user_id for u in through_index.users] == [u.user_id for u in exact.users]


def test_a_held_index_is_answered_exactly_and_said(settings: Settings) -> None:
    """Milvus Lite lets one process open a file; another process opens it here and holds it."""
    lookup.release(settings)
    path = settings.home / "index" / index.live(settings).name
    code = f"from pymilvus import MilvusClient; c = MilvusClient({str(path)!r}); print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "held"
        held = lookup.find(settings, lookup.Question("gold", mode="aligned"), lookup.Size(top=5))
        holder.communicate("\n")
    assert held.exact
    assert "another process holds the index" in held.reason
    free = lookup.find(settings, lookup.Question("gold", mode="aligned"), lookup.Size(top=5))
    assert [u.user_id for u in held.users] == [u.user_id for u in free.users]


def test_an_index_whose_file_is_gone_is_answered_exactly_and_not_made_anew(copy: Settings) -> None:
    path = copy.home / "index" / index.live(copy).name
    shutil.rmtree(path)
    answer = lookup.find(copy, lookup.Question("gold", mode="aligned"), lookup.Size(top=5))
    assert answer.exact
    assert "the file of the index is gone" in answer.reason
    assert not path.exists()


def test_users_without_history_are_never_returned(copy: Settings, cutoff: dt.date) -> None:
    published, model = index.live(copy), registry.champion(copy).model
    assert isinstance(model, Found)
    _, vectors, events = users.load(copy, published.model_version, cutoff)
    answer = lookup.find(copy, lookup.Question("gold", mode="aligned"), lookup.Size(top=20_000))
    assert answer.count == int((events > 0).sum())
    assert "larger than 16,384" in answer.reason
    assert np.all(vectors[events == 0, : model.config.dim] == 0)


@pytest.mark.parametrize(("sentence", "message"), [("", "is empty"), ("  \n ", "is empty"), ("x" * 10_000, "10,000 characters")])
def test_a_demand_that_cannot_be_used_is_refused(settings: Settings, sentence: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        lookup.find(settings, lookup.Question(sentence, mode="aligned"))


def test_the_pointer_names_the_live_and_the_previous_index(settings: Settings) -> None:
    pointer = json.loads((settings.home / "index" / "current.json").read_text())
    assert set(pointer) == {"live", "previous"}
    assert pointer["live"]["recall"] >= index.RECALL
