"""What a full run loads: nothing that no asset of it uses."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_full_run_does_not_load_transformers() -> None:
    """BERT is computed without it, and its import takes as long as a small stage of training."""
    first, later = LOADED
    loaded = _loaded("")
    assert {*first, *later} <= loaded
    assert "transformers" not in loaded


@pytest.mark.slow
def test_what_training_needs_in_the_end_is_loaded_while_it_is_waited_for_and_what_a_fork_needs_is_not() -> None:
    first, later = LOADED
    loaded = _loaded("stack.enter_context(process.training_beside())")
    assert {*first} <= loaded
    assert not later & loaded
    waited = _loaded("stack.enter_context(process.training_beside())", "[workers.use_the_wait() for _ in range(10)]")
    assert {*first, "mlflow"} <= waited
    assert "evidently" not in waited


LOADED = {"sklearn", "pymilvus"}, {"evidently", "mlflow"}


def _loaded(before: str, after: str = "") -> set[str]:
    lines = (
        "import contextlib, json, sys, tempfile",
        "from pathlib import Path",
        "from found_platform import workers",
        "from found_platform.app import libraries, process",
        "from found_platform.settings import Settings",
        "stack = contextlib.ExitStack()",
        before,
        "libraries.load(Settings.load(Path(tempfile.mkdtemp())))",
        after,
        "print(json.dumps(sorted(sys.modules)))",
    )
    ran = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    return set(json.loads(ran.stdout.splitlines()[-1]))
