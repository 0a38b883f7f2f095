"""Writes the files of a cutoff that a training process reads, `HOME/training/CUTOFF/data`: see `found_platform.training.data`.

Rows go from the lake into files of some thousand each (`row_files`), on the engine that is set: memory holds the texts, and one
file's rows.
"""

import contextlib
import datetime as dt
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from found_platform import contract, lake
from found_platform.contract import HELD_OUT_FOLD
from found_platform.errors import BadInput
from found_platform.lake import quote
from found_platform.settings import Settings
from found_platform.training_data import pairs, row_files, text_vectors, training_set
from found_platform.training_data.row_files import PREFIX

if TYPE_CHECKING:
    from models.table_codec import Column


def folder(settings: Settings, cutoff: dt.date) -> Path:
    """Where everything that training makes for a cutoff lies."""
    return settings.home / "training" / str(cutoff)


def write(settings: Settings, cutoff: dt.date) -> Path:
    """Writes the files anew, from the training set, its pairs and the text vectors. Returns their folder.

    What is fitted (codes of the table, counts of the texts) is fitted without the held-out fold.
    """
    from safetensors.numpy import save_file

    encoder = text_vectors.encoder(settings.text_encoder)
    before = text_vectors.texts_before(settings, cutoff)
    texts = text_vectors.load(settings, encoder.revision, before["text_id"].to_numpy())
    columns = _columns(settings, cutoff)
    target = folder(settings, cutoff)
    building = target / "data.partial"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    np.save(building / "text_ids.npy", texts.ids)
    counts = _write_rows(settings, cutoff, building, columns, len(texts.ids))
    (building / "text_ids.npy").unlink()
    save_file({"vectors": texts.vectors, "counts": counts}, building / "texts.safetensors")
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


def _columns(settings: Settings, cutoff: dt.date) -> "tuple[Column, ...]":
    """The codes of the table, fitted on the training rows: numbers as one array at a time, of other columns the most frequent.

    Raises BadInput where there are no training rows.
    """
    from models import table_codec

    attributes = contract.profile_schema(settings.home)
    with contextlib.closing(lake.connect(settings.duckdb_memory, temp=settings.home / "tmp")) as con:
        lake.view(con, "training_set", settings.lake, "training_set")
        con.execute(f"CREATE TEMP VIEW learning AS FROM training_set WHERE cutoff = DATE '{cutoff}' AND fold <> {HELD_OUT_FOLD}")
        if not con.execute("SELECT 1 FROM learning LIMIT 1").fetchall():
            raise BadInput(f"All users known before {cutoff} are in the held-out fold: a model needs others too, bring more users.")

        def column(field: pa.Field) -> "np.ndarray | Counter":
            name = quote(field.name)
            if pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
                numbers = con.execute(f"SELECT {name}::DOUBLE AS n FROM learning WHERE {name} IS NOT NULL").to_arrow_table()
                return numbers["n"].to_numpy()
            most = f"SELECT {name}, count(*) FROM learning WHERE {name} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
            return Counter(dict(con.execute(f"{most} LIMIT {table_codec.VALUES}").fetchall()))

        return tuple(column_codes for field in attributes for column_codes in table_codec.fit({field.name: column(field)}))


def _write_rows(settings: Settings, cutoff: dt.date, building: Path, columns: "tuple[Column, ...]", texts: int) -> np.ndarray:
    """The files of rows, on the engine that is set. Returns (T,) how many users of the training folds have each text."""
    from found_platform import engine  # it brings Ibis, which look-ups do without

    with contextlib.closing(engine.of(settings)) as opened:
        for table in ("training_set", pairs.TABLE):
            opened.table(table)
        of_cutoff = f"cutoff = DATE '{cutoff}'"
        prefixes = opened.read(
            f"SELECT {PREFIX} AS prefix, count(*) AS rows, count(DISTINCT user_key) AS users FROM training_set WHERE {of_cutoff} "
            f"GROUP BY {PREFIX}"
        ).read_all()
        opened.rows("files", row_files.planned(prefixes))
        opened.view(
            "rows",
            "SELECT t.*, p.description, p.item_text_ids, p.item_counts, f.file, f.first_owner FROM training_set t "
            f"JOIN {pairs.TABLE} p ON t.user_key = p.user_key AND t.event_timestamp = p.event_timestamp AND p.{of_cutoff} "
            f"JOIN files f ON {PREFIX.replace('user_key', 't.user_key')} = f.prefix WHERE t.{of_cutoff}",
        )
        schema = pa.schema(
            [
                *training_set.schema(settings),
                *(pairs.SCHEMA.field(name) for name in ("description", "item_text_ids", "item_counts")),
                pa.field("file", pa.int64()),
                pa.field("first_owner", pa.int64()),
            ]
        )
        write = row_files.RowFile(building, schema, columns, settings.lookback_days)
        opened.map_groups("SELECT * FROM rows", "file", write, row_files.WRITTEN, "written")
        rows, counts = row_files.totals(opened.read("SELECT * FROM written"), texts)
    if rows != sum(prefixes["rows"].to_pylist()):
        raise RuntimeError("The training set and its pairs are of other rows: materialise `user_text_pairs` again.")
    return counts
