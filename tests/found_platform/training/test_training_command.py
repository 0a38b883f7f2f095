"""The command of training: what it leaves and says, which configurations it refuses, and what it may import."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import DIM, FOLDS, MODEL, MOMENTS, QWEN, TABULAR, TEXTS, USERS, configure, rewrite
from torch import nn

from found_platform.training import machine
from found_platform.training.__main__ import execute, main
from found_platform.training.data import TrainingData
from found_platform.training.loop import Options
from found_platform.training.progress import read_progress
from models.found import load

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_command_trains_both_stages_and_leaves_a_model(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for stage in ("behavior", "tabular"):
        main(["pretrain", "--config", str(configure(tmp_path, folder, stage))])
    initial = {stage: f"{stage}/best.safetensors" for stage in ("behavior", "tabular")}
    main(["align", "--config", str(configure(tmp_path, folder, "align", initial=initial))])
    output = capsys.readouterr().out
    assert "parameters" in output
    assert "MiB before activations" in output
    outcome = json.loads((tmp_path / "align" / "outcome.json").read_text())
    assert outcome["users"] == USERS * (FOLDS - 1) / FOLDS
    assert outcome["rows"] == outcome["users"] * MOMENTS
    assert outcome["texts"] == TEXTS
    assert outcome["step"] == 3
    model, data = load(tmp_path / "align" / "model"), TrainingData(folder)
    assert model.users(data.histories(torch.arange(6))[0]).isfinite().all()
    assert model.behavior is not None
    first = load_file(tmp_path / "behavior" / "best.safetensors")
    for name, value in model.behavior.state_dict().items():  # stage 2 does not move stage 1, unless it is asked to
        assert torch.equal(value, first[f"encoder.{name}"])


def test_a_model_with_both_towers_trains(folder: Path, tmp_path: Path) -> None:
    bert = {"model_type": "bert", "vocab_size": 97, "hidden_size": DIM, "num_hidden_layers": 1, "num_attention_heads": 2}
    towers = {
        "event_tower": {"architecture": {**bert, "intermediate_size": 16}},
        "description_tower": {"architecture": QWEN, "lora_rank": 2},
    }
    config = configure(tmp_path, folder, "align", model={**MODEL, **towers}, options={"micro_batch": 8, "steps": 2})
    main(["align", "--config", str(config)])
    kept = load_file(tmp_path / "align" / "model" / "model.safetensors")
    assert any(name.startswith("event_tower.") for name in kept)
    assert all("lora_" in name for name in kept if name.startswith("description_tower."))
    load(tmp_path / "align" / "model")


def test_progress_is_a_line_a_step_and_one_a_look(folder: Path, tmp_path: Path) -> None:
    execute(json.loads(configure(tmp_path, folder, "align", options={"steps": 5}).read_text()), tmp_path)
    path = tmp_path / "align" / "progress.jsonl"
    lines = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines if "held_out" in line] == [0, 2, 4, 5]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5]
    for line in steps:
        assert line["loss"] == pytest.approx(sum(line["parts"].values()))
        assert line["steps"] == 5
        assert line["gradient_norm"] > 0
        assert line["rows_per_second"] > 0
    for line in lines:
        assert line.get("held_out", {"score": 0.0})["score"] >= 0
    with path.open("a") as file:
        file.write('{"step": 6, "lo')
    assert list(read_progress(path)) == lines


def test_it_says_so_when_training_did_not_help(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    main(["align", "--config", str(configure(tmp_path, folder, "align", options={"learning_rate": 0.0}))])
    assert "align did not help: no step was better on held-out users than the start" in capsys.readouterr().out
    outcome = json.loads((tmp_path / "align" / "outcome.json").read_text())
    assert outcome["helped"] is False
    assert outcome["best"] == outcome["start"]


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "another command's stage": ("align", {"stage": "behavior"}, "trains align"),
    "no options": ("align", {"options": None}, "NoneType"),
    "an unknown option": ("align", {"options": {"stepz": 3}}, "stepz"),
    "a batch of nobody": ("align", {"options": {"steps": 3, "batch": 0}}, "batch is 0: it must be at least 1"),
    "an unknown loss": ("align", {"losses": {"margins": 1}}, "margins"),
    "an unknown size": ("align", {"model": {**MODEL, "widht": 1}}, "widht"),
    "data that are not there": ("align", {"data": "nowhere"}, "nowhere"),
    "vectors of another size": ("align", {"model": {**MODEL, "text_dim": 9}}, "text_dim is 9 in the model and 8 in the data"),
    "another table": (
        "align",
        {"model": {**MODEL, "tabular": {**TABULAR, "values": [3, 3]}}},
        "column 1 of the table holds the code 3",
    ),
    "no such encoder": ("align", {"model": {**MODEL, "behavior": None}, "initial": {"behavior": "x"}}, "x"),
    "no such tower": ("align", {"model": {**MODEL, "description_tower": {"model": "nonsense"}}}, "no text encoder 'nonsense'"),
    "nothing to train": ("pretrain", {"stage": "behavior", "model": {**MODEL, "behavior": None}}, "model.behavior is null"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_config_that_cannot_be_used_says_why(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    command, changes, message = WRONG[name]
    path = configure(tmp_path, folder, "align")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(SystemExit) as stopped:
        main([command, "--config", str(path)])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert message in error


def test_a_config_that_is_missing_something_names_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = configure(tmp_path, folder, "align")
    whole = json.loads(path.read_text())
    for key in ("stage", "data", "out", "model", "options"):
        path.write_text(json.dumps({k: v for k, v in whole.items() if k != key}))
        with pytest.raises(SystemExit):
            main(["align", "--config", str(path)])
        assert f"'{key}' is missing" in capsys.readouterr().err
    path.write_text("{")
    with pytest.raises(SystemExit):
        main(["align", "--config", str(path)])
    assert str(path) in capsys.readouterr().err


def test_weights_of_another_size_are_no_start(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    save_file({"encoder.x": torch.ones(1)}, tmp_path / "other.safetensors")
    for initial, message in (({"behavior": "other.safetensors"}, "no behavior encoder of these sizes"), ({"late": "x"}, "x")):
        with pytest.raises(SystemExit):
            main(["align", "--config", str(configure(tmp_path, folder, "align", initial=initial))])
        assert message in capsys.readouterr().err


def test_data_with_nobody_to_train_on_say_so(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = rewrite(folder, tmp_path / "nobody", fold=lambda fold, _: torch.zeros_like(fold))
    with pytest.raises(SystemExit):
        main(["pretrain", "--config", str(configure(tmp_path, data, "behavior"))])
    assert "nobody to train on: no user outside of fold 0" in capsys.readouterr().err


def test_a_profile_that_does_not_fit_says_so_before_it_starts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "available", lambda device: 1000)
    with pytest.raises(machine.DoesNotFit, match=r"This profile needs .* GiB .* cpu has 0\.0 GiB free"):
        machine.check(nn.Linear(1000, 10), Options(1), "cpu")
    with pytest.raises(SystemExit) as stopped:
        main(["pretrain", "--config", str(configure(tmp_path, folder, "behavior"))])
    assert stopped.value.code == 2
    assert "smaller profile" in capsys.readouterr().err
    assert not (tmp_path / "behavior").exists()


def test_needs_count_weights_gradients_moments_and_the_best_copy() -> None:
    model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 5, bias=False))
    model[0].requires_grad_(False)
    needs = machine.needs(model)
    assert (needs.parameters, needs.trained) == (150, 50)
    assert needs.bytes == 150 * 4 + 50 * 16
    assert machine.available("cpu") > 2**20


ALONE = """
import runpy, sys
BANNED = {"dagster", "feast", "mlflow", "pyarrow", "pandas", "pydantic", "deltalake", "duckdb", "ibis", "sklearn", "typer"}
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in BANNED else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
for command, config in (argument.split("=", 1) for argument in sys.argv[1:]):
    sys.argv = ["training", command, "--config", config]
    runpy.run_module("found_platform.training", run_name="__main__", alter_sys=True)
ours = {name.split(".")[1] for name in sys.modules if name.startswith("found_platform.")}
assert ours == {"training", "metrics"}, ours
assert not BANNED & {name.split(".")[0] for name in sys.modules}
print("to the end")
"""


@pytest.mark.slow
def test_it_runs_where_nothing_of_the_platform_is_installed(folder: Path, tmp_path: Path) -> None:
    """With torch, transformers, peft, numpy and safetensors alone, both stages, a tower with LoRA among them."""
    tower = {"description_tower": {"architecture": QWEN, "lora_rank": 2}}
    initial = {stage: f"{stage}/best.safetensors" for stage in ("behavior", "tabular")}
    runs = [f"pretrain={configure(tmp_path, folder, stage)}" for stage in ("behavior", "tabular")]
    runs.append(f"align={configure(tmp_path, folder, 'align', model={**MODEL, **tower}, initial=initial)}")
    completed = subprocess.run([sys.executable, "-c", ALONE, *runs], capture_output=True, text=True, timeout=300)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.endswith("to the end\n")
    assert (tmp_path / "align" / "model" / "config.json").exists()
