"""Writes the files of a cutoff that a training process reads, `HOME/training/CUTOFF/data`: see `found_platform.training.data`.

Rows go from the lake into the files a block at a time, in the order of the files: memory holds the texts, and none of everybody.
"""

import contextlib
import datetime as dt
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from found_platform import contract, lake, mapped
from found_platform.contract import HELD_OUT_FOLD
from found_platform.errors import BadInput
from found_platform.lake import quote
from found_platform.settings import Settings
from found_platform.training_data import histories, text_vectors
from found_platform.training_data.histories import Texts

if TYPE_CHECKING:
    from models.table_codec import Column

ORDER = [("event_timestamp", "descending"), ("user_key", "ascending")]
SORTED = "ORDER BY event_timestamp DESC, user_key"

ROWS = 8192
"""Rows of a block: with lists of full length some 60 MB."""


def folder(settings: Settings, cutoff: dt.date) -> Path:
    """Where everything that training makes for a cutoff lies."""
    return settings.home / "training" / str(cutoff)


def write(settings: Settings, cutoff: dt.date) -> Path:
    """Writes the files anew, from the training set, its pairs and the text vectors. Returns their folder.

    What is fitted (codes of the table, counts of the texts) is fitted without the held-out fold.
    """
    with contextlib.closing(lake.connect(settings.duckdb_memory, temp=settings.home / "tmp")) as con:
        for table in ("training_set", "user_text_pairs"):
            lake.view(con, f"all_{table}", settings.lake, table)
            con.execute(f"CREATE TEMP VIEW {table} AS SELECT * EXCLUDE (cutoff) FROM all_{table} WHERE cutoff = DATE '{cutoff}'")
        con.execute(f"CREATE TEMP VIEW learning AS FROM training_set WHERE fold <> {HELD_OUT_FOLD}")
        if not con.execute("SELECT 1 FROM learning LIMIT 1").fetchall():
            raise BadInput(f"All users known before {cutoff} are in the held-out fold: a model needs others too, bring more users.")
        encoder = text_vectors.encoder(settings.text_encoder)
        before = text_vectors.texts_before(settings, cutoff)
        texts = text_vectors.load(settings, encoder.revision, before["text_id"].to_numpy())
        columns = _columns(con, contract.profile_schema(settings.home))
        target = folder(settings, cutoff)
        building = target / "data.partial"
        shutil.rmtree(building, ignore_errors=True)
        (building / "columns").mkdir(parents=True)
        _write_texts(con, building, texts)
        _write_rows(con, building, texts, columns, settings.lookback_days)
    shutil.rmtree(building / "columns")
    (building / "texts.json").write_text(json.dumps(before["text"].to_pylist()))
    events = int(sum(before["events"].to_pylist()))
    about = {
        "cutoff": str(cutoff),
        "encoder": settings.text_encoder,
        "encoder_revision": encoder.revision,
        "text_dim": texts.vectors.shape[1],
        "activity": len(contract.ACTIVITY_FEATURES),
        "columns": [vars(c) for c in columns],
        "events_before": events,
    }
    (building / "data.json").write_text(json.dumps(about, indent=1))
    shutil.rmtree(target / "data", ignore_errors=True)
    building.rename(target / "data")
    return target / "data"


def _columns(con: duckdb.DuckDBPyConnection, attributes: pa.Schema) -> "tuple[Column, ...]":
    """The codes of the table, fitted on the training rows: numbers as one array at a time, of other columns the most frequent."""
    from models import table_codec

    def column(field: pa.Field) -> "np.ndarray | Counter":
        name = quote(field.name)
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
            numbers = con.execute(f"SELECT {name}::DOUBLE AS n FROM learning WHERE {name} IS NOT NULL").to_arrow_table()
            return numbers["n"].to_numpy()
        most = f"SELECT {name}, count(*) FROM learning WHERE {name} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
        return Counter(dict(con.execute(f"{most} LIMIT {table_codec.VALUES}").fetchall()))

    return tuple(column_codes for field in attributes for column_codes in table_codec.fit({field.name: column(field)}))


def _write_texts(con: duckdb.DuckDBPyConnection, building: Path, texts: Texts) -> None:
    """texts.safetensors: the vectors, and how many users of the training folds have each text."""
    from safetensors.numpy import save_file

    rows = con.execute(
        "SELECT text_id, count(*) AS users FROM (SELECT DISTINCT user_key, text_id FROM ("
        "SELECT user_key, text_id FROM (SELECT user_key, unnest(text_ids) AS text_id, unnest(exposures) AS exposed FROM learning) "
        "WHERE exposed::INTEGER = 0 UNION ALL SELECT user_key, unnest(search_text_ids) FROM learning)) GROUP BY 1"
    ).to_arrow_table()
    counts = np.zeros(len(texts.ids), np.int64)
    counts[texts.rows(rows["text_id"].to_numpy())] = rows["users"].to_numpy()
    save_file({"vectors": texts.vectors, "counts": counts}, building / "texts.safetensors")


def _write_rows(
    con: duckdb.DuckDBPyConnection, building: Path, texts: Texts, columns: "Sequence[Column]", lookback_days: int
) -> None:
    """rows.safetensors, and the descriptions; a column that grows is a file until all are put together."""
    con.execute(
        "CREATE TEMP TABLE owners AS SELECT user_key, row_number() OVER (ORDER BY user_key) - 1 AS _owner "
        "FROM (SELECT DISTINCT user_key FROM training_set)"
    )
    digests = hashlib.sha256(), hashlib.sha256()
    with _Columns(building / "columns") as files:
        query = f"SELECT t.*, _owner FROM training_set t JOIN owners USING (user_key) {SORTED}"
        for rows in _tables(con, query):
            digests[0].update("\n".join(rows["user_key"].to_pylist()).encode() + b"\n")
            flat = histories.events(rows, texts)
            for name, values in flat.items():
                files.append(name, values)
            files.append("cells", histories.cells(rows, columns).astype(np.int16))
            files.append("activity", histories.activity(rows, lookback_days))
            files.append("owner", rows["_owner"].to_numpy().astype(np.int64))
            files.append("fold", rows["fold"].to_numpy().astype(np.int8))
        with (building / "descriptions.json").open("w") as descriptions:
            separator = "["
            for pairs in _tables(con, f"FROM user_text_pairs {SORTED}"):
                digests[1].update("\n".join(pairs["user_key"].to_pylist()).encode() + b"\n")
                items, counts = histories.flatten(pairs["item_text_ids"])
                weights, _ = histories.flatten(pairs["item_counts"])
                files.append("item_text", texts.rows(items).astype(np.int32))
                files.append("item_weight", weights.astype(np.float32))
                files.append("item_counts", counts)
                descriptions.write(separator + json.dumps(pairs["description"].to_pylist())[1:-1])
                separator = ", "
            descriptions.write("]")
    assert digests[0].digest() == digests[1].digest(), "the training set and its pairs are of other rows"
    mapped.save_tensors(building / "rows.safetensors", files.paths)


def _tables(con: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.Table]:
    """What a query gives, a block at a time."""
    return (pa.table(batch) for batch in con.execute(query).to_arrow_reader(ROWS) if batch.num_rows)


class _Columns(contextlib.ExitStack):
    """Columns of rows that grow by blocks, each a `.npy` file in a folder; `paths` are theirs by name."""

    def __init__(self, folder: Path):
        super().__init__()
        self._folder = folder
        self._files: dict[str, mapped.ArrayFile] = {}
        self.paths: dict[str, Path] = {}

    def append(self, name: str, values: np.ndarray) -> None:
        if name not in self._files:
            self.paths[name] = self._folder / f"{name}.npy"
            self._files[name] = self.enter_context(mapped.ArrayFile(self.paths[name], values.dtype, values.shape[1:]))
        self._files[name].append(values)
