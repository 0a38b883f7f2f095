"""FOUND without a part: it is to everybody what it is to those who never had any of it."""

import pytest
import random_histories
import torch

from models.ablation import PARTS, users_without
from models.found import Found, rebuild

CONFIG = {
    "encoder": "random-bert",
    "encoder_revision": "r",
    "text_dim": 5,
    "dim": 6,
    "activity": 3,
    "behavior": {"text_dim": 5, "width": 8, "window_days": 7.0, "windows": 6, "layers": 1, "heads": 2, "dropout": 0.0},
    "tabular": {"values": [3, 4], "width": 8, "layers": 1, "heads": 2, "dropout": 0.0},
    "searches": 3,
    "width": 8,
    "heads": 2,
    "dropout": 0.0,
}


@pytest.fixture(scope="module")
def model() -> Found:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found_model = Found(rebuild(CONFIG)).eval()
        torch.nn.init.normal_(found_model.fused.weight)
        found_model.activity_mean.normal_()
    return found_model


def users(model: Found, events: list[int], searches: list[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    histories = random_histories.histories_of(events, searches, columns=(3, 4), dtype=torch.float32)
    with torch.no_grad():
        return model.users(histories), {part: users_without(model, part, histories) for part in PARTS}


def test_a_part_that_a_user_never_had_changes_nothing(model: Found) -> None:
    whole, without = users(model, [4, 0, 3], [2, 3, 0])
    assert torch.allclose(without["behavior"][1], whole[1], atol=1e-5)
    assert torch.allclose(without["searches"][2], whole[2], atol=1e-5)
    for part in PARTS:
        assert not torch.allclose(without[part][0], whole[0], atol=1e-3), part
        assert torch.isfinite(without[part]).all()


def test_without_the_table_activity_tells_nothing_and_attributes_are_missing(model: Found) -> None:
    _, without = users(model, [4, 2], [1, 1])
    assert torch.allclose(without["table"][:, -3:], torch.zeros(2, 3), atol=1e-5)


def test_without_fusion_the_aligned_part_is_the_frozen_start(model: Found) -> None:
    histories = random_histories.histories_of([4, 2], [1, 1], columns=(3, 4), dtype=torch.float32)
    with torch.no_grad():
        mean, _ = histories.own_mean()
        start = torch.nn.functional.normalize(model.user(mean - model.center), dim=-1)
        assert torch.allclose(users_without(model, "fusion", histories)[:, :6], start, atol=1e-5)
    assert model.fused.weight.abs().sum() > 0, "the model itself stays as it is"
