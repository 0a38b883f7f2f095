"""Time and memory of simulating a population: `.venv/bin/python benchmarks/simulate.py [USERS] [DAYS]`."""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from found_platform.settings import Settings
from found_platform.sources.config import SourceConfig
from found_platform.sources.simulator import generate


def main(users: int, days: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load(Path(folder))
        source = SourceConfig.model_validate({"name": "simulated", "simulator": {"users": users, "days": days}})
        start = time.perf_counter()
        generate(settings, source)
        seconds = time.perf_counter() - start
        size = sum(p.stat().st_size for p in Path(folder).rglob("*.parquet"))
        files = sum(1 for _ in Path(folder).rglob("*.parquet"))
        own, child = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        print(
            f"{users:,} users x {days} days: {seconds:.1f} s on {os.cpu_count()} cores, {size / 2**20:,.0f} MiB in {files:,} files"
        )
        print(f"peak memory: {own:,.0f} MiB in this process, {child:,.0f} MiB in the largest of its workers")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, int(sys.argv[2]) if len(sys.argv) > 2 else 120)
