"""What a stage's process says reaches whoever watches it, whatever it is written in, and why it ended is one sentence."""

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from found_platform import workers
from found_platform.errors import BadInput, JobFailed
from found_platform.settings import Settings
from found_platform.training_runs import stages


def test_lines_of_any_encoding_come_whole_and_once(tmp_path: Path) -> None:
    file = tmp_path / stages.OUTPUT
    written = "\nmüsli\n\n金の指輪\n".encode() + b"latin \xe9\nhalf a l"
    lines, place = [], 0
    for end in range(len(written) + 1):  # also where a character is cut in two
        file.write_bytes(written[:end])
        more, place = stages._complete_lines(file, place)
        lines += more
    assert lines == ["müsli", "金の指輪", "latin \ufffd"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("print('münze', flush=True); raise RuntimeError('the disc is full é')", "failed: the disc is full é. The whole output"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe broken\\n'); sys.exit(3)", "failed: \ufffd\ufffd broken. The whole"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", r"was killed \(signal 9\); a machine that runs out of memory"),
        ("raise SystemExit(4)", "ended with exit status 4"),
    ],
)
def test_a_stage_that_fails_says_why_in_a_sentence_and_keeps_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    python = tmp_path / "python"  # stands in for the interpreter: what a process of any kind may print and do
    python.write_text(f"#!{stages.sys.executable}\n{script}\n", encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(stages.sys, "executable", str(python))
    (tmp_path / "align").mkdir()
    told: list[dict[str, Any]] = []
    with pytest.raises(JobFailed, match=message) as failed:
        stages._process(tmp_path / "align" / "run.json", "align", told.append)
    assert "Error" not in str(failed.value).replace("output.txt", "")
    assert (tmp_path / "align" / stages.OUTPUT).exists()
    if "münze" in script:
        assert {"said": "münze"} in told
    json.dumps(told)


def test_another_training_seed_is_trained_once_beside_the_model_that_serves(
    settings: Settings, cutoff: dt.date, tmp_path: Path
) -> None:
    folder = settings.home / "training" / str(cutoff)
    shutil.copytree(folder, tmp_path / "training" / str(cutoff))
    copy = settings.model_copy(update={"home": tmp_path})
    served = (tmp_path / "training" / str(cutoff) / "align" / "model" / "model.safetensors").read_bytes()
    model = stages.again(copy, cutoff, 1)
    weights = model / "model.safetensors"
    assert weights.read_bytes() != served
    assert (tmp_path / "training" / str(cutoff) / "align" / "model" / "model.safetensors").read_bytes() == served
    written = weights.stat().st_mtime_ns
    assert stages.again(copy, cutoff, 1) == model
    assert weights.stat().st_mtime_ns == written
    shutil.rmtree(tmp_path / "training" / str(cutoff) / "data")
    with pytest.raises(BadInput, match="no longer in the home"):
        stages.again(copy, cutoff, 1)


def test_a_stage_is_a_fork_where_something_forks_and_fails_in_the_same_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "align").mkdir()
    config = tmp_path / "align" / "run.json"
    config.write_text('{"stage": "tabular"}')
    monkeypatch.setattr(stages.sys, "executable", "/nowhere/python")  # no interpreter is started
    with workers.beside(), pytest.raises(JobFailed, match=r"failed: .*stage is 'tabular': `align` trains align. The whole output"):
        stages._process(config, "align", lambda _: None)


def test_a_stage_that_was_begun_beside_this_process_is_waited_for_and_comes_out_the_same(
    settings: Settings, cutoff: dt.date, tmp_path: Path
) -> None:
    shutil.copytree(settings.home / "training" / str(cutoff), tmp_path / "training" / str(cutoff))
    copy = settings.model_copy(update={"home": tmp_path})
    folder = tmp_path / "training" / str(cutoff) / "tabular"
    request, before = stages._request(copy, folder), stages.finished(settings, cutoff, "tabular")
    assert request is not None
    assert before is not None
    stages.begin(copy, cutoff, "tabular")
    assert not stages._beside, "nothing forks"
    with workers.beside("found_platform.training.__main__"):
        stages.begin(copy, cutoff, "tabular")
        begun = stages._beside[folder]
        stages.begin(copy, cutoff, "tabular")
        assert stages._beside == {folder: begun}, "once"
        messages: list[dict[str, Any]] = []
        trained = stages._trained(folder, request, messages.append)
        assert begun.exitcode == 0
        assert not any("waiting" in str(message.get("said")) for message in messages)
        stages.begin(copy, cutoff, "tabular")
        process = stages._beside[folder]
    process.join(60)
    assert process.exitcode is not None, "what nobody waits for ends with what forks"
    assert trained.sha256 == before.sha256
    assert stages._trained(folder, request).sha256 == before.sha256, "and is trained by whoever asks"
    assert not stages._beside


def test_a_stage_that_uses_every_core_is_not_begun_before_its_turn(settings: Settings, cutoff: dt.date) -> None:
    sizes = settings.sizes.model_copy(deep=True)
    sizes.tabular.options.pop("threads")
    copy = settings.model_copy()
    vars(copy)["sizes"] = sizes
    with workers.beside():
        stages.begin(copy, cutoff, "tabular")
    assert not stages._beside
    assert stages.finished(settings, cutoff, "tabular") is not None, "its folder is as it was"
