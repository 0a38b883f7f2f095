"""An erasure of thousands of persons while look-ups go on: seconds by step, and what happened to the look-ups.

    python benchmarks/erasure.py --home HOME [--users 12000] [--days 45] [--persons 10000]

Makes the home where there is none (profile tiny: the time of an erasure depends on users, days and files, not on the model). Then
`found erase` runs as a process of its own, and this one looks up without a pause. A step is done when the progress file says so.
An error of a look-up, and an answer that names somebody who is to be gone more than a second after the tombstones, count as faults.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from found_platform.app import graph, lookups
from found_platform.app.context import Actor, Context
from found_platform.app.lookups import Question, Size
from found_platform.app.progress import AssetDone, Event
from found_platform.housekeeping.garbage import size_of
from found_platform.privacy import tombstones, vault
from found_platform.settings import Settings

QUESTION = Question("people who will soon buy gold", mode="aligned")
AT_ONCE = 1.0
"""Seconds within which nobody is answered about erased users."""


class LookUps:
    """Look-ups without a pause in a thread."""

    def __init__(self, context: Context, gone: frozenset[str]):
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self.named = 0  # answers with somebody who is to be gone, though the tombstones are there
        self._context, self._gone, self._stop = context, gone, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "LookUps":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        stones = tombstones.path(self._context.settings)
        while not self._stop.is_set():
            begun = time.time()
            try:
                answer = lookups.find(self._context, lookups.Find(QUESTION, Size(top=100)))
            except Exception as error:  # whatever it is counts
                self.errors.append(f"{type(error).__name__}: {error}")
                continue
            self.seconds.append(time.time() - begun)
            if stones.exists() and begun > stones.stat().st_ctime + AT_ONCE:
                self.named += bool({user.user_id for user in answer.audience.users} & self._gone)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--users", type=int, default=12_000)
    parser.add_argument("--days", type=int, default=45)
    parser.add_argument("--persons", type=int, default=10_000)
    options = parser.parse_args()
    context = Context(options.home, Actor("benchmark", "benchmark"))
    if not (options.home / "index" / "current.json").exists():
        begun = time.perf_counter()
        make(options.home, graph.Simulation(users=options.users, days=options.days))
        print(f"the home took {time.perf_counter() - begun:,.0f} s")
    settings = Settings.load(options.home)
    by_key = vault.user_ids(settings, vault.user_keys(settings))
    ids = sorted(by_key.values())[: options.persons]
    chosen = frozenset(ids)
    names = chosen | {key for key, user in by_key.items() if user in chosen}
    files, size = sum(1 for path in options.home.rglob("*") if path.is_file()), size_of(options.home)
    print(f"{vault.size(settings):,} users, {files:,} files, {size / 1e6:,.0f} MB; {len(ids):,} are erased")
    named = options.home.with_name(f"{options.home.name}-gone.csv")
    named.write_text("user_id\n" + "".join(f"{user}\n" for user in ids))
    lookups.find(context, lookups.Find(QUESTION, Size(top=100)))  # what is loaded once
    command = [sys.executable, "-m", "found_platform.cli", "erase", "--ids", named, "--home", options.home, "--format", "json"]
    begun = time.perf_counter()
    with LookUps(context, names) as look_ups:
        erasure = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
        steps = follow(settings, erasure, begun)
        out, _ = erasure.communicate()
    seconds = time.perf_counter() - begun
    last = 0.0
    for name, at in steps.items():
        print(f"  {name:<20} {at - last:7.1f} s")
        last = at
    print(f"  {'search':<20} {seconds - last:7.1f} s")
    status = erasure.returncode
    searched = json.loads(out)["searched"] if status == 0 else {}
    print(f"{len(ids):,} persons in {seconds:,.1f} s, status {status}; {searched.get('bytes', 0) / 1e6:,.0f} MB searched")
    p50, p99, most = np.percentile(look_ups.seconds, [50, 99, 100])
    print(
        f"{len(look_ups.seconds):,} look-ups meanwhile: {len(look_ups.errors)} errors, {look_ups.named} named somebody; "
        f"p50 {p50 * 1000:,.0f} ms, p99 {p99 * 1000:,.0f} ms, longest {most:.1f} s"
    )
    for error in look_ups.errors[:3]:
        print(f"  {error}")
    if status or look_ups.errors or look_ups.named:
        raise SystemExit(1)


class _Published(Exception):
    """Look-ups are answered: what comes after it in the graph is not needed here."""


def make(home: Path, simulation: graph.Simulation) -> None:
    """A home as far as its index."""

    def tell(event: Event) -> None:
        if isinstance(event, AssetDone) and event.asset == "user_index":
            raise _Published

    with contextlib.suppress(_Published):
        graph.run(Context(home, Actor("benchmark", "benchmark"), tell), graph.Run(simulation=simulation, profile="tiny"))


def follow(settings: Settings, process: "subprocess.Popen[str]", begun: float) -> dict[str, float]:
    """When each step was done, in seconds after the beginning."""
    steps: dict[str, float] = {}
    while process.poll() is None:
        for path in tombstones.path(settings).parent.glob("*.progress.json"):
            try:
                steps_done = json.loads(path.read_text())["steps"]
            except (FileNotFoundError, ValueError):
                continue
            for name in steps_done:
                steps.setdefault(name, time.perf_counter() - begun)
        time.sleep(0.1)
    return steps


if __name__ == "__main__":
    main()
