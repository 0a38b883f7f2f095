"""The files of a whole model: what is written comes back, and what does not fit is refused."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_found import BERT, TEXT, config, model, users

from models import weights
from models.found import Found, load, rebuild, save
from models.text_tower import TowerConfig


def test_a_configuration_comes_back_from_json() -> None:
    tower = TowerConfig(architecture=BERT, lora_rank=2)
    for configuration in (config(), config(behavior=None, tabular=None, searches=0, columns=(), description_tower=tower)):
        assert rebuild(json.loads(json.dumps(asdict(configuration)))) == configuration
    with pytest.raises(TypeError, match="widht"):
        rebuild({**asdict(config()), "widht": 3})


def test_a_saved_model_comes_back_bit_by_bit(tmp_path: Path) -> None:
    whole, histories = model().float().eval(), users(dtype=torch.float32)
    save(whole, tmp_path)
    again = load(tmp_path)
    assert again.config == whole.config
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again.users(histories), whole.users(histories))
        queries = whole.sentences(torch.randn(2, TEXT))
        assert torch.equal(again.late_scores(histories, queries), whole.late_scores(histories, queries))


def test_a_model_file_with_weights_missing_or_too_many_is_refused(tmp_path: Path) -> None:
    whole = model().float()
    save(whole, tmp_path)
    state = load_file(tmp_path / weights.WEIGHTS)
    del state["fused.weight"]
    weights.save(state, asdict(whole.config), tmp_path)
    with pytest.raises(ValueError, match="fused"):
        load(tmp_path)
    weights.save({**state, "fused.weight": whole.fused.weight.data, "more": torch.ones(1)}, asdict(whole.config), tmp_path)
    with pytest.raises(ValueError, match="more"):
        load(tmp_path)
    save_file({**state, "fused.weight": whole.fused.weight.data}, tmp_path / weights.WEIGHTS)
    with pytest.raises(ValueError, match="sha256"):
        load(tmp_path)


def test_a_model_with_towers_comes_back_and_leaves_their_frozen_weights_out(tmp_path: Path) -> None:
    bert = {**BERT, "hidden_size": TEXT, "num_attention_heads": 1}
    tower = TowerConfig(architecture=bert, lora_rank=2)
    whole = model(event_tower=tower, description_tower=TowerConfig(architecture=BERT, lora_rank=2)).float()
    for parameter in whole.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    whole.eval()
    save(whole, tmp_path)
    kept = load_file(tmp_path / weights.WEIGHTS)
    towers = {name for name in kept if "_tower." in name}
    assert towers
    assert all("lora_" in name for name in towers)
    again, histories, texts = load(tmp_path), users(dtype=torch.float32), ["gold ring", "milk", "tea", "tent", "", "a b c"]
    with torch.no_grad():
        assert torch.equal(again.describe(texts), whole.describe(texts))
        assert again.event_tower is not None
        assert whole.event_tower is not None
        one, other = (replace(histories, texts=m.event_tower(texts)) for m in (again, whole))  # type: ignore[misc]
        assert torch.equal(again.users(one), whole.users(other))


def test_an_event_tower_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="10 dimensions and text_dim is 5"):
        Found(config(event_tower=TowerConfig(architecture=BERT)))
