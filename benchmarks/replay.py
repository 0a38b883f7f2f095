"""How long a warm replay takes: many users, many events, one demand.

    .venv/bin/python benchmarks/replay.py [--users N] [--events N] [--outcome FILE]
    .venv/bin/python benchmarks/replay.py --users 1000000 --events 20000000 --shards 100
    .venv/bin/python benchmarks/replay.py --users 1000000 --events 20000000 --engine sc://HOST:PORT
    .venv/bin/python benchmarks/replay.py --home HOME

Without a home, users, events and attributes are drawn at random, and what is timed is what a look-up does once past states are in
memory: it counts matches at every moment, fits the head twice and scores everybody; with an outcome (about acts, not texts: see
docs/outcomes.md) it labels past windows by it. With `--shards` these users are one shard of so many: what each shard does (to label
two windows, to score its users, to name its best) is timed apart, and so is joining the best of all. With `--engine` their snapshot
is written, and answers of this machine's cores and of the engine's workers are timed in turn: they have to be equal to the bit.

In a home with a published index whole look-ups are timed, `lookup.find` with demands that were not asked before: each reads its
sentence, finds its texts, replays, names the users and leaves a row in the audit. The first one, which also reads the home, is told
apart.
"""

import argparse
import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from found_platform import outcomes, threads
from found_platform.audiences import lookup
from found_platform.contract import ACTIVITY_FEATURES, CHANNELS
from found_platform.index import snapshot
from found_platform.index.past import VALUES, Past, day_of
from found_platform.index.states import LakeStates, PastState
from found_platform.privacy.user_keys import UserKeys
from found_platform.rewriting.ground import Ground
from found_platform.scoring import part_workers, parts, stated, texts
from found_platform.scoring.matching import Matching
from found_platform.scoring.population import Population
from found_platform.scoring.replay import prepared
from found_platform.scoring.replayed import Replayed
from found_platform.settings import Settings
from models.frozen_text import FrozenText, FrozenTextConfig

CUTOFF = dt.date(2026, 4, 3)
TEXTS, DAYS, HORIZON = 10_000, 180, 28
THINGS = ("gold", "a tent", "cat food", "running shoes", "a new phone", "flights to the sea", "baby clothes", "books", "a bike")
DEMANDS = [f"people who will soon buy {thing}" for thing in THINGS]
TOP = 1000
ABOUT = 200
"""Texts that are about the demand."""


def population(count: int, events: int, rng: np.random.Generator, home: Path) -> Population:
    """Users who differ in how much they do and in how much of it is about the demand."""
    volume, interest = rng.gamma(1.0, size=count), rng.beta(0.3, 6.0, size=count)
    user = np.sort(rng.choice(count, events, p=volume / volume.sum())).astype(np.int32)
    about = rng.random(events) < interest[user]
    text = np.where(about, rng.integers(0, ABOUT, events), rng.integers(ABOUT, TEXTS, events)).astype(np.int32)
    day = (day_of(CUTOFF) - 1 - rng.integers(0, DAYS, events)).astype(np.int32)
    order = np.lexsort((day, user))
    channel = rng.integers(0, len(CHANNELS), events).astype(np.int8)
    no_value, zeros = np.full(events, -1, np.int32), np.zeros(events, np.int16)
    events_by_column = {
        "user": user,
        "text": text[order],
        "happened": day[order],
        "known": day[order],
        "channel": channel,
        "exposed": np.zeros(events, bool),
        "amount": np.ones(events, np.float32),
        "minute": zeros,
        "category": no_value,
        "status": no_value,
        "payment_method": no_value,
    }
    past = Past(day_of(CUTOFF), count, np.arange(TEXTS), events_by_column)
    columns = {f.name: pa.array(rng.poisson(5 * volume), pa.int64()).cast(f.type) for f in ACTIVITY_FEATURES}
    keys = UserKeys.of([f"{i:07d}" for i in range(count)])
    model = FrozenText(FrozenTextConfig("none", "none", 8))
    states = MadeUp(Settings(home=home), model, None, CUTOFF, keys)
    nothing = past.at(np.zeros(0, np.int64))
    vars(states).update(
        past=past, attributes=pa.table(columns), moments=MOMENTS, returned=nothing, values={name: [] for name in VALUES}
    )
    vectors = np.zeros((count, 8), np.float32)
    return Population(Settings(home=home), model, None, CUTOFF, keys, vectors, np.ones(count), states)


MOMENTS = [CUTOFF - dt.timedelta(days=14 * i) for i in range(1, DAYS // 14 + 1)]


class MadeUp(LakeStates):
    """States that are given; at every moment the same is known of users as at the cutoff."""

    delta_versions = {}  # noqa: RUF012
    words = [f"text {i}" for i in range(TEXTS)]  # noqa: RUF012
    learned_texts = frozen_texts = np.zeros((TEXTS, 8), np.float32)

    @property
    def ground(self) -> Ground:
        """See `States`: nobody reads a sentence."""
        kinds, none = {"purchase": np.ones(1, np.int64)}, np.zeros((1, 8), np.float32)
        return Ground(None, ["text 0"], 1, np.ones(1, np.int64), kinds, none, none[0], [], [], {}, [], 0)

    def past_state(self, moment: dt.date) -> PastState:
        """See `States`."""
        users = np.arange(self.past.users)
        return PastState(users, self.attributes, users[:0], np.empty((0, 0), np.float32))


def on_an_engine(everybody: Population, answer: Callable[[Population], Replayed], address: str, rounds: int) -> None:
    """The seconds of answers by the cores of this machine and by the workers of an engine, in turn."""
    part_workers.MANY = parts.WHOLE
    assert isinstance(everybody.states, LakeStates)
    settings = everybody.settings
    files = snapshot.Snapshot(snapshot.write(settings, "made-up", everybody.states, everybody.vectors, everybody.events))
    here, there = (Population._of_snapshot(settings.model_copy(update={"engine": place}), files) for place in ("duckdb", address))
    for number in range(rounds + 1):
        scores = []
        for name, users in (("this machine", here), (address, there)):
            began = time.perf_counter()
            scores.append(answer(users).scores)
            print(f"{time.perf_counter() - began:7.3f} s by the clock: {name}{' (first)' if not number else ''}", flush=True)
        assert np.array_equal(*scores)


def whole(home: Path) -> None:
    """The seconds of look-ups in a home, each with a new demand."""
    settings = Settings.load(home)
    for number, demand in enumerate(DEMANDS):
        began, used = time.perf_counter(), time.process_time()
        answer = lookup.find(settings, lookup.Question(demand, mode="replay"), lookup.Size(top=TOP))
        wall, cpu = time.perf_counter() - began, time.process_time() - used
        first = "" if number else " (first)"
        print(f"{wall:6.2f} s, CPU {cpu:6.2f} s: {answer.count} users, mode {answer.mode}: {demand}{first}", flush=True)


def of_a_shard(everybody: Population, matching: Matching, shards: int) -> None:
    """The seconds of what each shard does, and of what is done once for all of them."""
    replay = prepared(everybody, HORIZON)
    head = replay.answer(texts.Texts(replay, matching)).basis.head
    scores = np.zeros(0)

    def best(of: np.ndarray) -> np.ndarray:
        return np.argpartition(-of, TOP)[:TOP]

    with threads.one_each():
        with timed("a shard: labels of two windows"):
            task = texts.Texts(replay, matching)
        with timed("a shard: scores"):
            scores, _ = replay.scored(task, head)
        with timed(f"a shard: its best {TOP:,}"):
            places = best(scores)
        of_shards = np.tile(scores[places], shards)
        with timed(f"once: the best of {shards} shards"):
            best(of_shards)
        with timed("one shard alone, with what is learned once for all"):
            replay.answer(texts.Texts(replay, matching))


@contextmanager
def timed(what: str) -> Iterator[None]:
    began, used = time.perf_counter(), time.process_time()
    yield
    print(f"{time.perf_counter() - began:7.3f} s, CPU {time.process_time() - used:7.3f} s: {what}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--outcome", type=Path, help="answer this outcome about acts, in place of a demand about texts")
    parser.add_argument("--shards", type=int, help="time what one of so many shards does")
    parser.add_argument("--engine", help="time the workers of this engine, sc://HOST:PORT, beside the cores of this machine")
    parser.add_argument("--home", type=Path, help="time whole look-ups in this home")
    options = parser.parse_args()
    if options.home:
        whole(options.home)
        return
    with TemporaryDirectory() as home:
        everybody = population(options.users, options.events, np.random.default_rng(0), Path(home))
        matching = Matching(np.where(np.arange(TEXTS) < ABOUT, 1.0, 0.0))
        outcome = outcomes.load(options.outcome) if options.outcome else None

        def answer(users: Population = everybody) -> Replayed:
            if outcome is None:
                return texts.answer(users, matching, HORIZON)
            return stated.answer(users, outcome, outcome.within_days or HORIZON)

        if options.engine:
            on_an_engine(everybody, answer, options.engine, options.rounds)
            return

        began = time.perf_counter()
        answer()
        print(f"{options.users:,} users, {options.events:,} events: first {time.perf_counter() - began:.2f} s", flush=True)
        walls, cpus = [], []
        for _ in range(options.rounds):
            began, used = time.perf_counter(), time.process_time()
            answer()
            walls.append(time.perf_counter() - began)
            cpus.append(time.process_time() - used)
        if options.shards:
            of_a_shard(everybody, matching, options.shards)
        print(f"warm: median {np.median(walls):.2f} s, best {min(walls):.2f} s; CPU {np.median(cpus):.2f} s")


if __name__ == "__main__":
    main()
