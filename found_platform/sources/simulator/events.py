"""A day of a block as rows: searches, pages, app visits, payments and exposures, with the words that people read."""

import datetime as dt
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from found_platform.contract import CHANNELS, TIMESTAMP, midnight
from found_platform.sources.simulator.days import Wishes, alive, campaign, wishes
from found_platform.sources.simulator.people import BLOCK, EVENT, people, rng
from found_platform.sources.simulator.world import MAX_DELAY, scenarios, world

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

EXPOSURE = len(CHANNELS)
"""Code of exposures beside the channels' codes."""
PAY, PAGE, APP, SEARCH = (CHANNELS.index(c) for c in ("pay_bill", "spm", "mini_program", "search"))

EVERYDAY_PAGES = 0.15  # of the pages and searches that a wish of another leaf would show as
STRAY = 0.04  # share of pages about something else altogether
LOYALTY = 0.5  # share of texts about the one product of a leaf that a person prefers
OFFICIAL_NAME = 0.65  # share of texts that name a product as shops do, the rest uses its synonym


@cache
def vocabulary() -> tuple[pa.Array, np.ndarray, list[list[tuple[int, ...]]]]:
    """All texts; where those of (leaf, channel) start; and the pool's sizes (templates, brands, products, names, shops)."""
    texts: list[str] = []
    offsets = np.zeros((len(world().leaves), EXPOSURE + 1), np.int64)
    sizes: list[list[tuple[int, ...]]] = []
    for i, leaf in enumerate(world().raw["leaves"].values()):
        sizes.append([])
        for c in range(EXPOSURE + 1):
            templates = world().raw["exposures"] if c == EXPOSURE else world().raw["templates"][CHANNELS[c]]
            offsets[i, c] = len(texts)
            sizes[i].append((len(templates), len(leaf["brands"]), len(leaf["products"]), 2, len(leaf["shops"])))
            texts += [
                t.format(brand=b, product=name, shop=s)
                for t in templates
                for b in leaf["brands"]
                for names in leaf["products"]
                for name in names
                for s in leaf["shops"]
            ]
    return pa.array(texts), offsets, sizes


def _skewed(g: np.random.Generator, size: int, n: int) -> np.ndarray:
    """Positions 0..n-1, the first ones common: a long tail."""
    return np.minimum((g.random(size) ** 2.2 * n).astype(np.int64), n - 1)


def texts_of(g: np.random.Generator, user: np.ndarray, leaf: np.ndarray, channel: np.ndarray) -> pa.Array:
    texts, offsets, sizes = vocabulary()
    dims = np.array([[sizes[i][c] for c in range(EXPOSURE + 1)] for i in range(len(sizes))])[leaf, channel]  # (N, 5)
    n = len(leaf)
    template, brand, product, shop = (_skewed(g, n, 1 << 20) * dims[:, k] >> 20 for k in (0, 1, 2, 4))
    loyal = g.random(n) < LOYALTY
    product = np.where(loyal, (user * 31 + leaf * 17) % dims[:, 2], product)
    brand = np.where(loyal, (user * 13 + leaf * 7) % dims[:, 1], brand)
    name = (g.random(n) > OFFICIAL_NAME).astype(np.int64)
    index = (((template * dims[:, 1] + brand) * dims[:, 2] + product) * dims[:, 3] + name) * dims[:, 4] + shop
    return texts.take(pa.array(offsets[leaf, channel] + index))


def _shown(g: np.random.Generator, seed: int, block: int, today: Wishes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User, leaf and channel of the searches, pages and visits that the wishes of a day show as."""
    w, p = world(), people(seed, block)
    damp = np.where(w.everyday[today.leaf], EVERYDAY_PAGES, 1.0)
    counts = {
        SEARCH: g.random(len(today.user)) < p.searches[today.user] * damp,
        PAGE: g.poisson(p.browses[today.user] * damp),
        APP: g.random(len(today.user)) < p.apps[today.user] * np.sqrt(damp),
    }
    user = np.concatenate([np.repeat(today.user, n) for n in counts.values()])
    leaf = np.concatenate([np.repeat(today.leaf, n) for n in counts.values()])
    channel = np.concatenate([np.full(int(n.sum()), c) for c, n in counts.items()])
    stray = (channel == PAGE) & (g.random(len(leaf)) < STRAY)
    return user, np.where(stray, g.integers(len(w.leaves), size=len(leaf)), leaf), channel


def paid(seed: int, block: int, start: dt.date, day: int) -> tuple[np.ndarray, np.ndarray]:
    """User and leaf of the payments of a day."""
    p = people(seed, block)
    users, leaves = [], []
    for age in range(MAX_DELAY + 1):
        earlier, _ = wishes(seed, block, start, day - age)
        due = earlier.pays_after == age
        users.append(earlier.user[due])
        leaves.append(earlier.leaf[due])
    user, leaf = np.concatenate(users), np.concatenate(leaves)
    present = alive(p, day)[user]
    return user[present], leaf[present]


def day_of_block(seed: int, block: int, start: dt.date, day: int, users: int) -> tuple[pa.Table, pa.Table]:
    """The events of a block on a day, and its outcomes (user_id, scenario, event_time). Users from `users` on do not exist."""
    events, leaf, channel = rows_of_block(seed, block, start, day, users)
    return events, _outcomes(events["user_id"].combine_chunks(), events["event_time"].combine_chunks(), leaf, channel)


def rows_of_block(seed: int, block: int, start: dt.date, day: int, users: int) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """The events (N rows) of a block on a day, the leaf (N,) of each and its channel (N,), exposures with a code of their own."""
    p, g = people(seed, block), rng(seed, EVENT, block, day)
    today, exposed = wishes(seed, block, start, day)
    user, leaf, channel = _shown(g, seed, block, today)
    payer, bought = paid(seed, block, start, day)
    ordered = g.random(len(payer)) < p.apps[payer] * 0.5
    user = np.concatenate([user, payer, payer[ordered], exposed])
    leaf = np.concatenate([leaf, bought, bought[ordered], np.full(len(exposed), campaign(start, day).leaf)])
    channel = np.concatenate([channel, np.full(len(payer), PAY), np.full(int(ordered.sum()), APP), np.full(len(exposed), EXPOSURE)])
    text = texts_of(g, user, leaf, channel)
    second = np.clip(g.normal(15 * 3600, 4 * 3600, len(user)), 0, 86_399).astype(np.int64)
    amount = np.round(world().price[leaf] * p.budget[user] * np.exp(g.normal(0, 0.4, len(user))), 2)
    departments = np.array([spec["department"] for spec in world().raw["leaves"].values()])
    coarse = np.isin(channel, [PAY, APP])
    shown_as = np.where(channel == EXPOSURE, PAGE, channel)
    keep = np.flatnonzero(block * BLOCK + user < users)
    keep = keep[np.lexsort((keep, user[keep], second[keep]))]
    moment = int(midnight(start + dt.timedelta(days=day)).timestamp())
    time = pa.array((moment + second[keep]) * 1_000_000).cast(TIMESTAMP)
    ids = pc.binary_join_element_wise(
        f"user-{seed}", pc.utf8_lpad(pa.array(block * BLOCK + user[keep]).cast(pa.string()), 6, "0"), "-"
    )
    events = pa.table(
        {
            "user_id": ids,
            "event_time": time,
            "channel": pa.array(np.array(CHANNELS))[0:0].cast(pa.string())
            if not len(keep)
            else pa.array(np.array(CHANNELS)[shown_as[keep]]),
            "text": text.take(pa.array(keep)),
            "category": pa.array(departments[leaf[keep]], mask=~coarse[keep]),
            "amount": pa.array(amount[keep], mask=channel[keep] != PAY),
            "exposure": pa.array(channel[keep] == EXPOSURE),
            "event_id": pc.binary_join_element_wise(f"{day}.{block}", pa.array(np.arange(len(keep))).cast(pa.string()), "."),
        }
    )
    return events, leaf[keep], channel[keep]


def _outcomes(ids: pa.Array, time: pa.Array, leaf: np.ndarray, channel: np.ndarray) -> pa.Table:
    parts = []
    for spec in scenarios():
        hit = np.isin(leaf, [world().index[name] for name in spec["leaves"]]) & (channel == CHANNELS.index(spec["outcome"]))
        rows = pa.array(np.flatnonzero(hit))
        parts.append(
            pa.table(
                {
                    "user_id": ids.take(rows),
                    "scenario": pa.array([spec["scenario"]] * len(rows), pa.string()),
                    "event_time": time.take(rows),
                }
            )
        )
    return pa.concat_tables(parts)
