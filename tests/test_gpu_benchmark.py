"""The GPU benchmark with tiny sizes: its figures are there, and it runs without the platform's own libraries."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"
PLATFORM = ("pandas", "pyarrow", "duckdb", "deltalake", "feast", "mlflow", "dagster", "pydantic")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("gpu") / "figures.json"
    blocked = f"import sys; sys.modules.update(dict.fromkeys({PLATFORM!r})); import runpy; sys.argv = sys.argv[1:]; "
    code = blocked + "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, str(SCRIPT), "--tiny", "--out", str(out)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    completed = subprocess.run(command, capture_output=True, text=True, cwd=out.parent, env=env, check=False)
    assert completed.returncode == 0, completed.stderr
    return json.loads(out.read_text())


@pytest.mark.slow
def test_both_stages_are_measured(document: dict) -> None:
    assert document["matmul_tflops"] > 0
    assert set(document["stages"]) == {"behavior", "align"}
    for row in document["stages"].values():
        assert len(row["losses"]) == row["steps"]
        for name in ("step_seconds", "window_tokens_per_second", "model_tflop_per_step", "utilisation", "loss_first", "loss_last"):
            assert row[name] > 0, name
    assert document["stages"]["behavior"]["text_tokens_per_second"] == 0  # reads frozen vectors
    assert document["stages"]["align"]["text_tokens_per_second"] > 0


@pytest.mark.slow
def test_only_the_adapted_part_of_the_large_tower_is_trained(document: dict) -> None:
    assert document["stages"]["behavior"]["trained"] == document["stages"]["behavior"]["parameters"]
    assert document["stages"]["align"]["trained"] < document["stages"]["align"]["parameters"]
