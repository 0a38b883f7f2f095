"""Texts encoded by the workers of an engine: those that are not cached yet, sharded by their ids, one commit a shard.

What belongs here: what a worker is sent, and which texts. What does not: what is cached of a text, and encoding in this process
(`text_vectors`), where a model's own tower encodes too.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from found_platform import engine, lake
from found_platform.lake import Written, literal
from found_platform.settings import Settings
from found_platform.training_data import text_vectors

SHARD = 1_000_000
"""Texts of a commit, about: an interrupted run goes on after the last of them."""


@dataclass(frozen=True)
class TextWorker:
    """A function of batches of texts (text_id, text) that an engine sends to its workers: their rows of the cache come back."""

    encoder: str
    revision: str
    batch: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        encoder = text_vectors.encoder(self.encoder)
        for batch in batches:
            for start in range(0, batch.num_rows, text_vectors.CHUNK):
                texts = batch.slice(start, text_vectors.CHUNK)
                vectors = encoder.encode(texts["text"].to_pylist(), self.batch)
                yield text_vectors.rows_of(self.revision, texts["text_id"], vectors).to_batches()[0]


def encode(settings: Settings, cutoff: dt.date) -> tuple[Written, int]:
    """As `text_vectors.encode` with the encoder of the settings, on the engine that is set."""
    timer = lake.Timer()
    table, schema = text_vectors.TABLE, text_vectors.SCHEMA
    versions = {"behavior_text": lake.version(settings.lake, "behavior_text")}
    revision = text_vectors.encoder(settings.text_encoder).revision
    with contextlib.closing(engine.of(settings)) as opened:
        opened.table("behavior_text", versions["behavior_text"])
        if lake.exists(settings.lake, table):
            opened.table(table)
            opened.view("cached", f"SELECT text_id FROM {table} WHERE encoder_revision = {literal(revision)}")
        else:
            opened.view("cached", "SELECT text_id FROM behavior_text WHERE 1 = 0")
        opened.view(
            "texts", f"SELECT text_id, min(text) AS text FROM behavior_text WHERE event_date < DATE '{cutoff}' GROUP BY text_id"
        )
        opened.view("missing", "SELECT t.* FROM texts t LEFT JOIN cached c ON t.text_id = c.text_id WHERE c.text_id IS NULL")
        texts, new = (opened.read(f"SELECT count(*) AS n FROM {v}").read_all()["n"][0].as_py() for v in ("texts", "missing"))
        shards = -(-new // SHARD)
        worker = TextWorker(settings.text_encoder, revision, settings.sizes.encode_batch)
        for shard in range(shards):
            opened.map(
                f"SELECT * FROM missing WHERE ((text_id % {shards}) + {shards}) % {shards} = {shard}", worker, schema, "encoded"
            )
            opened.append(settings.lake, table, "SELECT * FROM encoded", schema=schema, partition_by=("encoder_revision",))
    version = lake.version(settings.lake, table) if lake.exists(settings.lake, table) else -1
    return Written(table, version, texts, lake.size(settings.lake, table) if version >= 0 else 0, timer.seconds, versions), new
