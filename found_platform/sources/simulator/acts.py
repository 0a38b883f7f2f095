"""World 2: what is sent back, beside all that world 1 has, and what its scenarios say of payments and returns.

What belongs here: returns as events, and a scenario judged on payments and returns, whether they happened or may yet happen. What
does not: which may yet happen (`futures`), and the scenarios of world 1 (`events`, `oracle`).
"""

import datetime as dt
import hashlib
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from found_platform import outcomes
from found_platform.contract import TIMESTAMP, midnight
from found_platform.outcomes import Among, Statement
from found_platform.sources.simulator.days import alive
from found_platform.sources.simulator.events import PAY, paid, rows_of_block, texts_of
from found_platform.sources.simulator.people import BLOCK, PERSON, people, rng
from found_platform.sources.simulator.world import MAX_DELAY, world

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

VERSION = 2
RETURN = 4
"""The stream of random numbers of returns, beside those of `people`."""

RETURNER = 2
"""The draw of PERSON that says how readily a user sends things back, beside those of the users and of their profile."""


@cache
def specification() -> dict[str, Any]:
    """The parameters of acts.yaml."""
    return yaml.safe_load(_text())


def scenarios() -> list[dict[str, Any]]:
    """The scenarios of world 2 as data."""
    return specification()["scenarios"]


@cache
def fingerprint() -> str:
    """The hash of the parameters of both worlds, which docs/simulator.md quotes and a test holds."""
    return hashlib.sha256((world().fingerprint + _text()).encode()).hexdigest()[:16]


def _text() -> str:
    return (resources.files("found_platform.sources.simulator") / "acts.yaml").read_text()


@cache
def statement(name: str) -> tuple[Statement, Among]:
    """What a scenario says will be done, and among whom."""
    spec = next(spec for spec in scenarios() if spec["scenario"] == name)
    outcome = outcomes.parse(spec["outcome"], f"the scenario {name!r}")
    return outcome.will[0], outcome.among


@lru_cache(maxsize=4)
def return_chances(seed: int, block: int) -> np.ndarray:
    """(B, L) probability that a payment is sent back."""
    spec, leaves = specification()["returns"], world().leaves
    readiness = rng(seed, PERSON, block, RETURNER).gamma(spec["spread"], 1.0, BLOCK) / spec["spread"]
    shares = np.array([spec["shares"].get(leaf, 0.0) for leaf in leaves])
    return np.minimum(readiness[:, None] * shares, spec["most"])


def return_days() -> np.ndarray:
    """The days after a payment on which it may be sent back, all of them alike."""
    first, last = specification()["returns"]["days"]
    return np.arange(first, last + 1)


@lru_cache(maxsize=2 * MAX_DELAY)
def to_be_returned(seed: int, block: int, start: dt.date, day: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User and leaf of the payments of a day, and after how many days each is sent back; 0 where it is kept."""
    user, leaf = paid(seed, block, start, day)
    g = rng(seed, RETURN, block, day)
    back = g.random(len(user)) < return_chances(seed, block)[user, leaf]
    after = g.choice(return_days(), len(user))
    return user, leaf, np.where(back, after, 0)


def day_of_block(seed: int, block: int, start: dt.date, day: int, users: int) -> tuple[pa.Table, pa.Table]:
    """The events of a block on a day, what is sent back among them; and its truth: who paid for or sent back what."""
    events, leaf, channel = rows_of_block(seed, block, start, day, users)
    returns, returned_leaf = _returns(seed, block, start, day, users, events.schema)
    plain = np.concatenate([np.zeros(len(events), bool), np.ones(len(returns), bool)])
    both = pa.concat_tables([events, returns]).append_column("returned", pa.array(plain))
    counted = np.flatnonzero(np.concatenate([channel == PAY, np.ones(len(returns), bool)]))
    truth = both.take(pa.array(counted)).select(["user_id", "event_time", "amount", "returned"])
    names = pa.array(world().leaves).take(pa.array(np.concatenate([leaf, returned_leaf])[counted]))
    return both, truth.append_column("leaf", names)


def _returns(seed: int, block: int, start: dt.date, day: int, users: int, schema: pa.Schema) -> tuple[pa.Table, np.ndarray]:
    """What is sent back on a day, as events of payments with the amount that is paid back; and the leaf of each."""
    p, g = people(seed, block), rng(seed, RETURN, block, day + 50_000)
    parts = []
    for age in return_days():
        user, leaf, after = to_be_returned(seed, block, start, day - int(age))
        due = (after == age) & alive(p, day)[user]
        parts.append((user[due], leaf[due]))
    user, leaf = (np.concatenate(column) for column in zip(*parts, strict=True))
    text = texts_of(g, user, leaf, np.full(len(user), PAY))
    second = np.clip(g.normal(15 * 3600, 4 * 3600, len(user)), 0, 86_399).astype(np.int64)
    amount = np.round(world().price[leaf] * p.budget[user] * np.exp(g.normal(0, 0.4, len(user))), 2)
    keep = np.flatnonzero(block * BLOCK + user < users)
    departments = np.array([spec["department"] for spec in world().raw["leaves"].values()])
    moment = int(midnight(start + dt.timedelta(days=day)).timestamp())
    number = pc.utf8_lpad(pa.array(block * BLOCK + user[keep]).cast(pa.string()), 6, "0")
    columns = {
        "user_id": pc.binary_join_element_wise(f"user-{seed}", number, "-"),
        "event_time": pa.array((moment + second[keep]) * 1_000_000).cast(TIMESTAMP),
        "channel": pa.array(["pay_bill"] * len(keep), pa.string()),
        "text": text.take(pa.array(keep)),
        "category": pa.array(departments[leaf[keep]]),
        "amount": pa.array(amount[keep]),
        "exposure": pa.array(np.zeros(len(keep), bool)),
        "event_id": pc.binary_join_element_wise(f"{day}.{block}.back", pa.array(np.arange(len(keep))).cast(pa.string()), "."),
    }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema), leaf[keep]


@dataclass(frozen=True)
class Ledger:
    """Payments and what was sent back, a row each: whose, of which leaf, how many days after the cutoff, and for how much.

    Owners are positions of users; in futures, of a user in one of them.
    """

    owner: np.ndarray
    leaf: np.ndarray
    day: np.ndarray
    amount: np.ndarray
    returned: np.ndarray

    def of(self, rows: np.ndarray) -> "Ledger":
        """The rows (N,) bool alone."""
        return Ledger(self.owner[rows], self.leaf[rows], self.day[rows], self.amount[rows], self.returned[rows])

    def moved(self, by: int) -> "Ledger":
        """The same rows of owners who stand elsewhere."""
        return replace(self, owner=self.owner + by)

    def counts(self, owners: int) -> np.ndarray:
        """(owners,) rows of each."""
        return np.bincount(self.owner, minlength=owners)


def came_true(spec: dict, before: Ledger, after: Ledger, owners: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """(owners,) bool for whom a scenario came true in the `horizon` days of `after`, and (owners,) bool of whom it says anything.

    Owners are the users of a block, or those of many futures of it, one future after the other. `before` has what the users of the
    block paid in as many days before. A number of the scenario is asked in proportion of a shorter horizon.
    """
    will, part = statement(spec["scenario"])[0], min(1.0, horizon / spec["horizon_days"])
    rows = after.of(after.returned == will.do.returned)
    everybody = np.ones(owners, bool)
    if "share" in spec:
        payments = rows.counts(owners)
        mine = rows.of(np.isin(rows.leaf, [world().index[name] for name in spec["leaves"]])).counts(owners)
        return mine >= spec["share"] * np.maximum(payments, 1), payments >= spec["least"] * part
    if will.total is not None:
        comes_true = np.bincount(rows.owner, rows.amount, owners) >= will.total * part
    elif will.days is not None:
        owner = np.unique(rows.owner.astype(np.int64) * horizon + rows.day) // horizon
        comes_true = np.bincount(owner, minlength=owners) >= max(1, round(will.days * part))
    elif will.more_than_before is not None:
        earlier = before.of(before.returned == will.do.returned)
        amounts = np.bincount(earlier.owner, earlier.amount, BLOCK)
        comes_true = np.bincount(rows.owner, rows.amount, owners) > np.tile(amounts, owners // BLOCK)
    else:
        comes_true = rows.counts(owners) > 0
    return comes_true != will.negated, everybody


def asked_of(spec: dict, past: Ledger, users: int) -> np.ndarray:
    """(users,) bool: of whom a scenario is asked, by all that was paid before the cutoff (`day` below 0)."""
    will, among = statement(spec["scenario"])
    if among.did is not None:
        return past.of(~past.returned & (past.day >= -(among.last_days or 0))).counts(users) > 0
    if will.history == "again":
        return past.of(past.returned == will.do.returned).counts(users) > 0
    return np.ones(users, bool)
