"""What each step costs on Apache Spark with some worker processes, and which share of it is serial.

    .venv/bin/python benchmarks/scale_spark.py [--workers 1 2] [--events N] [--users N] [--json FILE]

Needs the extra `scale`, Java and Spark with its jars (CONTRIBUTING.md). A cluster of processes on loopback is started for each
number of workers, which have one core each. Processor seconds of the second run of a step: *serial* are those of the server (plans,
the schedule of tasks) and of this process (the log, the comparison of rows), *parallel* those of the executors and their Pythons.
The serial share is what more workers do not make shorter. Where the rows differ from DuckDB's, the script fails.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import features as bench  # the benchmarks beside this one
import psutil
import scale

from found_platform import daily
from found_platform.features import write
from found_platform.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import spark_cluster


def processors(processes: list[psutil.Process]) -> float:
    """Processor seconds so far of these processes and of all that they have started."""
    return sum(sum(p.cpu_times()[:4]) for p in processes)


def step(run: Callable[[], Any], cluster: spark_cluster.Cluster) -> dict[str, float]:
    run()  # loads and compiles
    server = [psutil.Process(), psutil.Process(cluster.processes[-1].pid)]
    workers = [p for e in cluster.executors() for p in (e, *e.children(recursive=True))]
    before, began = (processors(server), processors(workers)), time.perf_counter()
    run()
    serial, parallel = processors(server) - before[0], processors(workers) - before[1]
    return {"serial": serial, "parallel": parallel, "clock": time.perf_counter() - began}


def measured(settings: Settings, workers: int, expected: dict[str, Any]) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder, spark_cluster.running(Path(folder), workers) as cluster:
        on_cluster, steps = settings.model_copy(update={"engine": cluster.address}), {}
        until = scale.LAST + scale.DAY
        for table in write.TABLES:
            steps[table] = step(lambda table=table: write.feature(on_cluster, table, scale.LAST, until), cluster)
            if daily.day_hashes(settings.lake, table, scale.LAST, until) != expected[table]:
                raise SystemExit(f"the engines differ in {table}")
            print(workers, table, {k: round(v, 1) for k, v in steps[table].items()}, file=sys.stderr, flush=True)
        steps["join"] = step(lambda: scale.join(on_cluster), cluster)
        if scale.join(on_cluster) != expected["join"]:
            raise SystemExit("the engines differ in the join")
        return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--users", type=int, default=40_000)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench.make_events(Path(folder), options.events, options.users, scale.DAYS)
        settings = Settings.load(Path(folder), lookback_days=bench.LOOKBACK)
        for table in write.TABLES:
            write.feature(settings, table, scale.LAST - (scale.JOINED_DAYS - 1) * scale.DAY, scale.LAST + scale.DAY)
        local, expected = scale.steps(settings)
        by_workers = {workers: measured(settings, workers, expected) for workers in options.workers}
    print(f"{options.events:,} events, {options.users:,} users, {scale.DAYS} days; processor seconds")
    print(f"{'step':18} {'workers':>7} {'duckdb':>7} {'serial':>7} {'parallel':>8} {'share':>6} {'most':>5} {'clock':>6}")
    for name in scale.UNITS:
        for workers, steps in by_workers.items():
            cost = steps[name]
            share = cost["serial"] / (cost["serial"] + cost["parallel"])
            print(
                f"{name:18} {workers:7} {local[name]:7.2f} {cost['serial']:7.2f} {cost['parallel']:8.2f} {share:6.0%} "
                f"{1 / share:5.1f} {cost['clock']:6.1f}"
            )
    if options.json:
        options.json.write_text(
            json.dumps({"events": options.events, "users": options.users, "duckdb": local, "spark": by_workers}, indent=1)
        )


if __name__ == "__main__":
    main()
