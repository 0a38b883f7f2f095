"""The scenarios of world 2 at a cutoff: of whom each is asked, for whom it came true, and how probable that was."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pad

from found_platform.contract import midnight
from found_platform.sources.config import Simulation
from found_platform.sources.simulator import futures
from found_platform.sources.simulator.acts import Ledger, asked_of, came_true, scenarios
from found_platform.sources.simulator.people import BLOCK, people
from found_platform.sources.simulator.world import world

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)


def judgement(simulation: Simulation, payments: Path, cutoff: dt.date, horizon_days: int) -> pa.Table:
    """user_id, scenario, label and probability of everybody of whom a scenario is asked at a cutoff.

    The horizon is the scenario's, at most `horizon_days`. `payments` is the folder of the truth. Who is not there yet, or pays too
    little afterwards for a share to say anything, has no row.
    """
    happened = _ledger(simulation, payments, cutoff)
    return pa.concat_tables(
        _of_block(simulation, block, happened.of(happened.owner // BLOCK == block), (cutoff - simulation.start).days, horizon_days)
        for block in range(-(-simulation.users // BLOCK))
    )


def _of_block(simulation: Simulation, block: int, happened: Ledger, day: int, horizon_days: int) -> pa.Table:
    horizon = min(scenarios()[0]["horizon_days"], horizon_days)
    happened = happened.moved(-block * BLOCK)
    past = happened.of(happened.day < 0)
    before, after = past.of(past.day >= -horizon), happened.of((happened.day >= 0) & (happened.day < horizon))
    count = futures.FUTURES
    drawn = futures.draw(simulation.seed, block, simulation.start, day, horizon, count)
    is_there = (people(simulation.seed, block).joins < day) & (block * BLOCK + np.arange(BLOCK) < simulation.users)
    tables = []
    for spec in scenarios():
        true, judged = came_true(spec, before, after, BLOCK, horizon)
        may, may_be_judged = (part.reshape(count, BLOCK) for part in came_true(spec, before, drawn, count * BLOCK, horizon))
        chance = (may & may_be_judged).sum(0) / np.maximum(may_be_judged.sum(0), 1)
        rows = np.flatnonzero(judged & asked_of(spec, past, BLOCK) & is_there)
        columns = {
            "user_id": pa.array([f"user-{simulation.seed}-{block * BLOCK + row:06d}" for row in rows], pa.string()),
            "scenario": pa.array([spec["scenario"]] * len(rows), pa.string()),
            "label": pa.array(true[rows].astype(np.int64)),
            "probability": pa.array(chance[rows]),
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def _ledger(simulation: Simulation, payments: Path, cutoff: dt.date) -> Ledger:
    """All that was paid and sent back, by user."""
    table = pad.dataset(payments).to_table()
    owner = pc.cast(pc.utf8_slice_codeunits(table["user_id"], len(f"user-{simulation.seed}-")), pa.int64()).to_numpy()
    leaf = pc.index_in(table["leaf"], pa.array(world().leaves)).to_numpy()
    day = (table["event_time"].cast(pa.int64()).to_numpy() // 1_000_000 - int(midnight(cutoff).timestamp())) // 86_400
    return Ledger(owner, leaf, day, table["amount"].to_numpy(), table["returned"].to_numpy())
