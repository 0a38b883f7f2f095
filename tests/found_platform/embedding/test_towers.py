"""A model with its own towers, from pairs to a look-up: a random ALBERT for events, a random Qwen2 with LoRA for descriptions."""

import datetime as dt
from pathlib import Path

import pytest
from conftest import lake_of
from small_towers import TOWERS

from found_platform import index, lake, registry
from found_platform.audiences import lookup
from found_platform.embedding import users
from found_platform.registry import Verdict, gate
from found_platform.settings import Profile
from found_platform.training_data import export, pairs, text_vectors, training_set
from found_platform.training_runs import fit, stages
from models.found import Found
from models.text_tower import TextTower


@pytest.fixture
def towered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile `tiny` with both towers, and few steps."""
    tiny = Profile.load("tiny").model_dump()
    events = {**TOWERS["event_tower"]["architecture"], "hidden_size": 64}  # as wide as the frozen vectors
    tiny["model"] |= {**TOWERS, "event_tower": {"architecture": events}}
    for name in stages.COMMANDS:
        tiny[name]["options"] |= {"steps": 4, "batch": 32, "evaluate_every": 2}
    tiny["align"]["options"] |= {"micro_batch": 16}
    monkeypatch.setattr(Profile, "load", classmethod(lambda cls, name: cls(**tiny)))


@pytest.mark.slow
def test_towers_of_its_own_take_a_model_from_pairs_to_a_look_up(
    towered: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source.yaml").write_text("{name: simulated, simulator: {start: 2026-01-01, users: 150, days: 35}}")
    settings = lake_of(tmp_path / "home", tmp_path / "source.yaml")
    cutoff = dt.date(2026, 1, 29)
    training_set.build(settings, cutoff)
    text_vectors.encode(settings, cutoff)
    pairs.build(settings, cutoff)
    export.write(settings, cutoff)
    trained = [stage for name in stages.COMMANDS if (stage := stages.run(settings, cutoff, name))]
    assert [stage.name for stage in trained] == list(stages.COMMANDS)
    frozen, version = fit.frozen_text(settings, cutoff), fit.found_model(settings, cutoff, trained)
    judged = gate.judge(gate.Candidate(settings, version, cutoff))
    assert judged.figures["users"] > 0
    fit.choose(settings, cutoff, frozen, version, Verdict(True, "random weights: that it runs is enough", judged.figures))
    loaded = registry.load(settings, version)
    assert isinstance(loaded.model, Found)
    written = users.embed(settings, loaded, cutoff)
    registry.promote(settings, version)
    assert 100 < index.publish(settings, version, cutoff).rows <= written.rows

    tower = loaded.model.event_tower
    assert tower is not None
    kept = lake.read(settings.lake, text_vectors.TABLE, columns=["encoder_revision", "text_id"]).to_pandas()
    texts = set(text_vectors.texts_before(settings, cutoff)["text_id"].to_pylist())
    assert sorted(kept[kept.encoder_revision == tower.revision].text_id) == sorted(texts)  # each once, and all of them
    monkeypatch.setattr(TextTower, "encode", lambda *_: pytest.fail("a text was encoded again"))
    for mode in ("aligned", "late"):
        audience = lookup.find(settings, lookup.Question("people who will buy gold", mode=mode), lookup.Size(top=5))
        assert audience.mode == mode
        assert audience.model_version == version
        assert len({user.user_id for user in audience.users}) == 5
    lookup.release(settings)
