"""The training set of a cutoff: what the feature service knew of every user at several past cutoffs t1.

Every t1 lies at least one horizon before the cutoff, so that the future window `[t1, t1 + horizon)` ends by then.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false
# (an Ibis column's type is known only at run time)

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pad

from found_platform import contract, lake, row_hash, spill
from found_platform.contract import midnight
from found_platform.errors import BadInput
from found_platform.feature_store import access
from found_platform.lake import Written
from found_platform.settings import Settings
from found_platform.sources import config as source_config

if TYPE_CHECKING:
    import ibis.expr.types as ir

TABLE = "training_set"


def past_cutoffs(settings: Settings, cutoff: dt.date) -> list[dt.date]:
    """The t1 of a cutoff's training set, newest first. Raises BadInput when the data before the cutoff is too short."""
    start = source_config.of_home(settings).days[0]
    newest = cutoff - dt.timedelta(days=settings.horizon_days)
    # a horizon as long as the training days leaves one past cutoff: the newest
    oldest = max(start, min(cutoff - dt.timedelta(days=settings.training_days), newest - dt.timedelta(days=1)))
    count = max(0, -(-(newest - oldest).days // settings.grid_days))
    if count == 0:
        raise BadInput(
            f"The cutoff {cutoff} leaves less than {settings.horizon_days} days of future after any past day with data "
            f"(the data starts on {start}): choose a later --cutoff."
        )
    return [newest - dt.timedelta(days=i * settings.grid_days) for i in range(count)]


PART = 262_144
"""Rows of the training set whose histories are read at once: bounds memory. Each part looks through the keys of all days again."""


def users_seen(settings: Settings, moment: dt.date) -> pa.Table:
    """user_key and fold of every user known by 00:00 of `moment`: with an event before, arrived by then; in key order."""
    return users_seen_reader(settings, moment, PART).read_all()


def users_seen_reader(settings: Settings, moment: dt.date, rows: int) -> pa.RecordBatchReader:
    """The same, at most `rows` users at a time."""
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "events", settings.lake, "raw_events")
    query = "SELECT user_key, min(fold) AS fold FROM events WHERE event_date < ? AND arrived_at <= ? GROUP BY 1 ORDER BY 1"
    return con.execute(query, [moment, midnight(moment)]).to_arrow_reader(rows)


def build(settings: Settings, cutoff: dt.date) -> Written:
    """Retrieves the training set and writes its partition: through Feast in this process, or on the engine that is set."""
    timer = lake.Timer()
    versions = {view: lake.version(settings.lake, view) for view in access.VIEWS}
    write = _through_feast if settings.engine == "duckdb" else _on_engine
    version = write(settings, cutoff, versions)
    hashes = row_hash.by_key(settings.lake, TABLE, "cutoff", pad.field("cutoff") == cutoff)
    size = lake.size_by(settings.lake, TABLE, "cutoff").get(str(cutoff), 0)
    if str(cutoff) not in hashes:
        raise BadInput(
            f"No user has an event a horizon ({settings.horizon_days} days) before the cutoff {cutoff}: choose a later --cutoff."
        )
    return Written(TABLE, version, hashes[str(cutoff)][0], size, timer.seconds, versions, hashes)


def _through_feast(settings: Settings, cutoff: dt.date, versions: dict[str, int]) -> int:
    read = access.histories(settings, versions)
    target = schema(settings)

    def batches() -> Iterator[pa.RecordBatch]:
        for spine in _spine(settings, cutoff):
            folds, rows_read = spine["fold"].combine_chunks(), 0
            for batch in read(spine["user_key"].to_pylist(), spine["moment"].to_pylist()):
                day = pa.array([cutoff] * batch.num_rows, pa.date32())
                fold = folds.slice(rows_read, batch.num_rows)
                yield pa.record_batch([day, batch["user_key"], fold, *batch.columns[1:]], schema=target)
                rows_read += batch.num_rows

    # what is written to a Delta table must not open another, as each part does
    with spill.read_again(settings.home / "tmp", pa.RecordBatchReader.from_batches(target, batches()), lake.LONG_ROWS) as rows:
        return lake.replace(settings.lake, TABLE, rows, schema=target, **_slice(cutoff))


def _spine(settings: Settings, cutoff: dt.date) -> Iterator[pa.Table]:
    """user_key, fold and moment of every row of a training set, newest t1 first and then by user, PART rows at a time."""
    rest: list[pa.Table] = []
    for t1 in past_cutoffs(settings, cutoff):
        for batch in users_seen_reader(settings, t1, PART):
            moment = pa.array([midnight(t1)] * batch.num_rows, contract.TIMESTAMP)
            rest.append(pa.table({"user_key": batch["user_key"], "fold": batch["fold"].cast(pa.int8()), "moment": moment}))
            while sum(table.num_rows for table in rest) >= PART:
                whole = pa.concat_tables(rest)
                yield whole.slice(0, PART)
                rest = [whole.slice(PART)]
    if sum(table.num_rows for table in rest):
        yield pa.concat_tables(rest)


def _on_engine(settings: Settings, cutoff: dt.date, versions: dict[str, int]) -> int:
    from found_platform import engine  # it brings Ibis, which look-ups do without

    with contextlib.closing(engine.of(settings)) as opened:
        for table, version in {**versions, "raw_events": lake.version(settings.lake, "raw_events")}.items():
            opened.table(table, version)
        cutoffs = past_cutoffs(settings, cutoff)
        moments = pa.array([midnight(t1) for t1 in cutoffs], contract.TIMESTAMP)
        opened.rows("asked", pa.table({"cutoff": [cutoff] * len(cutoffs), "day": cutoffs, "moment": moments}))
        return opened.replace(settings.lake, TABLE, expression(settings), schema=schema(settings), **_slice(cutoff))


def expression(settings: Settings) -> "ir.Table":
    """The training set of the moments `asked` (cutoff, day, moment), over `raw_events` and the tables of the feature views."""
    from found_platform import engine

    events, moments = engine.table_of("raw_events", contract.EVENTS), engine.table_of("asked", ASKED)
    first = events.group_by("user_key", "event_date").agg(arrived=events.arrived_at.min(), fold=events.fold.min())
    seen = first.join(moments, [first.event_date < moments.day, first.arrived <= moments.moment])
    spine = seen.group_by("cutoff", "user_key", "moment").agg(fold=seen.fold.min())
    return access.history_expression(settings, spine).rename(event_timestamp="moment")


ASKED = pa.schema([("cutoff", pa.date32()), ("day", pa.date32()), ("moment", contract.TIMESTAMP)])


def schema(settings: Settings) -> pa.Schema:
    """That of the training set, from that of histories."""
    first, *others = access.schema(settings)
    return pa.schema([pa.field("cutoff", pa.date32()), first, pa.field("fold", pa.int8()), *others])


def _slice(cutoff: dt.date) -> dict[str, Any]:
    """The part of the table that a cutoff replaces."""
    return {"partition_by": ("cutoff",), "predicate": f"cutoff = '{cutoff.isoformat()}'"}
