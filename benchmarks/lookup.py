"""The vector index and exact scoring under load, beside raw pymilvus and a plain numpy matrix product.

    .venv/bin/python benchmarks/lookup.py [--small]      (make bench-lookup)

Simulated users in a temporary home; both sides of a ratio take turns in one run, and the medians count. Prints tables and writes
build/bench-lookup.json.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from found_platform import contract, daily, index, lake, registry
from found_platform.audiences import lookup
from found_platform.embedding import users
from found_platform.index import collection, milvus
from found_platform.privacy import keys
from found_platform.registry import Verdict
from found_platform.scoring import exact
from found_platform.settings import Settings
from found_platform.training_data import text_vectors
from models import saved

AS_OF = dt.date(2026, 3, 1)
DEMANDS = [f"people who will soon buy {thing}" for thing in ("gold", "a tent", "cat food", "running shoes", "a new phone")]
TOP = 100
SIZES = {  # users of the warm look-up; of the recall check and of the concurrency; rows scored exactly; rounds; publications
    False: {"warm": 20_000, "recall": 20_000, "exact": 1_000_000, "rounds": 40, "publications": 4},
    True: {"warm": 2_000, "recall": 2_000, "exact": 20_000, "rounds": 15, "publications": 2},
}
WIDTH = 128


def make_home(
    home: Path, count: int, encoder: str = "random-bert", *, events: int = 10, days: int = 42, texts: int = 500
) -> Settings:
    """A home of `count` users with so many events each in the days before AS_OF, a vault and activity features, and no model."""
    settings = Settings(home=home, profile="tiny", encoder=encoder)
    home.mkdir(parents=True)
    named = keys.key_table(keys.home_secret(settings), [f"user {i}" for i in range(count)]).sort_by("user_key")
    keys.remember(settings, named)
    start = AS_OF - dt.timedelta(days=days)
    span = {"start": str(start), "end": str(AS_OF)}
    simulated = {"name": "made up", "channels": {}, "simulator": {"users": count, "days": days, "seed": 0, "start": str(start)}}
    (home / "source.yaml").write_text(yaml.safe_dump({**simulated, "span": span}))
    rng = np.random.default_rng(0)
    own: dict[str, pa.Array] = {}
    schema = contract.snapshot_schema(contract.ACTIVITY_FEATURES)
    for field in contract.ACTIVITY_FEATURES:
        values = rng.lognormal(3, 1, count)
        own[field.name] = pa.array(values if field.type == pa.float64() else values.astype(int), field.type)
    for moment in (AS_OF, *users.past_cutoffs(settings, AS_OF)):
        day = moment - dt.timedelta(days=1)
        snapshot_times = pa.array([contract.snapshot_time(day)] * count, contract.TIMESTAMP)
        own |= {"event_date": pa.array([day] * count, pa.date32()), "user_key": named["user_key"]}
        own |= {"event_timestamp": snapshot_times, "created_timestamp": snapshot_times}
        table = pa.table({field.name: own[field.name] for field in schema}, schema=schema)
        daily.replace_days(settings.lake, "user_tabular", table, day, moment, schema=schema)
    _add_events(settings, named, rng, events * count // days, days, [f"text {i} of things to buy" for i in range(texts)])
    return settings


def _add_events(settings: Settings, named: pa.Table, rng: np.random.Generator, a_day: int, days: int, texts: list[str]) -> None:
    """Raw events, so many a day, and the cached vectors of their texts."""
    ids = np.arange(len(texts)) * 7919
    text = pa.array(texts)

    def batches() -> Iterator[pa.RecordBatch]:
        for place in range(days):
            day = AS_OF - dt.timedelta(days=days - place)
            moment = pa.array([contract.midnight(day)] * a_day, contract.TIMESTAMP)
            user, which = rng.integers(0, len(named), a_day), rng.integers(0, len(texts), a_day)
            columns: dict[str, Any] = {field.name: pa.nulls(a_day, field.type) for field in contract.EVENTS}
            columns |= {"event_date": pa.array([day] * a_day, pa.date32()), "channel": pa.array(["pay_bill"] * a_day)}
            columns |= {"user_key": named["user_key"].take(pa.array(user)).combine_chunks()}
            columns |= {"fold": pa.array((user % 5).astype(np.int8)), "event_time": moment, "arrived_at": moment}
            columns |= {"text_id": pa.array(ids[which]), "text": text.take(pa.array(which))}
            columns |= {"amount": pa.array(rng.lognormal(2, 1, a_day)), "exposure": pa.array(np.zeros(a_day, bool))}
            yield pa.record_batch([columns[field.name] for field in contract.EVENTS], schema=contract.EVENTS)

    reader = pa.RecordBatchReader.from_batches(contract.EVENTS, batches())
    lake.replace(settings.lake, "raw_events", reader, schema=contract.EVENTS)
    first = [AS_OF - dt.timedelta(days=days)] * len(texts)
    rows = pa.table([pa.array(first, pa.date32()), pa.array(ids), text, pa.array([1] * len(texts))], schema=contract.BEHAVIOR_TEXT)
    lake.replace(settings.lake, "behavior_text", rows, schema=contract.BEHAVIOR_TEXT)
    encoder = text_vectors.encoder(settings.text_encoder)
    vectors = make_vectors(rng, len(texts), encoder.dim).astype("<f2")  # texts that differ, as those of a random encoder do not
    cached = [pa.array([encoder.revision] * len(texts)), pa.array(ids), pa.array([v.tobytes() for v in vectors], pa.binary())]
    lake.replace(
        settings.lake,
        text_vectors.TABLE,
        pa.table(cached, schema=text_vectors.SCHEMA),
        schema=text_vectors.SCHEMA,
        partition_by=("encoder_revision",),
    )


def add_version(settings: Settings, width: int, seed: int) -> str:
    """Registers a model that passed its gate, with states (B, width) of every user, one in 50 of them without a history."""
    import torch

    from models.frozen_text import FrozenText, FrozenTextConfig

    encoder = text_vectors.encoder(settings.text_encoder)
    config = FrozenTextConfig(settings.text_encoder, encoder.revision, encoder.dim)
    rng = np.random.default_rng(seed)
    model = FrozenText(config, torch.from_numpy(0.01 * rng.normal(size=encoder.dim).astype(np.float32)))
    version = registry.log(settings, model, parameters={}, metrics={}, tags={"cutoff": str(AS_OF)}, card="# Simulated")
    registry.nominate(settings, version, str(AS_OF))
    registry.store_verdict(settings, version, Verdict(True, "simulated", {}))
    named = index.attributes(settings, AS_OF)["user_key"]
    count = len(named)
    vectors = make_vectors(rng, count, width)
    events = rng.integers(0, 50, count)
    vectors[events == 0] = 0
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * width)
    columns = [
        pa.array([version] * count),
        pa.array([AS_OF] * count, pa.date32()),
        named,
        pa.array(np.arange(count) % 5, pa.int8()),
        pa.array(events, pa.int64()),
        pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1))),
    ]
    lake.replace(
        settings.lake,
        users.TABLE,
        pa.table(columns, schema=users.SCHEMA),
        schema=users.SCHEMA,
        partition_by=("model_version", "as_of"),
        predicate=f"model_version = '{version}'",
    )
    return version


def make_vectors(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    """Unit vectors (count, width) float32 around 200 centres."""
    centres = rng.normal(size=(200, width)).astype(np.float32)
    vectors = centres[rng.integers(0, 200, count)] + 0.7 * rng.normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def medians(rounds: int, **calls: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each call: every round in another order; the first one warms up and does not count."""
    order = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name in order.permutation(list(calls)):
            start = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(runs[1:])) for name, runs in seconds.items()}


def warm(home: Path, count: int, encoder: str, rounds: int) -> dict[str, Any]:
    """A warm look-up through the index beside encoding the sentence and a raw pymilvus search of the same collection."""
    import torch

    settings = make_home(home, count, encoder)
    version = add_version(settings, text_vectors.encoder(encoder).dim, seed=0)
    registry.promote(settings, version)
    start = time.perf_counter()
    published = index.publish(settings, version, AS_OF)
    took = time.perf_counter() - start
    model = registry.load(settings, version).model
    turn = iter(range(10**9))

    def encoded() -> np.ndarray:
        with torch.inference_mode():
            return saved.sentences(model, text_vectors.encoder(encoder), [DEMANDS[next(turn) % len(DEMANDS)]]).numpy()[0]

    with index.Searcher(settings) as searcher:
        searcher.search(published, encoded(), TOP)
        with collection.connect(str(home / "index" / published.name)) as connection:  # the same open collection

            def raw() -> None:
                query = [encoded().tolist()]
                connection.client.search(milvus.COLLECTION, data=query, limit=TOP, output_fields=["user_key"])

            times = medians(
                rounds,
                encode=encoded,
                raw=raw,
                searcher=lambda: searcher.search(index.live(settings), encoded(), TOP),
                find=lambda: lookup.find(
                    settings, lookup.Question(DEMANDS[next(turn) % len(DEMANDS)], mode="aligned"), lookup.Size(top=TOP)
                ),
            )
    lookup.release(settings)
    cold = medians(2, cold=lambda: index.search(settings, published, encoded(), TOP))["cold"]
    load = medians(2, load=lambda: users.load(settings, version, AS_OF))["load"]
    return {
        "users": count,
        "encode_ms": times["encode"] * 1e3,
        "encode_and_raw_pymilvus_ms": times["raw"] * 1e3,
        "encode_and_searcher_ms": times["searcher"] * 1e3,
        "look_up_aligned_ms": times["find"] * 1e3,
        "searcher_ratio": times["searcher"] / times["raw"],
        "look_up_ratio": times["find"] / times["raw"],
        "opened_and_closed_each_time_ms": cold * 1e3,
        "states_from_delta_ms": load * 1e3,
        "publish_s": took,
    }


def scored_exactly(rows: int, rounds: int) -> dict[str, Any]:
    """Exact top users of everybody beside the bare matrix product."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal(size=(rows, WIDTH), dtype=np.float32)
    query = vectors[0].copy()
    has_history, narrow = rng.random(rows) < 0.98, rng.random(rows) < 0.01
    times = medians(
        rounds,
        numpy=lambda: vectors @ query,
        top_100=lambda: exact.top_users(vectors, query, TOP, has_history),
        top_10000=lambda: exact.top_users(vectors, query, 10_000, has_history),
        one_percent=lambda: exact.top_users(vectors, query, TOP, narrow),
    )
    figures: dict[str, Any] = {"rows": rows, "width": WIDTH} | {f"{name}_ms": s * 1e3 for name, s in times.items()}
    return figures | {f"{name}_speed_of_numpy": times["numpy"] / times[name] for name in ("top_100", "top_10000")}


def recall_checks(settings: Settings, version: str) -> dict[str, Any]:
    """recall@100 by share of users, as publishing checks it, for an exact and for two approximate index types."""
    recalls = {}
    for kind in ("FLAT", "HNSW", "IVF_FLAT"):
        publication = index.publish(settings.model_copy(update={"milvus_index": kind}), version, AS_OF)
        recalls[kind] = [
            {"share": a.share, "filter": a.filter, "recall": a.recall, "trusted": publication.trusted(a.share)}
            for a in publication.recall_checks
        ]
    return recalls


PUBLISHER = """
import datetime as dt, sys
from pathlib import Path
from found_platform import index
from found_platform.settings import Settings
settings = Settings(home=Path(sys.argv[1]), profile="tiny")
for version in sys.argv[3:]:
    index.publish(settings, version, dt.date.fromisoformat(sys.argv[2]))
"""


@contextlib.contextmanager
def publishing(settings: Settings, versions: list[str], times: int) -> Iterator[threading.Event]:
    """Publishes these versions in turn, from a thread and then from another process. The event is set when both have ended."""
    finished = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for i in range(times):
                index.publish(settings, versions[i % len(versions)], AS_OF)
            order = [versions[i % len(versions)] for i in range(times)]
            subprocess.run([sys.executable, "-c", PUBLISHER, str(settings.home), str(AS_OF), *order], check=True)
        except BaseException as error:
            errors.append(error)
        finally:
            finished.set()

    thread = threading.Thread(target=work)
    thread.start()
    yield finished
    thread.join()
    if errors:
        raise errors[0]


def concurrent(settings: Settings, versions: list[str], times: int, threads: int = 4) -> dict[str, Any]:
    """Look-ups from several threads while new versions are published by a thread and by another process.

    An answer is mixed when its users are not the best of the publication that it names.
    """
    query = make_vectors(np.random.default_rng(9), 1, WIDTH)[0]
    best = {}
    for version in versions:
        names, vectors, events = users.load(settings, version, AS_OF)
        rows, _ = exact.top_users(vectors, query, TOP, events > 0)
        best[version] = {names[i] for i in rows}
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    seconds: list[float] = []

    def look_up(searcher: index.Searcher, finished: threading.Event) -> None:
        while not finished.is_set():
            start = time.perf_counter()
            try:
                published = index.live(settings)
                try:
                    answer = {key for key, _ in searcher.search(published, query, TOP)}
                    how = "by the index"
                except index.IndexBusy:
                    names, vectors, events = users.load(settings, published.model_version, AS_OF)
                    answer = {names[i] for i in exact.top_users(vectors, query, TOP, events > 0)[0]}
                    how = "exactly"
            except Exception:  # whatever it was, a request failed: it is counted, and seen
                counts["failed"] += 1
                raise
            seconds.append(time.perf_counter() - start)
            seen.add(published.name)
            counts[how] += 1
            counts["mixed"] += answer != best[published.model_version]

    index.publish(settings, versions[-1], AS_OF)
    with index.Searcher(settings) as searcher, publishing(settings, versions, times) as finished:
        lookers = [threading.Thread(target=look_up, args=(searcher, finished)) for _ in range(threads)]
        for thread in lookers:
            thread.start()
        for thread in lookers:
            thread.join()
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1e3
    return {
        "threads": threads,
        "publications": 2 * times,
        "publications_asked": len(seen),
        "answered": len(seconds),
        "by_the_index": counts["by the index"],
        "exactly": counts["exactly"],
        "failed": counts["failed"],
        "mixed": counts["mixed"],
        "p50_ms": p50,
        "p99_ms": p99,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="sizes for a first look")
    small = parser.parse_args().small
    sizes = SIZES[small]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        figures: dict[str, Any] = {"cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS", "all")}
        figures["exact"] = show("exact scoring", scored_exactly(sizes["exact"], sizes["rounds"]))
        encoder = "random-bert" if small else "offline-text"
        figures["warm"] = show("warm look-up", warm(folder / "warm", sizes["warm"], encoder, sizes["rounds"]))
        settings = make_home(folder / "recall", sizes["recall"])
        versions = [add_version(settings, WIDTH, seed) for seed in (1, 2)]
        figures["recall"] = show("recall@100 as checked", recall_checks(settings, versions[0]))
        figures["concurrency"] = show("look-ups while publishing", concurrent(settings, versions, sizes["publications"]))
    warm_figures, exact_figures = figures["warm"], figures["exact"]
    goals = {
        "search through the index / raw pymilvus": (warm_figures["searcher_ratio"], "<= 1.5"),
        "look-up in mode aligned / raw pymilvus": (warm_figures["look_up_ratio"], "<= 2"),
        "exact top 100, speed of a bare product in numpy": (exact_figures["top_100_speed_of_numpy"], ">= 0.5"),
    }
    figures["ratios"] = {name: value for name, (value, _) in goals.items()}
    figures["goals"] = {name: goal for name, (_, goal) in goals.items()}
    out = Path("build/bench-lookup.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(figures, indent=1))


def show(title: str, figures: dict[str, Any]) -> dict[str, Any]:
    """Prints a section and gives it back."""
    print(f"\n{title}", flush=True)
    for name, value in figures.items():
        for line in value if isinstance(value, list) else [value]:
            words = ", ".join(f"{k} {v}" for k, v in line.items()) if isinstance(line, dict) else line
            print(f"  {name:<32} {words:,.3f}" if isinstance(words, float) else f"  {name:<32} {words}", flush=True)
    return figures


if __name__ == "__main__":
    main()
