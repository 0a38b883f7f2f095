"""A model is moved to the chosen device and comes back. Tried with a device that is only written down: no GPU is at hand."""

import pytest
import torch
from torch import nn

from models import device
from models.device import chosen_device, on_device


def test_a_gpu_is_chosen_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for has_gpu, chosen in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
        assert chosen_device() == chosen


def test_a_model_comes_back_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[str] = []
    monkeypatch.setattr(nn.Module, "to", lambda self, place: places.append(place))
    monkeypatch.setattr(device, "chosen_device", lambda: "cuda")
    with pytest.raises(KeyboardInterrupt), on_device(nn.Linear(1, 1)):
        raise KeyboardInterrupt
    assert places == ["cuda", "cpu"]


def test_on_a_cpu_nothing_moves() -> None:
    model = nn.Linear(2, 2)
    before = model.weight.data_ptr()
    with on_device(model):
        assert model.weight.data_ptr() == before
    assert model.weight.data_ptr() == before
