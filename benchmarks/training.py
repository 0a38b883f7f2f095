"""Training and bulk embedding: texts encoded, users per CPU-second beside pytorch-lifestream, memory of embedding.

    .venv/bin/python benchmarks/training.py [--small]      (make bench-training)

The other library is installed on first use into `.venv-lifestream`, an environment of its own with the same torch; nothing of ours
needs it. Both sides read the same synthetic sequences, 100 events a user, and take turns in one run, each in a process of its own:
the CPU seconds of all threads are compared, and the median over the rounds counts. Threads that wait sleep on both sides
(OMP_WAIT_POLICY=PASSIVE): on a shared machine they would burn the seconds that are measured. Prints a table and writes
build/bench-training.json.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from lifestream import BATCH, THREADS, WIDTH, serve

LIFESTREAM = "pytorch-lifestream==0.7.0"
ENVIRONMENT = Path(".venv-lifestream")
EVENTS, DAYS, TEXTS, TEXT_DIM, LOOKBACK = 100, 180, 2_000, 384, 180
SIZES = {  # users of the sequences, rounds, steps of a training round, batches of an embedding round; home: users, days
    False: {"users": 6_400, "rounds": 5, "steps": 25, "batches": 64, "home": (20_000, 28)},
    True: {"users": 2_048, "rounds": 1, "steps": 3, "batches": 3, "home": (300, 21)},
}
DAY = 86_400_000_000
T1 = 20_000 * DAY

TRAIN = {"gru, 1 layer": ("gru", 1), "gru, 2 layers": ("gru", 2), "transformer, 2 layers": ("transformer", 2)}


def make_sequences(folder: Path, users: int) -> None:
    """Users with events evenly over the days, texts with the long tail of words, and random vectors of the texts."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(TEXTS, TEXT_DIM)).astype(np.float32)
    np.savez(
        folder / "sequences.npz",
        text=((rng.zipf(1.3, (users, EVENTS)) - 1) % TEXTS).astype(np.int32),
        time=np.sort(rng.integers(T1 - DAYS * DAY, T1, (users, EVENTS)), 1),
        channel=rng.integers(0, 3, (users, EVENTS)).astype(np.uint8),
        amount=rng.integers(0, 12, (users, EVENTS)).astype(np.uint8),
        vectors=(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16),
    )


def write_training_files(folder: Path) -> Path:
    """The same sequences as the files of `found_platform.training.data`."""
    from safetensors.numpy import save_file

    arrays = np.load(folder / "sequences.npz")
    users = len(arrays["text"])
    target = folder / "data"
    target.mkdir()
    nothing, none = np.zeros(0, np.int64), np.zeros(users, np.int64)
    save_file({"vectors": arrays["vectors"], "counts": np.ones(TEXTS, np.int64)}, target / "texts.safetensors")
    save_file(
        {
            **{f"event_{name}": arrays[name].reshape(-1) for name in ("text", "time", "channel", "amount")},
            "event_exposed": np.zeros(users * EVENTS, np.uint8),
            "event_counts": np.full(users, EVENTS),
            **{"search_text": nothing, "search_time": nothing, "search_counts": none},
            **{"item_text": nothing, "item_weight": nothing.astype(np.float32), "item_counts": none},
            **{"cells": np.zeros((users, 0), np.int16), "activity": np.zeros((users, 1), np.float32)},
            **{"t1": np.full(users, T1), "owner": np.arange(users), "fold": np.ones(users, np.int8)},
        },
        target / "rows.safetensors",
    )
    (target / "data.json").write_text("{}")
    return target


def ours(folder: Path) -> None:
    """The worker of our side: a round of training is a call of the training loop, whole; a round of embedding ends with arrays."""
    import torch

    from found_platform.training.data import TrainingData
    from found_platform.training.loop import Options, train
    from found_platform.training.tasks import BehaviorLosses, BehaviorStage, BehaviorTask
    from found_platform.training_data import histories
    from models.behavior import BehaviorConfig
    from models.found import Found, FoundConfig

    data = TrainingData(write_training_files(folder))
    arrays = np.load(folder / "sequences.npz")
    texts = histories.Texts(np.arange(TEXTS), arrays["vectors"])
    table = _feature_rows(arrays)
    cases: dict[str, Callable[[int], None]] = {}

    def train_case(config: BehaviorConfig) -> Callable[[int], None]:
        task = BehaviorTask(data, BehaviorStage(config), BehaviorLosses())

        def run(steps: int) -> None:
            with tempfile.TemporaryDirectory() as out:
                train(task, Options(steps=steps, batch=BATCH, evaluate_every=10**9, threads=THREADS), Path(out))

        return run

    def embed_case(config: BehaviorConfig, size: int) -> Callable[[int], None]:
        encoder = BehaviorTask(data, BehaviorStage(config), BehaviorLosses()).model.encoder.eval()

        def run(batches: int) -> None:
            with torch.inference_mode():
                for i in range(batches):
                    rows = torch.arange(size) + i * size % (len(data) - size + 1)
                    context, _, is_event = encoder(data.histories(rows)[0])
                    encoder.pool(context, is_event).numpy()

        return run

    def whole_case(config: BehaviorConfig, size: int) -> Callable[[int], None]:
        from found_platform.contract import ACTIVITY_FEATURES

        model = Found(FoundConfig("none", "none", TEXT_DIM, 64, len(ACTIVITY_FEATURES), config, None)).eval()

        def run(batches: int) -> None:
            with torch.inference_mode():
                for i in range(batches):
                    rows = table.slice(i * size % (table.num_rows - size + 1), size)
                    model.users(histories.tensors(rows, texts, (), LOOKBACK)).numpy()

        return run

    for name, (kind, layers) in TRAIN.items():
        config = BehaviorConfig(TEXT_DIM, width=WIDTH, kind=kind, layers=layers)  # type: ignore[arg-type]
        cases[f"train {name}"] = train_case(config)
        cases |= {f"embed {size} {name}": embed_case(config, size) for size in (64, 1024)}
    cases["embed 1024 whole model"] = whole_case(BehaviorConfig(TEXT_DIM, width=WIDTH, kind="gru", layers=1), 1024)
    serve(cases)


def _feature_rows(arrays: Any) -> Any:
    """The sequences as rows of the feature service."""
    import pyarrow as pa

    from found_platform.contract import ACTIVITY_FEATURES, TIMESTAMP

    users = len(arrays["text"])
    offsets = pa.array(np.arange(users + 1, dtype=np.int32) * EVENTS)
    nothing = pa.array([[]] * users, pa.list_(pa.int64()))

    def lists(values: np.ndarray) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1).astype(np.int64)))

    return pa.table(
        {
            "event_timestamp": pa.array(np.full(users, T1)).cast(pa.timestamp("us")).cast(TIMESTAMP),
            "text_ids": lists(arrays["text"]),
            "times": lists(arrays["time"]),
            "channels": lists(arrays["channel"]),
            "amount_buckets": lists(arrays["amount"].astype(np.int64) - 1),
            "exposures": lists(np.zeros_like(arrays["text"])),
            "search_text_ids": nothing,
            "search_times": nothing,
            **{field.name: pa.array(np.zeros(users)).cast(field.type) for field in ACTIVITY_FEATURES},
        }
    )


def install() -> Path:
    """The Python of the other library's environment, made where it is missing."""
    import torch

    python = ENVIRONMENT / "bin" / "python"
    if not python.exists() or subprocess.run([python, "-c", "import ptls"], capture_output=True, check=False).returncode:
        print(f"installing {LIFESTREAM} into {ENVIRONMENT} ...", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True)
        requirements = [f"torch=={torch.__version__.split('+')[0]}", LIFESTREAM]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    return python


@contextlib.contextmanager
def worker(*command: object) -> Iterator[Callable[[str, int], dict[str, float]]]:
    """A process that answers `serve`'s lines."""
    threads = {"OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}
    process = subprocess.Popen(
        [str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads}
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def answer() -> dict[str, Any]:
        line = process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError(f"{' '.join(map(str, command))} ended without an answer")
        return json.loads(line)

    def ask(case: str, count: int) -> dict[str, float]:
        process.stdin.write(f"{case} {count}\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        return answer()

    print(f"{Path(str(command[1])).stem}: torch {answer()['torch']}", file=sys.stderr)
    try:
        yield ask
    finally:
        process.stdin.close()
        process.wait()


def speeds(folder: Path, small: bool) -> dict[str, float]:
    """Users per CPU-second by case, both sides in turn."""
    sizes: dict[str, Any] = SIZES[small]
    make_sequences(folder, sizes["users"])
    turns: list[tuple[str, str]] = []
    for name in TRAIN:
        turns += [("lifestream", "train"), ("ours", f"train {name}")]
    for size in (64, 1024):
        turns += [("lifestream", f"embed {size}"), *(("ours", f"embed {size} {name}") for name in TRAIN)]
    turns.append(("ours", "embed 1024 whole model"))
    rates: dict[str, list[float]] = {}
    script = Path(__file__)
    with (
        worker(install(), script.with_name("lifestream.py"), folder) as theirs,
        worker(sys.executable, script, "--worker", folder) as own,
    ):
        for turn in range(sizes["rounds"] + 1):  # the first one warms up
            for side, case in turns:
                size = 1024 if "1024" in case else BATCH
                count = sizes["steps"] if case.startswith("train") else max(1, sizes["batches"] * BATCH // size)
                took = (own if side == "ours" else theirs)(case, count)["cpu"]
                if turn:
                    rates.setdefault(f"{side}: {case}", []).append(count * size / took)
    return {case: statistics.median(values) for case, values in rates.items()}


def make_home(folder: Path, users: int, days: int) -> tuple[Any, dt.date]:
    """A simulated home with features and cached vectors of its texts; and the day after its data."""
    from found_platform.features import write
    from found_platform.settings import Settings
    from found_platform.sources import staging
    from found_platform.sources.config import SourceConfig
    from found_platform.training_data import text_vectors

    settings = Settings.load(folder, profile="tiny")
    source = SourceConfig.model_validate({"name": "simulated", "simulator": {"users": users, "days": days}})
    source_config = staging.open_home(settings, staging.discover(settings, source))
    staging.stage(settings)
    write.raw_events(settings, *source_config.days)
    write.raw_profile(settings)
    for table in write.TABLES:
        write.feature(settings, table, *source_config.days)
    text_vectors.encode(settings, source_config.days[1])
    return settings, source_config.days[1]


def texts_encoded(folder: Path, users: int, days: int) -> dict[str, int]:
    """Counts what the encoder is given while a home is made, and once more when its vectors are asked for again."""
    from found_platform import lake
    from found_platform.settings import Settings
    from found_platform.training_data import text_vectors

    model = text_vectors.encoder(Settings.load(folder, profile="tiny").text_encoder)
    encode, encoded = model.encode, []

    def counted(texts: Any, *rest: Any) -> Any:
        encoded.extend(texts)
        return encode(texts, *rest)

    model.encode = counted  # type: ignore[method-assign]
    settings, end = make_home(folder, users, days)
    text_vectors.encode(settings, end)
    model.encode = encode
    con = lake.connect()
    lake.view(con, "e", settings.lake, "raw_events")
    events, distinct = con.execute("SELECT count(*), count(DISTINCT text_id) FROM e").fetchone() or (0, 0)
    return {"users": users, "events": events, "distinct_texts": distinct, "encoded": len(encoded)}


def embed_home(folder: Path, day: dt.date) -> None:
    """Embeds every user of a home in this process by a whole model of random weights, and prints its peak memory."""
    import torch

    from found_platform.contract import ACTIVITY_FEATURES
    from found_platform.embedding import users
    from found_platform.registry import LoadedModel
    from found_platform.settings import Settings
    from found_platform.training_data import text_vectors
    from models.behavior import BehaviorConfig
    from models.found import Found, FoundConfig

    torch.set_num_threads(THREADS)
    settings = Settings.load(folder)
    encoder = text_vectors.encoder(settings.text_encoder)
    sizes = (encoder.dim, WIDTH, len(ACTIVITY_FEATURES))
    behavior = BehaviorConfig(encoder.dim, width=WIDTH, kind="gru", layers=1)
    model = Found(FoundConfig(settings.text_encoder, encoder.revision, *sizes, behavior, None))
    written = users.embed(settings, LoadedModel("1", model.eval(), {}), day)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = usage.ru_utime + usage.ru_stime
    # not ru_maxrss: that one begins with what the parent process held
    peak = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"users": written.rows, "peak_mib": peak / 1024, "cpu": seconds, "wall": written.seconds}))


def memory(folder: Path, users: int, days: int) -> tuple[dict[str, int], list[dict[str, float]]]:
    """Texts encoded for the larger home, and the embedding of two homes, one with four times the users."""
    peaks = []
    texts: dict[str, int] = {}
    for count in (users, 4 * users):
        home = folder / str(count)
        texts = texts_encoded(home, count, days)
        from found_platform.settings import Settings
        from found_platform.sources import config

        day = config.of_home(Settings.load(home)).days[1]
        command = [sys.executable, __file__, "--embed", str(home), "--day", str(day)]
        peaks.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]))
    return texts, peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--embed", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--day", type=dt.date.fromisoformat, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        ours(options.worker)
        return
    if options.embed:
        embed_home(options.embed, options.day)
        return
    sizes: dict[str, Any] = SIZES[options.small]
    with tempfile.TemporaryDirectory() as temp:
        rates = speeds(Path(temp), options.small)
        for case, value in rates.items():
            print(f"{case:44} {value:10,.0f} users per CPU-second", flush=True)
        texts, embedded = memory(Path(temp), *sizes["home"])
    print(f"\n{texts['encoded']:,} texts encoded, {texts['distinct_texts']:,} distinct, {texts['events']:,} events")
    for row in embedded:
        print(f"embedding {row['users']:8,} users: peak {row['peak_mib']:,.0f} MiB, {row['cpu']:.1f} CPU-seconds in all")
    best = max(rates["lifestream: embed 64"], rates["lifestream: embed 1024"])
    ratios = {f"train {n}: ours / theirs": (rates[f"ours: train {n}"] / rates["lifestream: train"], ">= 2") for n in TRAIN}
    ratios |= {f"embed {n}: ours / their better": (rates[f"ours: embed 1024 {n}"] / best, ">= 1") for n in TRAIN}
    ratios["embed whole model: ours / their better"] = (rates["ours: embed 1024 whole model"] / best, "none")
    ratios["texts encoded / distinct texts"] = (texts["encoded"] / max(texts["distinct_texts"], 1), "= 1")
    ratios["texts encoded / events"] = (texts["encoded"] / max(texts["events"], 1), "none")
    ratios["peak memory: 4 N users / N users"] = (embedded[1]["peak_mib"] / embedded[0]["peak_mib"], "about 1")
    print()
    for name, (value, goal) in ratios.items():
        print(f"{name:56} {value:8.3f}   goal {goal}")
    Path("build").mkdir(exist_ok=True)
    document = {
        "cores": os.cpu_count(),
        "sizes": sizes,
        "users_per_cpu_second": rates,
        "texts": texts,
        "embedding": embedded,
        "ratios": {k: v for k, (v, _) in ratios.items()},
        "goals": {k: goal for k, (_, goal) in ratios.items()},
    }
    Path("build/bench-training.json").write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
