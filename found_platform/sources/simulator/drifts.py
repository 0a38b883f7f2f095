"""Named drifts: what can go wrong with a source from a day on, for monitoring to catch. The truth stays what it was.

A drift changes the day's rows after they were made, so that without drifts every row is the same as with them until their day.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

BOTS = 0.01  # share of users
BOT_PAGES = 40  # a day
UNITS = 100.0  # cents for euros
PRICES = 1.35
REPLACED = 0.5


def _set(events: pa.Table, column: str, values: pa.ChunkedArray | pa.Array) -> pa.Table:
    return events.set_column(events.column_names.index(column), column, values)


def _chosen(events: pa.Table, share: float) -> pa.Array:
    """A fixed share of the users, by the last digits of their id."""
    digits = pc.cast(pc.utf8_slice_codeunits(events["user_id"], -3), pa.int64())
    return pc.less(digits, int(share * 1000))


def new_product_line(events: pa.Table) -> pa.Table:
    """Half of what is bought and looked at carries a brand that was never seen before."""
    rng = np.random.default_rng(events.num_rows)
    new = pc.and_(pa.array(rng.random(events.num_rows) < REPLACED), pc.invert(events["exposure"]))
    return _set(events, "text", pc.if_else(new, pc.binary_join_element_wise("Zephyra", events["text"], " "), events["text"]))


def dead_channel(events: pa.Table) -> pa.Table:
    """Searches no longer arrive."""
    return events.filter(pc.not_equal(events["channel"], "search"))


def shifted_population(events: pa.Table) -> pa.Table:
    """Half of the users fall silent: another half is left."""
    return events.filter(pc.invert(_chosen(events, 0.5)))


def broken_units(events: pa.Table) -> pa.Table:
    """Amounts come in cents."""
    return _set(events, "amount", pc.multiply(events["amount"], UNITS))


def changed_prices(events: pa.Table) -> pa.Table:
    """Everything costs a third more."""
    return _set(events, "amount", pc.round(pc.multiply(events["amount"], PRICES), 2))


def bot_traffic(events: pa.Table) -> pa.Table:
    """A hundredth of the users load pages all day long."""
    pages = events.filter(pc.and_(_chosen(events, BOTS), pc.invert(events["exposure"])))
    pages = _set(pages, "channel", pa.array(["spm"] * pages.num_rows, pa.string()))
    pages = _set(pages, "amount", pa.nulls(pages.num_rows, pa.float64()))
    copies = []
    for i in range(BOT_PAGES):
        copies.append(_set(pages, "event_id", pc.binary_join_element_wise(pages["event_id"], f"bot{i}", ".")))
    return pa.concat_tables([events, *copies])


DRIFTS: dict[str, Callable[[pa.Table], pa.Table]] = {
    f.__name__: f for f in (new_product_line, dead_channel, shifted_population, broken_units, changed_prices, bot_traffic)
}
