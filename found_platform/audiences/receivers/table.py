"""A Delta table, on this machine or on object storage, that holds the present members of audiences.

It has a row for each audience and user. A whole delivery replaces the rows of its audience, one of changes merges them, each in one
commit. Statistics of columns are off: the log of the table names nobody.
"""

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from found_platform.audiences.receivers import CHANGES, NotTaken, Place, Shipment, check_options, hidden
from found_platform.audiences.receivers.files import PATIENCE
from found_platform.errors import BadInput
from found_platform.lake import literal

STORES = ("file", "s3", "s3a", "az", "abfs", "abfss", "gs")
SCHEMA = pa.schema(
    {
        "audience": pa.string(),
        "user_id": pa.string(),
        "score": pa.float64(),
        "probability": pa.float64(),
        "refresh": pa.int64(),
        "as_of": pa.date32(),
        "model_version": pa.string(),
        "delivery": pa.string(),
    }
)


def check(place: Place) -> None:
    """A store that Delta tables can lie in."""
    if place.scheme not in STORES:
        raise BadInput(f"{place.scheme}:// is no store of Delta tables: choose one of {', '.join(STORES)}.")
    if place.is_local:
        check_options(place)
        Place(place.address.rpartition("/")[0], home=place.home).local_folder()


def send(place: Place, shipment: Shipment) -> str:
    """Replaces or merges the rows of the audience."""
    options = place.opened()
    uri, stored = place.store, {} if place.is_local else {**PATIENCE, **options}
    try:
        if not DeltaTable.is_deltatable(uri, storage_options=stored):
            configuration = {"delta.dataSkippingNumIndexedCols": "0"}
            DeltaTable.create(uri, SCHEMA, configuration=configuration, storage_options=stored, mode="ignore")
        table = DeltaTable(uri, storage_options=stored)
        if missing := [name for name in SCHEMA.names if name not in {field.name for field in table.schema().fields}]:
            raise NotTaken(f"the table has no column {missing[0]!r}: it is not one of audiences")
        if shipment.content == CHANGES:
            _merge(table, shipment)
        else:
            of_audience = f"audience = {literal(shipment.audience)}"
            write_deltalake(table, members(shipment), mode="overwrite", predicate=of_audience)
    except (OSError, ValueError, DeltaError) as problem:
        raise NotTaken(hidden(str(problem), options)) from None
    return ""


def members(shipment: Shipment) -> pa.Table:
    """The users of a shipment, as rows of such a table."""
    count = shipment.rows.num_rows
    fixed = {name: pa.array([value] * count, SCHEMA.field(name).type) for name, value in row(shipment).items()}
    columns = {name: shipment.rows[name] for name in ("user_id", "score", "probability")}
    return pa.table({**fixed, **columns}).select(SCHEMA.names).cast(SCHEMA)


def row(shipment: Shipment) -> dict[str, object]:
    """What is the same in every row of a shipment."""
    about = shipment.about() | {"as_of": shipment.as_of}
    return {name: about[name] for name in ("audience", "refresh", "as_of", "model_version", "delivery")}


def _merge(table: DeltaTable, shipment: Shipment) -> None:
    gone = pa.table({"audience": [shipment.audience] * len(shipment.removed), "user_id": shipment.removed})
    rows = members(shipment).append_column("gone", pa.array([False] * shipment.rows.num_rows, pa.bool_()))
    rows = pa.concat_tables(
        [rows, gone.append_column("gone", pa.array([True] * gone.num_rows, pa.bool_()))], promote_options="default"
    )
    merge = table.merge(rows, "t.audience = s.audience AND t.user_id = s.user_id", source_alias="s", target_alias="t")
    columns = {name: f"s.{name}" for name in SCHEMA.names}
    merge = merge.when_matched_delete("s.gone").when_matched_update(columns, "NOT s.gone")
    merge.when_not_matched_insert(columns, "NOT s.gone").execute()
