"""Writes a simulated population to files, a day at a time, and its truth beside them."""

import datetime as dt
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from found_platform.contract import CHANNELS
from found_platform.settings import Settings
from found_platform.sources.config import ChannelEntry, ProfileEntry, Simulation, SourceConfig, Span
from found_platform.sources.simulator import acts
from found_platform.sources.simulator import oracle as truth
from found_platform.sources.simulator.drifts import DRIFTS
from found_platform.sources.simulator.events import day_of_block
from found_platform.sources.simulator.people import BLOCK, known_attributes
from found_platform.sources.simulator.world import BANDS, VERSION, scenarios, world

ATTRIBUTES = {**dict.fromkeys(BANDS, "string"), "account_age_days": "int", "balance": "float", "irregularities": "int"}
TRUTHS = {VERSION: "outcomes", acts.VERSION: "payments"}
"""By world, the folder of what really happened: who did what a scenario asks; or all that was paid and sent back."""
GROUP = 8
"""Blocks whose events of a day share a file."""
HARD_SHARE = 0.2
HARD_CHANCE = 0.5
"""Hard negatives are in this top share by wishes, with less than this part of the mean probability."""


def discover(source: SourceConfig) -> SourceConfig:
    """The same config with its span and profile schema, which follow from what is asked."""
    simulation = source.simulator
    assert simulation is not None
    span = Span(start=simulation.start, end=simulation.start + dt.timedelta(days=simulation.days))
    return source.model_copy(update={"span": span, "profile_schema": dict(ATTRIBUTES)})


def generate(settings: Settings, source: SourceConfig) -> SourceConfig:
    """Writes what is not there yet and returns a file source over it. The same seed gives the same bytes."""
    simulation = source.simulator
    assert simulation is not None
    folder = settings.home / "simulated"
    record = folder / "made.json"
    version = {"version": VERSION, "world": world().fingerprint}
    if simulation.world == acts.VERSION:
        version = {"version": acts.VERSION, "world": acts.fingerprint()}
    # the version comes first, as in homes of before, and `world` is its hash, not its number
    parameters = json.dumps({**version, **simulation.model_dump(mode="json"), **version})
    if not (record.exists() and record.read_text() == parameters):
        (folder / "events").mkdir(parents=True, exist_ok=True)
        truths = settings.truth / TRUTHS[simulation.world]
        truths.mkdir(parents=True, exist_ok=True)
        work = [(simulation, group, str(folder / "events"), str(truths)) for group in groups(simulation)]
        with ProcessPoolExecutor(min(len(work), os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
            shards = pool.map(_write_group, work) if len(work) > 1 else map(_write_group, work)
            list(tqdm(shards, total=len(work), desc="simulating", unit="shard", disable=None, leave=False))
        pq.write_table(profile(simulation), folder / "profile.parquet")
        specs = acts.scenarios() if simulation.world == acts.VERSION else scenarios()
        (settings.truth / "scenarios.json").write_text(json.dumps({"scenarios": specs}, indent=1))
        record.write_text(parameters)
    return source.model_copy(update={"simulator": None, "channels": _entries(folder, simulation), "profile": _profile(folder)})


def blocks(simulation: Simulation) -> range:
    return range(-(-simulation.users // BLOCK))


def groups(simulation: Simulation) -> list[list[int]]:
    """Blocks that share a file a day: always the same ones, whoever writes them."""
    every = list(blocks(simulation))
    return [every[i : i + GROUP] for i in range(0, len(every), GROUP)]


Days = list[list[tuple[pa.Table, pa.Table]]]
"""Events and truth of each block, by day."""

_drawn: dict[str, Days] = {}
"""What was drawn ahead, by the simulation."""


def draw_ahead(simulation: Simulation) -> None:
    """Draws a population that one process writes, before there is a home to write it to: `generate` in this process has it then."""
    if len(every := groups(simulation)) == 1:
        _drawn.clear()
        _drawn[simulation.model_dump_json()] = _days(simulation, every[0])


def _write_group(work: tuple[Simulation, list[int], str, str]) -> None:
    """All days of a group of blocks."""
    simulation, group, events, truths = work
    for day, parts in enumerate(_drawn.pop(simulation.model_dump_json(), None) or _days(simulation, group)):
        for folder, tables in zip((events, truths), zip(*parts, strict=True), strict=True):
            name = f"{simulation.start + dt.timedelta(days=day)}.{group[0]:05d}.parquet"
            pq.write_table(pa.concat_tables(tables), Path(folder) / name)


def _days(simulation: Simulation, group: list[int]) -> Days:
    """A block at a time, so that its memory of wishes and hobbies serves the next day."""
    draw = acts.day_of_block if simulation.world == acts.VERSION else day_of_block
    days: Days = [[] for _ in range(simulation.days)]
    for block in group:
        for day in range(simulation.days):
            day_events, day_truth = draw(simulation.seed, block, simulation.start, day, simulation.users)
            days[day].append((drifted(day_events, simulation, day), day_truth))
    return days


def drifted(events: pa.Table, simulation: Simulation, day: int) -> pa.Table:
    """The day's rows after the drifts that have begun by then."""
    for name, first in simulation.drifts.items():
        if simulation.start + dt.timedelta(days=day) >= first:
            events = DRIFTS[name](events)
    return events


def profile(simulation: Simulation) -> pa.Table:
    """The profile table: user_id and the known attributes."""
    tables = [known_attributes(simulation.seed, block) for block in blocks(simulation)]
    columns = {n: np.ma.concatenate([t[n] for t in tables])[: simulation.users] for n in ATTRIBUTES}
    ids = [f"user-{simulation.seed}-{i:06d}" for i in range(simulation.users)]
    return pa.table({"user_id": ids, **{n: pa.array(c.data, mask=c.mask) for n, c in columns.items()}})


def oracle(simulation: Simulation, cutoff: dt.date, horizon_days: int) -> pa.Table:
    """user_id, scenario, probability and hard_negative of everybody at a cutoff, for all scenarios.

    The horizon is the scenario's, at most `horizon_days`. The probability is 0 for those who have left and NaN for those who
    were not there yet. Hard negatives behave like those who will do it, and will not: see `scenarios.yaml`.
    """
    day = (cutoff - simulation.start).days
    specs = [{**spec, "horizon_days": min(spec["horizon_days"], horizon_days)} for spec in scenarios()]
    chance, wanting = (np.empty((len(specs), len(blocks(simulation)) * BLOCK)) for _ in range(2))
    for block in blocks(simulation):
        rows = slice(block * BLOCK, (block + 1) * BLOCK)
        for i, spec in enumerate(specs):
            chance[i, rows] = truth.probability(simulation.seed, block, simulation.start, day, spec)
            wanting[i, rows] = truth.wanting(simulation.seed, block, simulation.start, day, spec)
    chance, wanting = chance[:, : simulation.users], wanting[:, : simulation.users]
    ids = pa.array([f"user-{simulation.seed}-{i:06d}" for i in range(simulation.users)])
    tables = []
    for spec, p, w in zip(specs, chance, wanting, strict=True):
        weighted = w > 0  # neither gone nor to come
        alike = weighted & (w >= np.quantile(w[weighted], 1 - HARD_SHARE))
        hard = alike & (p < HARD_CHANCE * p[weighted].mean())
        names = pa.array([spec["scenario"]] * simulation.users)
        tables.append(pa.table({"user_id": ids, "scenario": names, "probability": p, "hard_negative": hard}))
    return pa.concat_tables(tables)


def _entries(folder: Path, simulation: Simulation) -> dict[str, list[ChannelEntry]]:
    columns = {c: c for c in ("user_id", "event_time", "text", "category", "amount", "event_id")}
    path = str(folder / "events" / "*.parquet")
    entries = {c: [ChannelEntry(path=path, columns=columns, where=f"channel = '{c}' AND NOT exposure")] for c in CHANNELS}
    if simulation.world == acts.VERSION:
        entries["pay_bill"] = [entry.model_copy(update={"returns": "returned"}) for entry in entries["pay_bill"]]
    entries["spm"].append(ChannelEntry(path=path, columns=columns, where="exposure", exposure=True))
    return entries


def _profile(folder: Path) -> ProfileEntry:
    return ProfileEntry(path=str(folder / "profile.parquet"), key="user_id")
