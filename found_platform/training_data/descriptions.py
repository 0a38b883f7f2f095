"""The description of a user's window as an expression: what the user did in it, in sentences, and which texts that were.

What belongs here: from the events of windows to sentences, said for any engine. What does not: which windows there are (`pairs`).
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false
# (an Ibis column's type is known only at run time)

import functools

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from found_platform import contract, engine
from found_platform.engine.portable import exact
from found_platform.training_data.templates import templates

KEYS = ("user_key", "event_timestamp")
ROWS = pa.schema(
    [
        ("cutoff", pa.date32()),
        ("user_key", pa.string()),
        ("fold", pa.int8()),
        ("event_timestamp", contract.TIMESTAMP),
        ("until", contract.TIMESTAMP),
    ]
)
"""Whose windows `[event_timestamp, until)` are described: the table `rows`."""

FUTURE = pa.schema(
    [
        ("user_key", pa.string()),
        ("event_timestamp", contract.TIMESTAMP),
        ("channel", pa.string()),
        ("text_id", pa.int64()),
        ("text", pa.string()),
        ("amount", pa.float64()),
        ("payment_method", pa.string()),
        ("returned", pa.string()),
    ]
)
"""The events of these windows: the table `future`. What was brought back has no channel, and its text in `returned`."""


@functools.cache
def descriptions(horizon_days: int) -> ir.Table:
    """`rows` with `description`, `item_text_ids` and `item_counts`, over `rows` and `future`."""
    content = templates()
    rows, future = engine.table_of("rows", ROWS), engine.table_of("future", FUTURE)
    sentences = [_sentences(future, i, kind, horizon_days, content["items"]) for i, kind in enumerate(content["kinds"].values())]
    described = (
        ibis.union(*sentences).group_by(*KEYS).agg(all=lambda t: ibis.struct({"kind": t.kind, "text": t.sentence}).collect())
    )
    described = described.select(*KEYS, description=described["all"].sort().map(lambda e: e.text).join(" "))
    items = future.filter(future.returned.isnull()).group_by(*KEYS, "text_id").agg(n=lambda t: t.count())
    items = items.group_by(*KEYS).agg(all=lambda t: ibis.struct({"place": -t.n, "id": t.text_id}).collect())
    items = items.mutate(all=items["all"].sort())
    items = items.select(*KEYS, ids=items["all"].map(lambda e: e.id), counts=items["all"].map(lambda e: -e.place))
    joined = rows.left_join(described, KEYS).drop(*(f"{k}_right" for k in KEYS))
    joined = joined.left_join(items, KEYS)
    nothing = ibis.literal([], type="array<int64>")
    return joined.select(
        *ROWS.names,
        description=joined.description.fill_null(content["nothing"].format(days=horizon_days)),
        item_text_ids=ibis.coalesce(joined.ids, nothing),
        item_counts=ibis.coalesce(joined.counts, nothing),
    )


def _sentences(future: ir.Table, kind: int, template: dict[str, str], horizon_days: int, most: int) -> ir.Table:
    """KEYS, kind and a sentence of the most frequent items of a kind, for each window that has any."""
    before, after = template["sentence"].format(days=horizon_days, items="\0").split("\0")
    if "channel" in template:
        events, item = future.filter(future.channel == template["channel"]), "text"
    else:
        item = template["column"]
        events = future.filter(future[item].notnull())
    counts = events.group_by(*KEYS, item=item).agg(n=lambda t: t.count(), spent=lambda t: exact(t.amount).sum().fill_null(0))
    # from most to least: struct fields sort one after the other, and the text in its own order
    ranked = counts.group_by(*KEYS).agg(
        all=lambda t: ibis.struct({"n": -t.n, "spent": -t.spent.cast("decimal(38, 6)"), "item": t["item"]}).collect()
    )
    names = ranked["all"].sort()[:most].map(lambda e: e.item).join(", ")
    return ranked.select(*KEYS, kind=ibis.literal(kind, "int64"), sentence=ibis.literal(before) + names + ibis.literal(after))
