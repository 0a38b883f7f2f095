"""CPC and CoLES of pytorch-lifestream beside our own small ones, on the same events and labels.

    .venv/bin/python benchmarks/peers.py HOME [--seeds 3] [--python .venv-lifestream/bin/python]

HOME is one where `found demo` or `found benchmark run` ran. The other library is installed on first use into `.venv-lifestream`, an
environment of its own. Both sides read the newest events of everybody before the cutoff, train for as many steps of as many users,
and are probed alike: alone and beside the activity aggregates, five splits of each scenario. Prints a table of mean AUC, ± the
spread over training seeds, and says whether ours is within the spread of theirs; writes `--out`.
"""

import argparse
import json
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from homes import Clock, limited
from tqdm import tqdm
from training import install

from found_platform import registry, threads
from found_platform.contract import parse_day
from found_platform.evaluation import judging, rivals, scenarios
from found_platform.evaluation.classifiers import logistic
from found_platform.evaluation.population import Population
from found_platform.settings import Settings
from models.baselines.coles import Coles
from models.baselines.cpc import Cpc
from models.baselines.training import Budget, fit, seeded

OURS = {"cpc": Cpc, "coles": Coles}
SPLITS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--labels", type=int, default=4_000, help="users whose labels are used, at most")
    parser.add_argument("--python", type=Path, help="the Python of an environment that has pytorch-lifestream")
    parser.add_argument("--out", type=Path, default=Path("build/peers.json"))
    options = parser.parse_args()
    clock = Clock()
    python = options.python or install()
    settings = Settings.load(options.home)
    version = registry.version_of(settings, registry.CANDIDATE)
    assert version is not None, f"{options.home}: run `found demo` in it first"
    cutoff = parse_day(registry.load(settings, version).tags["cutoff"], "the cutoff")
    tasks, why = scenarios.load(settings, cutoff)
    assert tasks, f"{options.home}: {why}"
    population = Population.stored(settings, version, cutoff)
    judged = [judging.Task.of(population, scenario) for scenario in limited(tasks, options.labels)]
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch, tqdm(total=2 * len(OURS) * options.seeds, unit="model", disable=None) as bar:
        budget = write_events(population, Path(scratch))
        for name in OURS:
            for seed in range(options.seeds):
                for side, vectors in (
                    ("ours", ours(population, name, replace(budget, seed=seed))),
                    ("pytorch-lifestream", theirs(python, Path(scratch), name, seed)),
                ):
                    alone = population.standard(vectors)
                    beside = population.standard(vectors, population.standard_activity)
                    for row, features in ((name, alone), (f"{name}_activity", beside)):
                        figures.setdefault(f"{row}, {side}", []).append(probed(features, judged))
                    bar.update()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"home": str(options.home), "scenarios": len(judged), "auc": figures}, indent=1))
    print(as_markdown(figures))
    print(f"{len(judged)} scenarios, {options.seeds} training seeds a side, {clock.minutes} minutes; {options.out} is written.")


def write_events(population: Population, folder: Path) -> Budget:
    """Writes the events that our rivals read, and how long both sides train. Returns our budget."""
    sequences = rivals.sequences_of(population)
    mask = sequences.mask.cpu().numpy()
    columns = {name: getattr(sequences, name).cpu().numpy()[mask] for name in ("text", "age", "channel", "amount", "kind")}
    np.savez(folder / "events.npz", **columns, counts=mask.sum(1))
    budget = Budget(**population.settings.sizes.rivals)
    steps = budget.steps(int((mask.sum(1) >= rivals.FEWEST).sum()))
    about = {"steps": steps, "batch": budget.batch, "learning_rate": budget.learning_rate, "fewest": rivals.FEWEST}
    (folder / "budget.json").write_text(json.dumps(about))
    return budget


def ours(population: Population, name: str, budget: Budget) -> np.ndarray:
    """(U, D) vectors by our own model."""
    import torch

    sequences = rivals.sequences_of(population)
    learners = torch.nonzero(sequences.mask.sum(1) >= rivals.FEWEST)[:, 0].cpu()
    return fit(seeded(lambda: OURS[name](sequences), budget), learners, len(population.keys), budget, lambda _: None)


def theirs(python: Path, folder: Path, name: str, seed: int) -> np.ndarray:
    """(U, D) vectors by the other library's."""
    script = Path(__file__).with_name("peers_lifestream.py")
    subprocess.run([python, script, folder, name, str(seed)], check=True)
    return np.load(folder / f"{name}-{seed}.npy")


def probed(features: np.ndarray, tasks: list[judging.Task]) -> float:
    """The mean AUC of the benchmark's linear probe over scenarios and splits."""
    with threads.one_each():
        draws = judging.judge_probe(logistic, features, tasks, SPLITS)
    aucs = [draw.metrics(task.scenario)["auc"] for task, of in zip(tasks, draws, strict=True) for draw in of]
    return float(np.mean(aucs))


def as_markdown(figures: dict[str, list[float]]) -> str:
    """A model a row: both sides, and whether ours lies within the spread of theirs."""
    lines = ["| probe, mean AUC | ours | pytorch-lifestream | ours within theirs, ± two spreads |", "| --- | --- | --- | --- |"]
    for name in dict.fromkeys(key.split(", ")[0] for key in figures):
        mine, other = (np.array(figures[f"{name}, {side}"]) for side in ("ours", "pytorch-lifestream"))
        within = abs(mine.mean() - other.mean()) <= 2 * max(other.std(), mine.std())
        verdict = "yes" if within else "above" if mine.mean() > other.mean() else "below"
        lines.append(f"| {name} | {mine.mean():.3f} ± {mine.std():.3f} | {other.mean():.3f} ± {other.std():.3f} | {verdict} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
