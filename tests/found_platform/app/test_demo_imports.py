"""What a full run loads: nothing that no asset of it uses."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_full_run_does_not_load_transformers() -> None:
    """BERT is computed without it, and its import takes as long as a small stage of training."""
    code = "import json, sys; from found_platform.app import graph; graph._import_heavy(); print(json.dumps(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    assert {"evidently", "mlflow", "pymilvus"} <= set(json.loads(loaded))
    assert "transformers" not in json.loads(loaded)
