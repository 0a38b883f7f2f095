"""What each step costs on DuckDB and on Sail, and what that comes to for many users.

    .venv/bin/python benchmarks/scale.py [--events N] [--users N] [--json FILE]      needs the extra `scale`

Processor seconds of this process, in which Sail runs too: cores that are shared make clocks tell of neighbours. Each step runs at a
quarter of the size and at the whole, in one run of this script; the slope between the two is what a further event or user costs.
Where two engines differ in a row hash, the script fails.
"""

import argparse
import contextlib
import datetime as dt
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import features as bench  # the benchmark beside this one
import pyarrow as pa
import yaml

from found_platform import contract, daily, engine, feature_store, lake
from found_platform.contract import midnight
from found_platform.features import write
from found_platform.settings import Settings
from found_platform.sources import config, folders, staging

DAYS = 120
DAY = dt.timedelta(days=1)
LAST = bench.START + (DAYS - 1) * DAY
JOINED_DAYS = 7
"""Days of snapshots that the join looks through."""

UNITS = {
    "scan": "event",
    "raw_events": "event",
    "behavior_text": "event",
    "behavior_sequence": "event",
    "search_text": "event",
    "user_tabular": "user",
    "join": "user",
}
"""Of what a step's cost is proportional to: events of the lookback, all of which a scan reads, or users."""

POPULATIONS = (1_000_000, 10_000_000, 100_000_000, 500_000_000)
EVENTS_A_USER, EFFICIENCY = 50, 0.4
"""Assumed: events of a user in the lookback, and which part of a cluster's processor time is work like that of one machine."""

RUNS = 2


def spent(step: Callable[[], Any], times: int = RUNS) -> float:
    """Processor seconds of a step: the least of some runs, the first of which also loads and compiles."""
    seconds = []
    for _ in range(times):
        before = time.process_time()
        step()
        seconds.append(time.process_time() - before)
    return min(seconds)


def steps(settings: Settings) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds of each step on the engine that is set, and what it gave."""
    seconds, content = {}, {}
    homes = [settings.home / f"{settings.engine.partition(':')[0]}-{run}" for run in range(RUNS)]
    remaining = iter(homes)
    seconds["scan"] = spent(lambda: content.__setitem__("scan", scanned(settings, next(remaining))))
    again = settings.model_copy(update={"home": homes[-1]})
    seconds["raw_events"] = spent(lambda: write.raw_events(again, bench.START, LAST + DAY))
    content["raw_events"] = daily.day_hashes(again.lake, "raw_events", bench.START, LAST + DAY)
    for table in write.TABLES:
        seconds[table] = spent(lambda table=table: write.feature(settings, table, LAST, LAST + DAY))
        content[table] = daily.day_hashes(settings.lake, table, LAST, LAST + DAY)
    seconds["join"] = spent(lambda: content.__setitem__("join", join(settings)))
    return seconds, content


def make_source(home: Path) -> None:
    """The raw events of a lake as Parquet files, some for each channel, with names that are no keys."""
    entries = {}
    with contextlib.closing(lake.connect("2GB", temp=home / "tmp")) as con:
        lake.view(con, "events", home / "lake", "raw_events")
        for channel in contract.CHANNELS:
            (home / "source").mkdir(exist_ok=True)
            rows = f"SELECT * FROM events WHERE channel = '{channel}' ORDER BY event_time"
            con.execute(f"COPY ({rows}) TO '{home}/source/{channel}' (FORMAT parquet, FILE_SIZE_BYTES '4MB')")
            columns = {"user_id": "user_key", **{c: c for c in ("event_time", "text", "category", "amount")}}
            entries[channel] = [{"path": f"source/{channel}/*.parquet", "columns": columns}]
    (home / "source.yaml").write_text(yaml.safe_dump({"name": "made up", "channels": entries}))


def scanned(settings: Settings, home: Path) -> Any:
    """What a new home stages of the source."""
    new = settings.model_copy(update={"home": home})
    home.mkdir()
    (home / "secret").write_text("00" * 32)  # of every home the same keys
    prepared = staging.prepare(new, staging.discover(new, config.load(settings.home / "source.yaml")))
    staging.open_home(new, prepared.source)
    report = staging.stage(new)
    return report.channels, folders.manifest(new)["days"]


def join(settings: Settings) -> list[dict[str, Any]]:
    """What everybody's histories hold at the end of the last day."""
    seen = engine.table_of("user_days", contract.USER_DAYS).select("user_key").distinct()
    moments = engine.table_of("moments", pa.schema([("moment", contract.TIMESTAMP)]))
    rows = feature_store.history_expression(settings, seen.cross_join(moments))
    values: dict[str, Any] = {
        "events": rows.text_ids.length(),
        "searches": rows.search_text_ids.length(),
        "active": rows.events_28d,
    }
    sums = {name: value.sum() for name, value in values.items()}
    with contextlib.closing(engine.of(settings)) as opened:
        for table in ("user_days", *feature_store.VIEWS):
            opened.table(table)
        opened.rows("moments", pa.table({"moment": pa.array([midnight(LAST + DAY)], contract.TIMESTAMP)}))
        return opened.read(rows.agg(users=rows.count(), **sums)).read_all().to_pylist()


def measured(home: Path, events: int, users: int, address: str) -> dict[str, dict[str, float]]:
    """Seconds by engine and step, at a size."""
    bench.make_events(home, events, users, DAYS)
    make_source(home)
    base = Settings.load(home, lookback_days=bench.LOOKBACK)
    for table in write.TABLES:
        write.feature(base, table, LAST - (JOINED_DAYS - 1) * DAY, LAST + DAY)
    seconds, contents = {}, {}
    for name, where in (("duckdb", "duckdb"), ("sail", address)):
        seconds[name], contents[name] = steps(base.model_copy(update={"engine": where}))
    if contents["duckdb"] != contents["sail"]:
        raise SystemExit(f"the engines differ: {contents}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--users", type=int, default=40_000)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    address = f"sc://127.0.0.1:{server.listening_address[1]}"
    sizes = [(options.events // 4, options.users // 4), (options.events, options.users)]
    with tempfile.TemporaryDirectory() as folder:
        small, large = (measured(Path(folder) / str(events), events, users, address) for events, users in sizes)
    server.stop()
    print(f"{sizes[1][0]:,} events, {sizes[1][1]:,} users, {DAYS} days; microseconds a further event or user")
    heads = "".join(f"{users // 10**6:>7} M" for users in POPULATIONS)
    print(f"{'step':18} {'duckdb s':>9} {'sail s':>8} {'ratio':>6} {'slope':>14}   core hours on Sail:{heads}")
    rows = []
    for step, unit in UNITS.items():
        local, remote = large["duckdb"][step], large["sail"][step]
        more = (sizes[1][0] - sizes[0][0]) if unit == "event" else (sizes[1][1] - sizes[0][1])
        slopes = {name: max(0.0, large[name][step] - small[name][step]) / more * 1e6 for name in large}
        each = slopes["sail"] * (EVENTS_A_USER if unit == "event" else 1)
        hours = [users * each / 1e6 / 3600 / EFFICIENCY for users in POPULATIONS]
        rows.append({"step": step, "unit": unit, "duckdb_s": local, "sail_s": remote, "slope_us": slopes, "core_hours": hours})
        cells = "".join(f"{h:9.2f}" for h in hours)
        slope = f"{slopes['duckdb']:.2f} / {slopes['sail']:.2f} {unit}"
        print(f"{step:18} {local:9.2f} {remote:8.2f} {remote / local:6.2f} {slope:>20} {cells}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"sizes": sizes, "small": small, "large": large, "steps": rows}, indent=1))


if __name__ == "__main__":
    main()
