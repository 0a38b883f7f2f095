"""A process that looks up: how long its first answer takes, what it holds in memory, and whether ten thousand answers change that.

    .venv/bin/python benchmarks/process.py make HOME [--users N] [--events N]    a made-up home, published without any training
    .venv/bin/python benchmarks/process.py bare HOME [--users N] [--events N]    the files of a publication alone: no lake, no index
    .venv/bin/python benchmarks/process.py first HOME [--mode MODE]              the first look-ups of this process
    .venv/bin/python benchmarks/process.py many HOME [--count N]                 look-ups in eight threads

`bare` is for millions of users, whom the pipeline would take hours to make. Where there is no index, `aligned` scores everybody
over the mapped files; there are no past windows, so `replay` becomes late interaction.

`first` times `lookup.find` once the libraries are imported, which is told apart. Memory is that of the process: `anonymous` is its
own, `mapped` are pages of files, which processes share and the system takes back when it needs them; `mapped_share` counts a page
that two processes map half.
"""

import argparse
import gc
import importlib
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "transformers.models.bert.modeling_bert", "sklearn.ensemble", "found_platform.audiences.lookup")
INDEX_LIBRARIES = ("pymilvus", "milvus_lite.server_manager")
THINGS = tuple(f"text {number} of things to buy" for number in (103, 211, 333, 389, 488))
"""Texts of the home that `make` makes: a demand that resembles nothing is refused."""
TOP, THREADS = 100, 8
WIDTH = 128
FILTER = "events_28d >= 3"


def memory() -> dict[str, float]:
    """Megabytes of this process: its own, pages of files, and of those its share, where a page of two processes counts half."""
    files = [Path("/proc/self", name).read_text() for name in ("status", "smaps_rollup")]
    lines = dict(line.split(":", 1) for text in files for line in text.splitlines() if ":" in line)
    kilobytes = {"anonymous_mb": lines["RssAnon"], "mapped_mb": lines["RssFile"], "mapped_share_mb": lines["Pss_File"]}
    return {name: round(int(value.split()[0]) / 1024, 1) for name, value in kilobytes.items()}


def make(home: Path, users: int, events: int, days: int) -> dict[str, Any]:
    """A home whose publication is of made-up users."""
    import lookup as bench  # the benchmark beside this one

    from found_platform import index, registry
    from found_platform.index import snapshot

    seconds = {}
    began = time.perf_counter()
    settings = bench.make_home(home, users, events=events, days=days)
    (home / "settings.yaml").write_text("profile: tiny\nencoder: random-bert\n")
    version = bench.add_version(settings, WIDTH, 1)
    registry.promote(settings, version)
    seconds["make_s"] = time.perf_counter() - began
    began = time.perf_counter()
    published = index.publish(settings, version, bench.AS_OF)
    seconds["publish_s"] = time.perf_counter() - began
    files = snapshot.folder(settings, published.name)
    return {"users": users, **seconds, "snapshot_mb": round(sum(f.stat().st_size for f in files.rglob("*")) / 2**20)}


def bare(home: Path, users: int, events: int) -> dict[str, Any]:
    """A home that holds nothing but a publication of made-up users, its vault and the pointer."""
    import lookup as bench  # the benchmark beside this one
    import made_up_states

    from found_platform.index import pointer, snapshot
    from found_platform.index.pointer import Publication
    from found_platform.settings import Settings

    began = time.perf_counter()
    home.mkdir(parents=True)
    (home / "settings.yaml").write_text("profile: tiny\nencoder: random-bert\n")
    settings = Settings.load(home)
    with made_up_states.written(settings, users, events, WIDTH, bench.AS_OF) as (states, vectors, counts):
        name = "v1-made-up.db"
        files = snapshot.write(settings, name, states, vectors, counts)
        pointer.move(settings, pointer.PUBLISHED, Publication(name, "1", str(bench.AS_OF), users, 1.0, pointer.now()), None)
    size = sum(f.stat().st_size for f in files.rglob("*")) / 2**20
    return {"users": users, "make_s": time.perf_counter() - began, "snapshot_mb": round(size), "after": memory()}


def ask(home: Path, mode: str, place: int, where: str | None = None) -> Any:
    from found_platform.audiences import lookup
    from found_platform.settings import Settings

    question = lookup.Question(f"people who will buy {THINGS[place % len(THINGS)]}", mode=mode, where=where)
    return lookup.find(Settings.load(home), question, lookup.Size(top=TOP))


def first(home: Path, mode: str, where: str | None) -> dict[str, Any]:
    """The first three look-ups of this process."""
    began = time.perf_counter()
    for name in (*LIBRARIES, *(INDEX_LIBRARIES if mode == "aligned" else ())):
        importlib.import_module(name)
    figures: dict[str, Any] = {"mode": mode, "import_s": round(time.perf_counter() - began, 2), "before": memory()}
    for place in range(3):
        began, used = time.perf_counter(), time.process_time()
        answer = ask(home, mode, place, where)
        figures[f"answer_{place + 1}_s"] = round(time.perf_counter() - began, 2)
        figures[f"answer_{place + 1}_cpu_s"] = round(time.process_time() - used, 2)
    return {**figures, "reason": answer.reason, "users": answer.count, "after": memory()}


def many(home: Path, count: int) -> dict[str, Any]:
    """Look-ups in eight threads: memory and threads after a tenth of them, and after all."""
    modes = ("aligned", "aligned", "aligned", "aligned", "aligned", "aligned", "aligned", "late", "auto", "aligned")

    def one(place: int) -> None:
        ask(home, modes[place % len(modes)], place, FILTER if place % 3 == 0 else None)

    def state() -> dict[str, Any]:
        gc.collect()
        return {**memory(), "threads": threading.active_count(), "system_threads": len(os.listdir("/proc/self/task"))}

    one(0)
    began, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, range(count // 10)))
    before = state()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, range(count // 10, count)))
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - used
    each = {"each_ms": round(1000 * seconds / count, 1), "each_cpu_ms": round(1000 * cpu_seconds / count, 1)}
    return {"count": count, **each, "load": os.getloadavg()[0], "after_a_tenth": before, "after_all": state()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "bare", "first", "many"])
    parser.add_argument("home", type=Path)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=90, help="of each user")
    parser.add_argument("--days", type=int, default=98)
    parser.add_argument("--mode", default="replay")
    parser.add_argument("--where")
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    if options.what == "make":
        figures = make(options.home, options.users, options.events, options.days)
    elif options.what == "bare":
        figures = bare(options.home, options.users, options.events)
    elif options.what == "first":
        figures = first(options.home, options.mode, options.where)
    else:
        figures = many(options.home, options.count)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
