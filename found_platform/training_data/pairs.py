"""`user_text_pairs`: for every row of a training set, what the user did in the window after it, in sentences (FOUND, equation 4).

The user side ends before t1; the description is of `[t1, t1 + horizon)`, which ends by the cutoff. What was done to the user
(exposures) is no part of it, nor what arrived only after the cutoff.
"""

import datetime as dt
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pad
import yaml
from tqdm import tqdm

from found_platform import lake
from found_platform.channels import channels
from found_platform.contract import RETURN, TIMESTAMP, midnight
from found_platform.lake import Written
from found_platform.settings import Settings

TABLE = "user_text_pairs"
RETURNED = f"(e.status IS NOT DISTINCT FROM '{RETURN}')"
"""In SQL: whether an event brings back what was bought: told as that, and as nothing else."""
PART = 32_768
"""Rows described at once: bounds memory. Each part reads the events of its windows again."""

SCHEMA = pa.schema(
    [
        pa.field("cutoff", pa.date32(), nullable=False),
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("fold", pa.int8(), nullable=False),
        pa.field("event_timestamp", TIMESTAMP, nullable=False),
        pa.field("until", TIMESTAMP, nullable=False),
        pa.field("description", pa.string(), nullable=False),
        pa.field("item_text_ids", pa.list_(pa.int64()), nullable=False),
        pa.field("item_counts", pa.list_(pa.int64()), nullable=False),
    ]
)
"""One row a row of the training set. `event_timestamp` is t1, `until` the end of the window; `item_text_ids` are the texts of the
window, the most frequent first, with how many events carry each."""


@cache
def templates() -> dict[str, Any]:
    """The sentences: `kinds` of the channels, then of columns, as `templates.yaml` has these; `nothing`, and how many `items`."""
    content = yaml.safe_load((resources.files("found_platform.training_data") / "templates.yaml").read_text())
    kinds = {channel.kind: {"channel": channel.name, "sentence": channel.sentence} for channel in channels()}
    return {**content, "kinds": {**kinds, **content["columns"]}}


def build(settings: Settings, cutoff: dt.date) -> Written:
    """Writes the pairs of a cutoff's training set, in one commit."""
    timer = lake.Timer()
    versions = {t: lake.version(settings.lake, t) for t in ("training_set", "raw_events")}
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "spine", settings.lake, "training_set", versions["training_set"])
    lake.view(con, "events", settings.lake, "raw_events", versions["raw_events"])
    con.execute(
        "CREATE TEMP TABLE rows AS SELECT cutoff, user_key, fold, event_timestamp, "
        "event_timestamp + to_days(CAST($horizon AS INTEGER)) AS until, "
        "(row_number() OVER (ORDER BY event_timestamp DESC, user_key) - 1) // $part AS part FROM spine WHERE cutoff = $cutoff",
        {"cutoff": cutoff, "horizon": settings.horizon_days, "part": PART},
    )
    version = lake.replace(
        settings.lake,
        TABLE,
        pa.RecordBatchReader.from_batches(SCHEMA, _described(con, settings.horizon_days, cutoff)),
        schema=SCHEMA,
        partition_by=("cutoff",),
        predicate=f"cutoff = '{cutoff.isoformat()}'",
    )
    hashes = lake.row_hashes(settings.lake, TABLE, "cutoff", pad.field("cutoff") == cutoff)
    size = lake.size_by(settings.lake, TABLE, "cutoff").get(str(cutoff), 0)
    return Written(TABLE, version, hashes[str(cutoff)][0], size, timer.seconds, versions, hashes)


def _described(con: duckdb.DuckDBPyConnection, horizon_days: int, cutoff: dt.date) -> Iterator[pa.RecordBatch]:
    """The pairs of `rows`, a part after the other, from `events`; newest t1 first, then by user."""
    query, values = _descriptions(horizon_days)
    parts = con.execute("SELECT part, min(event_timestamp), max(until) FROM rows GROUP BY 1 ORDER BY 1").fetchall()
    for part, first, last in tqdm(parts, desc=TABLE, unit="part", disable=None, leave=False):
        con.execute(
            "CREATE OR REPLACE TEMP TABLE future AS "
            f"SELECT r.user_key, r.event_timestamp, CASE WHEN {RETURNED} THEN NULL ELSE channel END AS channel, "
            f"text_id, text, amount, "
            f"CASE WHEN NOT {RETURNED} THEN payment_method END AS payment_method, CASE WHEN {RETURNED} THEN text END AS returned "
            "FROM rows r JOIN events e ON e.user_key = r.user_key AND e.event_time >= r.event_timestamp AND e.event_time < r.until "
            "WHERE r.part = $part AND NOT e.exposure AND e.event_date BETWEEN $first AND $last AND e.event_date < $cutoff "
            "AND e.arrived_at <= $known AND r.until <= $known",
            {"part": part, "first": first.date(), "last": last.date(), "cutoff": cutoff, "known": midnight(cutoff)},
        )
        for batch in con.execute(query, {**values, "part": part}).to_arrow_reader():
            yield batch.cast(SCHEMA)


def _descriptions(horizon_days: int) -> tuple[str, dict[str, Any]]:
    """The query that describes the `future` of a part of `rows`, and its parameters but `part`."""
    content = templates()
    sentences, values = [], {"items": content["items"], "nothing": content["nothing"].format(days=horizon_days)}
    for i, kind in enumerate(content["kinds"].values()):
        values[f"before{i}"], values[f"after{i}"] = kind["sentence"].format(days=horizon_days, items="\0").split("\0")
        item, where = ("text", f"channel = $kind{i}") if "channel" in kind else (kind["column"], f"{kind['column']} IS NOT NULL")
        if "channel" in kind:
            values[f"kind{i}"] = kind["channel"]
        sentences.append(
            f"SELECT user_key, event_timestamp, {i} AS kind, "
            f"$before{i} || string_agg(item, ', ' ORDER BY n DESC, spent DESC, item) || $after{i} AS sentence FROM ("
            "SELECT *, row_number() OVER (PARTITION BY user_key, event_timestamp ORDER BY n DESC, spent DESC, item) AS place FROM ("
            f"SELECT user_key, event_timestamp, {item} AS item, count(*) AS n, coalesce(sum(amount), 0) AS spent FROM future "
            f"WHERE {where} GROUP BY 1, 2, 3)) WHERE place <= $items GROUP BY 1, 2"
        )
    query = (
        f"WITH sentences AS ({' UNION ALL '.join(sentences)}), "
        "told AS (SELECT user_key, event_timestamp, string_agg(sentence, ' ' ORDER BY kind) AS description "
        "FROM sentences GROUP BY 1, 2), "
        "items AS (SELECT user_key, event_timestamp, list(text_id ORDER BY n DESC, text_id) AS ids, "
        "list(n ORDER BY n DESC, text_id) AS ns "
        "FROM (SELECT user_key, event_timestamp, text_id, count(*) AS n FROM future WHERE returned IS NULL GROUP BY "
        "1, 2, 3) GROUP BY 1, 2) "
        "SELECT r.cutoff, r.user_key, r.fold, r.event_timestamp, r.until, coalesce(description, $nothing) AS description, "
        "coalesce(ids, []) AS item_text_ids, coalesce(ns, []) AS item_counts FROM rows r "
        "LEFT JOIN told USING (user_key, event_timestamp) LEFT JOIN items USING (user_key, event_timestamp) "
        "WHERE r.part = $part ORDER BY r.event_timestamp DESC, r.user_key"
    )
    return query, values
