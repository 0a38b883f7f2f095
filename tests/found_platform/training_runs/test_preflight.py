"""What a profile needs is known, and said, before anything is read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Outcome, call_found
from small_towers import QWEN, TOWERS
from transformers import AutoConfig, AutoModel

from found_platform import workers
from found_platform.errors import BadInput
from found_platform.settings import Profile, Settings
from found_platform.training import loop, machine, made_up
from found_platform.training.data import TrainingData
from found_platform.training.loop import Options
from found_platform.training.rehearsal import Living, rehearse
from found_platform.training.tasks import model_of, task_of
from found_platform.training_runs import preflight
from models import losses
from models.found import Found, FoundConfig, rebuild
from models.tabular import TabularConfig

VALUES, POPULATION = (5, 9, 4), {"events": 20, "searches": 5, "text_dim": 32, "activity": 6}


def sizes(**changes: Any) -> FoundConfig:
    behavior = {"text_dim": 32, "width": 32, "window_days": 7, "windows": 12, "layers": 2}
    given = {"encoder": "none", "encoder_revision": "none", "text_dim": 32, "dim": 32, "activity": 6, "behavior": behavior}
    return replace(rebuild({**given, "tabular": None, **changes}), tabular=TabularConfig(VALUES))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "config", "weights"),
    [
        ("behavior", sizes(), {"ahead": 3, "cyclic_contrast": 0.1}),
        ("behavior", sizes(behavior={"text_dim": 32, "kind": "gru", "layers": 1}), {}),
        ("tabular", sizes(), {}),
        ("align", sizes(), {"phrases": 1.0, "tune_encoders": True}),
        ("align", sizes(**TOWERS), {"cross_modality": 0.0}),
    ],
    ids=["behavior", "gru", "tabular", "align", "towers"],
)
@pytest.mark.parametrize("micro", [0, 16])
def test_a_rehearsal_finds_what_a_step_with_weights_takes(
    stage: str, config: FoundConfig, weights: dict[str, Any], micro: int, tmp_path: Path
) -> None:
    """Both count bytes; the step has numbers, other users and all its micro-batches."""
    options = Options(1, batch=64, micro_batch=micro)
    rehearsed = rehearse(stage, config, options, weights, events=20, searches=5, device="cpu")
    data = TrainingData(made_up.write(tmp_path / "data", users=100, texts=400, values=VALUES, **POPULATION))
    task = task_of(model_of(stage, config), data, weights)
    assert (rehearsed.parameters, rehearsed.trained, rehearsed.bytes) == tuple(vars(machine.needs(task.model)).values())[:3]
    with Living() as living:
        loop._step(task, task.rows[:64], 0, options, 0, 1, "cpu")
    gradients = sum(4 * p.numel() for p in task.model.parameters() if p.requires_grad)
    assert 0.5 < rehearsed.activations / (living.most - gradients) < 2


def test_the_memory_of_equation_6_does_not_grow_with_all_pairs_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    def most(kept: int) -> int:
        monkeypatch.setattr(losses, "KEPT", kept)
        context, targets = (torch.randn(100, 20, 8, requires_grad=True) for _ in range(2))
        with Living() as living:
            losses.cpc_loss(context, targets, torch.ones(100, 20, dtype=torch.bool), 3, 10.0).backward()
        return living.most

    pairs = 4 * 1900 * 2000  # bytes of an exponential each: a user's last window asks nothing
    assert most(2**26) > pairs
    assert most(0) < pairs / 2


@pytest.mark.slow
def test_a_smaller_micro_batch_takes_less_and_a_gpu_less_than_float32() -> None:
    def activations(micro: int, device: str) -> int:
        return rehearse("behavior", sizes(), Options(1, 256, micro), {}, events=20, searches=5, device=device).activations

    assert activations(32, "cpu") < activations(0, "cpu")
    assert activations(32, "cuda") < activations(32, "cpu")


def test_a_model_has_shapes_where_it_has_no_memory() -> None:
    with torch.device("meta"):
        model = Found(sizes(**TOWERS))
    assert all(p.is_meta for p in model.parameters())
    assert machine.needs(model) == machine.needs(Found(sizes(**TOWERS)))


def test_living_counts_what_is_there_once_and_forgets_what_is_gone() -> None:
    given = torch.zeros(100)
    with Living() as living:
        view = given[:10]
        assert living.now == 0
        one = view + 1  # 40 bytes
        two = one * 2
        two.add_(one[:5].sum())  # 4 more for a moment
        assert (living.now, living.most) == (80, 84)
        del one, two
    assert living.now == 0


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile `paper` with architectures in place of weights, and little memory."""
    path = Path(preflight.__file__).parents[1] / "profiles" / "paper.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["text_encoder"] = "random-bert"
    profile["model"] |= {**TOWERS, "event_tower": None}
    monkeypatch.setattr(Profile, "load", classmethod(lambda cls, name: cls(**profile)))
    monkeypatch.setattr(machine, "available", lambda device: 100 * 2**20)


@pytest.mark.slow
def test_a_profile_that_does_not_fit_is_refused_before_anything_is_read(
    large: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    outcome = call_found("demo", "--profile", "paper", "--users", 20, "--days", 90, "--home", tmp_path / "home", "--format", "json")
    assert outcome.status == 2
    assert not (tmp_path / "home").exists()
    assert outcome.out == ""
    for word in ("behavior", "align", "does not fit this machine, where cpu has 100 MiB free", "smaller profile", "micro_batch"):
        assert word in outcome.err


@pytest.mark.slow
def test_a_profile_made_for_a_gpu_says_so_where_there_is_none(large: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    messages: list[str] = []
    with pytest.raises(BadInput, match="does not fit"):
        preflight.check(Settings.load(tmp_path, profile="paper"), 3, messages.append)
    assert messages[0].startswith("The profile paper is made for a GPU, and there is no CUDA here")


def test_the_demo_says_what_its_stages_need(demo: Outcome) -> None:
    assert "stage" in demo.err
    assert "activations" in demo.err
    for stage in ("behavior", "tabular", "align"):
        assert f"\n  {stage} " in demo.err
    assert "made for a GPU" not in demo.err


def test_a_profile_that_no_model_can_be_made_of_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sound = Profile.load("tiny")
    preflight.check(Settings.load(tmp_path, profile="tiny"), 0, print)  # what is remembered of it is of that content
    broken = sound.model_copy(update={"model": {**sound.model, "dim": 32, "event_tower": {"architecture": QWEN}}})
    monkeypatch.setattr(Profile, "load", classmethod(lambda cls, name: broken))
    with pytest.raises(BadInput, match="profile tiny cannot be trained: The event tower makes vectors of 48"):
        preflight.check(Settings.load(tmp_path, profile="tiny"), 0, print)


def test_needs_that_were_begun_beside_this_process_are_not_found_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, profile="tiny")
    alone, beside = [], []
    preflight.check(settings, 4, alone.append)
    preflight._begun.cache_clear()
    with workers.beside():
        preflight.begin(settings, 4)
        monkeypatch.setattr("found_platform.training.rehearsal.rehearse", None)
        preflight.check(settings.model_copy(update={"home": tmp_path / "other"}), 4, beside.append)
    assert beside[1:] == alone[1:]  # the first line has the memory that is free


def test_a_tower_without_weights_here_is_sized_by_its_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, messages = tmp_path / "qwen", []
    folder.mkdir()
    tiny = Profile.load("tiny")
    towered = tiny.model_copy(update={"model": {**tiny.model, "description_tower": {"model": str(folder), "lora_rank": 4}}})
    monkeypatch.setattr(Profile, "load", classmethod(lambda cls, name: towered))
    with pytest.raises(BadInput, match=f"{folder} is neither on this machine"):
        preflight.check(Settings.load(tmp_path, profile="tiny"), 0, messages.append)
    AutoConfig.for_model(**QWEN).save_pretrained(folder)
    preflight.check(Settings.load(tmp_path, profile="tiny"), 0, messages.append)
    parameters = int(messages[-1].split()[1].replace(",", ""))
    assert messages[-1].split()[0] == "align"
    assert parameters > sum(p.numel() for p in AutoModel.from_config(AutoConfig.for_model(**QWEN)).parameters())
