"""Runs of the benchmark in MLflow: the mean figures of a model version at a cutoff, and the pictures of its report."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from found_platform.registry import artifacts, tracking
from found_platform.settings import Settings

EXPERIMENT = "benchmark"


def log_benchmark(
    settings: Settings, cutoff: str, version: str, figures: Mapping[str, float], pictures: Mapping[str, bytes], page: Path
) -> None:
    """Logs figures by name, PNG pictures by name, and the page that has them all."""
    with tempfile.TemporaryDirectory() as scratch, tracking.run(settings, EXPERIMENT, f"benchmark {cutoff}") as (mlflow, run):
        values = {re.sub(r"[^\w\-. /]", "p", name): [(0, value)] for name, value in figures.items()}  # what MLflow takes as a name
        tracking.log_figures(mlflow, run, {"cutoff": cutoff, "model_version": version}, values)
        folder = Path(scratch) / "report"
        folder.mkdir()
        for name, png in pictures.items():
            (folder / f"{name.lower().replace(' ', '-')}.png").write_bytes(png)
        (folder / page.name).write_bytes(page.read_bytes())
        artifacts.keep(settings, folder, str(run.info.artifact_uri))
