"""How long the benchmark of methods takes: a quick one of the demo's home, and eight scenarios of 4,400 labelled users.

    .venv/bin/python benchmarks/labelled.py [--small] [--demo HOME] [--labelled HOME]      (a part of make bench)

Simulates both homes (profile `tiny`: what takes the time is the same), or takes homes that are there. Prints seconds by the clock,
which are what the goals are about on two quiet cores, and the processor's, children included; writes build/bench-labelled.json.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

DEMO, LABELLED, SCENARIOS = 2_000, 4_400, 8
SMALL, SMALL_SCENARIOS = 300, 2


class Took(NamedTuple):
    """Seconds by the clock, and of the processor, of a command with its children."""

    clock: float
    processor: float


def found(*arguments: str) -> Took:
    """Runs the command. Raises where it does not end well."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "found_platform.cli", *arguments], stdout=subprocess.DEVNULL, check=True)
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def simulated(home: Path, users: int, small: bool) -> Path:
    """The home, made where it is not there."""
    if not (home / "lake").exists():
        print(f"making {home}: {users:,} users ...", file=sys.stderr)
        found("demo", "--profile", "tiny", "--users", str(users), *(["--days", "60"] if small else []), "--home", str(home))
    return home


def names(home: Path, count: int) -> str:
    """The first scenarios of the home that are labelled, by name."""
    import datetime as dt

    from found_platform import index
    from found_platform.evaluation import scenarios
    from found_platform.settings import Settings

    settings = Settings.load(home)
    labelled, why = scenarios.load(settings, dt.date.fromisoformat(index.live(settings).as_of))
    if len(labelled) < count:
        raise SystemExit(f"{home} has {len(labelled)} labelled scenarios, {count} are to be timed. {why}")
    return ",".join(scenario.name for scenario in labelled[:count])


def untrained() -> str:
    """Every method of the full table but the trained rivals."""
    from found_platform.evaluation import methods
    from found_platform.evaluation.extent import FEW_SHOT, ORACLE

    named = [method.name for method in methods.registry() if not getattr(method, "slow", False)]
    heads = {method.name for method in methods.few_shot()}
    return ",".join([*dict.fromkeys(name for name in named if name not in heads), ORACLE, FEW_SHOT])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small homes, to see that it works")
    parser.add_argument("--demo", type=Path, metavar="HOME", help="a home of the demo, in place of a new one")
    parser.add_argument("--labelled", type=Path, metavar="HOME", help="a home with labels, in place of a new one")
    options = parser.parse_args()
    small, count = options.small, SMALL_SCENARIOS if options.small else SCENARIOS
    with tempfile.TemporaryDirectory() as folder:
        demo = simulated(options.demo or Path(folder) / "demo", SMALL if small else DEMO, small)
        labelled = simulated(options.labelled or Path(folder) / "labelled", SMALL if small else LABELLED, small)
        some = ("--only-scenarios", names(labelled, count))
        cases = {
            "quick, every scenario of the demo": (found("benchmark", "run", "--quick", "--home", str(demo)), "<= 60"),
            f"quick, {count} scenarios": (found("benchmark", "run", "--quick", *some, "--home", str(labelled)), "<= 120"),
            f"all that is not trained, {count} scenarios": (
                found("benchmark", "run", "--methods", untrained(), "--training-seeds", "1", *some, "--home", str(labelled)),
                "none",
            ),
        }
    ratios: dict[str, tuple[float, str]] = {}
    for name, (took, goal) in cases.items():
        print(f"{name:44} {took.clock:7.1f} s, {took.processor:7.1f} CPU s, {took.processor / took.clock:5.2f} cores   goal {goal}")
        ratios[f"{name}, s by the clock"] = (took.clock, goal)
        ratios[f"{name}, cores at work"] = (took.processor / took.clock, "none")
    figures = {
        "cores": os.cpu_count(),
        "cases": {name: took._asdict() for name, (took, _) in cases.items()},
        "ratios": {name: value for name, (value, _) in ratios.items()},
        "goals": {name: goal for name, (_, goal) in ratios.items()},
    }
    Path("build").mkdir(exist_ok=True)
    Path("build/bench-labelled.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
