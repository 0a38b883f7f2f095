"""The feature platform against its anchors: Feast's bundled DuckDB store, pandas, polars, and a bare DuckDB query.

    .venv/bin/python benchmarks/features.py [--small]      (make bench-features)

Every case runs in a process of its own, so that its peak memory is its own. Both sides of a comparison read the same data in one
run of this script; each side runs twice and the faster counts. Prints a table with ratios and writes build/bench-features.json.
"""

import argparse
import contextlib
import datetime as dt
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad
import pyarrow.parquet as pq

from found_platform import contract, daily, lake
from found_platform.contract import midnight
from found_platform.settings import Settings

START = dt.date(2026, 1, 1)
DAY = dt.timedelta(days=1)
SIZES = {  # users, snapshots, list length, spine rows; events, users, days, twice
    False: {"join": (20_000, 60, 200, 60_000), "events": (10_000_000, 200_000, 120), "long": (10_000_000, 100_000, 280)},
    True: {"join": (1_000, 30, 50, 3_000), "events": (200_000, 4_000, 120), "long": (200_000, 4_000, 280)},
}
LOOKBACK = 180
"""Days of the lookback, the default of the platform."""
MOMENTS = 3

SNAPSHOTS = pa.schema(
    [
        ("event_date", pa.date32()),
        ("user_key", pa.string()),
        ("event_timestamp", contract.TIMESTAMP),
        ("created_timestamp", contract.TIMESTAMP),
        ("number", pa.int64()),
        ("items", pa.list_(pa.int64())),
    ]
)


def make_snapshots(folder: Path, users: int, days: int, length: int) -> None:
    """A daily feature table with a list column: as Delta, and as a folder of Parquet files."""
    rng = np.random.default_rng(0)
    (folder / "parquet").mkdir(parents=True)
    keys = pa.array([f"{i:032x}" for i in range(users)])
    for i in range(days):
        day = START + i * DAY
        moment = pa.array([midnight(day + DAY)] * users, contract.TIMESTAMP)
        offsets = pa.array(np.arange(0, users * length + 1, length, dtype=np.int32))
        items = pa.ListArray.from_arrays(offsets, pa.array(rng.integers(0, 1 << 40, users * length)))
        number = pa.array(rng.integers(0, 100, users))
        table = pa.table([pa.array([day] * users, pa.date32()), keys, moment, moment, number, items], schema=SNAPSHOTS)
        daily.replace_days(folder / "lake", "snapshots", table, day, day + DAY, schema=SNAPSHOTS)
        pq.write_table(table.drop(["event_date"]), folder / "parquet" / f"{day}.parquet")


def make_events(folder: Path, events: int, users: int, days: int) -> None:
    """Raw events, evenly over the days, users, channels and 5,000 texts."""
    from found_platform.engine.duck import DuckDB
    from found_platform.features import write

    folder.mkdir(exist_ok=True)
    con = lake.connect("4GB", temp=folder / "tmp")
    for i in range(days):
        day = START + i * DAY
        data = con.execute(
            "SELECT $day AS event_date, $channels[1 + CAST(hash(i * 7 + $d) % 4 AS INT)] AS channel, "
            "printf('%032x', CAST(hash(i * 13 + $d * 1000003) % $users AS BIGINT)) AS user_key, 1::TINYINT AS fold, "
            "$start + to_microseconds(CAST(hash(i * 31 + $d) % 86400000000 AS BIGINT)) AS event_time, "
            "CAST(hash(i * 17 + $d) % 5000 AS BIGINT) AS text_id, 'text ' || (hash(i * 17 + $d) % 5000) AS text, "
            "'c' || (hash(i * 17 + $d) % 40) AS category, "
            "CASE WHEN hash(i * 7 + $d) % 4 = 0 THEN round((hash(i * 19 + $d) % 10000) / 100.0, 2) END AS amount, "
            "NULL::VARCHAR AS status, NULL::VARCHAR AS payment_method, NULL::VARCHAR AS event_id, event_time AS arrived_at, "
            "false AS exposure FROM range($n) r(i) ORDER BY channel, user_key, event_time",
            {"day": day, "d": i, "channels": list(contract.CHANNELS), "users": users, "start": midnight(day), "n": events // days},
        ).to_arrow_table()
        data = data.cast(contract.EVENTS)
        daily.replace_days(folder / "lake", "raw_events", data, day, day + DAY, schema=contract.EVENTS)
        with contextlib.closing(DuckDB(Settings(home=folder))) as opened:
            write.user_days(opened, folder / "lake", day, day + DAY)
    keys = pa.schema([("user_key", pa.string()), ("fold", pa.int8()), ("as_of", contract.TIMESTAMP)])
    lake.replace(folder / "lake", "raw_profile", keys.empty_table(), schema=keys)


def join(folder: Path, store: str, rows: int, days: int, users: int, moments: int | None) -> int:
    """A point-in-time retrieval of the list column: of everybody at the last `moments` weeks' beginnings, as a training set asks,
    or, with None, of random users at random moments. Returns the rows retrieved.
    """
    import pandas as pd
    from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_format import DeltaFormat, ParquetFormat
    from feast.infra.offline_stores.duckdb import DuckDBOfflineStore
    from feast.infra.registry.registry import Registry
    from feast.types import Array, Int64, String

    from found_platform.feature_store.delta_store import DeltaOfflineStore

    ours = store == "ours"
    kind: Any = DeltaOfflineStore if ours else DuckDBOfflineStore
    offline: dict[str, Any] = {"type": "duckdb"}
    if ours:
        offline = {
            "type": f"{kind.__module__}.DeltaOfflineStore",
            "lake": str(folder / "lake"),
            "memory": "2GB",
            "temp": str(folder / "tmp"),
        }
    config = RepoConfig(
        project="p",
        provider="local",
        registry=str(folder / f"{store}.db"),
        online_store=None,
        offline_store=offline,
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    view = FeatureView(
        name="snapshots",
        entities=[Entity(name="user", join_keys=["user_key"], value_type=ValueType.STRING)],
        ttl=dt.timedelta(days=days),
        schema=[Field(name="user_key", dtype=String), Field(name="number", dtype=Int64), Field(name="items", dtype=Array(Int64))],
        source=FileSource(
            name="s",
            path="snapshots" if ours else str(folder / "parquet" / "*.parquet"),
            file_format=DeltaFormat() if ours else ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        ),
    )
    rng = np.random.default_rng(1)
    seconds, who = rng.integers(5 * 86_400, (days + 1) * 86_400, rows), rng.integers(0, users, rows)
    if moments:
        seconds, who = np.repeat((days - 7 * np.arange(moments)) * 86_400, users), np.tile(np.arange(users), moments)
    times = pd.to_datetime(midnight(START).timestamp() + seconds, unit="s", utc=True).astype("datetime64[us, UTC]")
    spine = pd.DataFrame({"user_key": [f"{u:032x}" for u in who], "event_timestamp": times})
    refs = ["snapshots:number", "snapshots:items"]
    registry = Registry("p", config.registry, folder)
    return kind.get_historical_features(config, [view], refs, spine, registry, "p").to_arrow().num_rows


def all_lists(folder: Path) -> int:
    """Decodes the lists of every snapshot that random moments may see, and no more: what such a retrieval cannot be faster than."""
    con = lake.connect("4GB", temp=folder / "tmp")
    lake.view(con, "snapshots", folder / "lake", "snapshots")
    row = con.execute("SELECT count(items[1]) FROM snapshots WHERE event_date >= ?", [START + 4 * DAY]).fetchone()
    return row[0] if row else 0


def snapshot(folder: Path, table: str, day: dt.date) -> int:
    """A day of a feature table as the platform makes and writes it. Returns its rows."""
    from found_platform.features import write

    return write.feature(Settings.load(folder, lookback_days=LOOKBACK), table, day, day + DAY).rows


def snapshot_pandas(folder: Path, day: dt.date) -> int:
    """The day's `behavior_sequence` by sort, tail and group; nothing is written."""
    columns = ["user_key", "event_date", "event_time", "text_id", "channel", "amount", "exposure"]
    where = (pad.field("event_date") <= day) & (pad.field("event_date") > day - LOOKBACK * DAY) & (pad.field("channel") != "search")
    events = lake.read(folder / "lake", "raw_events", where, columns).to_pandas()
    events = events[events["user_key"].isin(events["user_key"][events["event_date"] == day].unique())]
    events["bucket"] = np.floor(np.log2(events["amount"].abs() + 1)).fillna(-1).astype(int)
    last = events.sort_values(["user_key", "event_time", "text_id"]).groupby("user_key").tail(128)
    return len(last.groupby("user_key")[["text_id", "event_time", "channel", "bucket", "exposure"]].agg(list))


def snapshot_bare(folder: Path, day: dt.date) -> int:
    """The day's `behavior_sequence` by one DuckDB query with `arg_max`, equal times in any order; nothing is written."""
    con = lake.connect("4GB", temp=folder / "tmp")
    lake.view(con, "e", folder / "lake", "raw_events")
    lists = ", ".join(
        f"list_reverse(arg_max({c}, event_time, 128))"
        for c in ("text_id", "event_time", "channel", "floor(log2(1 + abs(coalesce(amount, -0.5))))", "exposure")
    )
    query = (
        f"WITH a AS (SELECT DISTINCT user_key FROM e WHERE event_date = $day AND channel <> 'search') SELECT user_key, {lists} "
        "FROM e SEMI JOIN a USING (user_key) WHERE channel <> 'search' AND event_date <= $day AND event_date > $first GROUP BY 1"
    )
    return con.execute(query, {"day": day, "first": day - LOOKBACK * DAY}).to_arrow_table().num_rows


def snapshot_polars(folder: Path, day: dt.date) -> int:
    """The day's `behavior_sequence` by polars: filter, sort, the last ones as lists; nothing is written."""
    import polars as pl

    columns = ["user_key", "event_date", "event_time", "text_id", "channel", "amount", "exposure"]
    events: Any = pl.from_arrow(
        lake.read(folder / "lake", "raw_events", _within(day) & (pad.field("channel") != "search"), columns)
    )
    active = events.filter(pl.col("event_date") == day).select("user_key").unique()
    bucket = (pl.col("amount").abs() + 1).log(2).floor().fill_null(-1).cast(pl.Int8).alias("bucket")
    last = events.lazy().join(active.lazy(), on="user_key", how="semi").with_columns(bucket)
    last = last.sort("user_key", "event_time", "text_id").group_by("user_key")
    return last.agg(pl.col("text_id", "event_time", "channel", "bucket", "exposure").tail(128)).collect().height


def tabular_polars(folder: Path, day: dt.date) -> int:
    """The day's activity features by polars, one aggregate a user; nothing is written, and nobody silent for longer has a row."""
    import polars as pl

    columns = ["user_key", "event_date", "channel", "amount", "category"]
    events: Any = pl.from_arrow(lake.read(folder / "lake", "raw_events", _within(day), columns))
    date, channel, amount = pl.col("event_date"), pl.col("channel"), pl.col("amount")
    features = [pl.len().alias("events"), date.n_unique().alias("active_days"), (day - date.max()).alias("last")]
    features.append(((date.max() - date.min()).dt.total_days() / (date.n_unique() - 1)).alias("gap"))
    for window in contract.WINDOWS:
        recent = date > day - window * DAY
        features += [recent.sum().alias(f"events_{window}"), amount.filter(recent).sum().alias(f"amount_{window}")]
        features.append(date.filter(recent).n_unique().alias(f"active_{window}"))
        features += [(recent & (channel == name)).sum().alias(f"{name}_{window}") for name in contract.CHANNELS]
    features.append(pl.col("category").filter(date > day - 28 * DAY).n_unique().alias("categories"))
    features += [(day - date.filter(channel == name).max()).alias(f"last_{name}") for name in contract.CHANNELS]
    return events.lazy().group_by("user_key").agg(features).collect().height


def _within(day: dt.date) -> pad.Expression:
    return (pad.field("event_date") <= day) & (pad.field("event_date") > day - LOOKBACK * DAY)


def cases(small: bool) -> dict[str, Callable[[Path], int]]:
    """Every case by name; each takes the folder with the data and returns how many rows it made."""
    users, days, _, rows = SIZES[small]["join"]
    last = START + (SIZES[small]["events"][2] - 1) * DAY
    early, late = START + (LOOKBACK + 19) * DAY, START + (LOOKBACK + 99) * DAY
    long = Path("long")
    return {
        "join: ours": lambda f: join(f, "ours", rows, days, users, MOMENTS),
        "join: bundled": lambda f: join(f, "bundled", rows, days, users, MOMENTS),
        "random join: ours": lambda f: join(f, "ours", rows, days, users, None),
        "random join: bundled": lambda f: join(f, "bundled", rows, days, users, None),
        "random join: lists alone": lambda f: all_lists(f),
        "sequence: ours": lambda f: snapshot(f, "behavior_sequence", last),
        "sequence: pandas": lambda f: snapshot_pandas(f, last),
        "sequence: bare query": lambda f: snapshot_bare(f, last),
        "sequence: polars": lambda f: snapshot_polars(f, last),
        "tabular: ours": lambda f: snapshot(f, "user_tabular", last),
        "tabular: polars": lambda f: tabular_polars(f, last),
        "search: ours": lambda f: snapshot(f, "search_text", last),
        "sequence: day L+20": lambda f: snapshot(f / long, "behavior_sequence", early),
        "sequence: day L+100": lambda f: snapshot(f / long, "behavior_sequence", late),
        "tabular: day L+20": lambda f: snapshot(f / long, "user_tabular", early),
        "tabular: day L+100": lambda f: snapshot(f / long, "user_tabular", late),
    }


RATIOS = [  # what, over what, the goal; none for random moments, which no step of the platform asks for
    ("join: bundled", "join: ours", "seconds", ">= 5"),
    ("join: ours", "join: bundled", "peak_mib", "<= 0.5"),
    ("random join: bundled", "random join: ours", "seconds", "none"),
    ("random join: ours", "random join: lists alone", "seconds", "none"),
    ("random join: ours", "random join: bundled", "peak_mib", "<= 0.5"),
    ("sequence: pandas", "sequence: ours", "seconds", ">= 2.5"),
    ("sequence: ours", "sequence: bare query", "seconds", "<= 2"),
    ("sequence: ours", "sequence: polars", "seconds", "<= 2"),
    ("tabular: ours", "tabular: polars", "seconds", "<= 2"),
    ("sequence: day L+100", "sequence: day L+20", "seconds", "<= 1.2"),
    ("tabular: day L+100", "tabular: day L+20", "seconds", "<= 1.2"),
]


def run(folder: Path, name: str, small: bool) -> dict[str, float]:
    """A case twice, each time in a process of its own: the faster time, the larger memory, the rows."""
    command = [sys.executable, __file__, "--case", name, "--folder", str(folder), *(["--small"] if small else [])]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]) for _ in range(2)
    ]
    return {"seconds": min(r["seconds"] for r in runs), "peak_mib": max(r["peak_mib"] for r in runs), "rows": runs[0]["rows"]}


def one(folder: Path, name: str, small: bool) -> None:
    """Runs a case and prints its figures; libraries are loaded before the clock starts."""
    import feast.infra.offline_stores.duckdb  # noqa: F401

    import found_platform.feature_store.delta_store
    import found_platform.features.write  # noqa: F401

    start = time.perf_counter()
    rows = cases(small)[name](folder)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(seconds, 2), "peak_mib": round(peak), "rows": rows}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        one(options.folder, options.case, options.small)
        return
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        users, days, length, _ = SIZES[options.small]["join"]
        print("making data ...", file=sys.stderr)
        make_snapshots(folder, users, days, length)
        make_events(folder, *SIZES[options.small]["events"])
        make_events(folder / "long", *SIZES[options.small]["long"])
        figures = {}
        for name in cases(options.small):
            if name.endswith("polars") and importlib.util.find_spec("polars") is None:
                print(f"{name:24} left out: polars is not installed (the extra `dev` has it)")
                continue
            figures[name] = run(folder, name, options.small)
            row = figures[name]
            print(f"{name:24} {row['seconds']:8.2f} s {row['peak_mib']:8,.0f} MiB {row['rows']:10,} rows", flush=True)
    ratios = {
        f"{a} / {b} ({unit})": (figures[a][unit] / figures[b][unit], goal)
        for a, b, unit, goal in RATIOS
        if {a, b} <= figures.keys()
    }
    print()
    for name, (value, goal) in ratios.items():
        print(f"{name:64} {value:6.2f}   goal {goal}")
    Path("build").mkdir(exist_ok=True)
    document = {
        "cores": os.cpu_count(),
        "sizes": SIZES[options.small],
        "cases": figures,
        "ratios": {k: v for k, (v, _) in ratios.items()},
        "goals": {k: goal for k, (_, goal) in ratios.items()},
    }
    Path("build/bench-features.json").write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
