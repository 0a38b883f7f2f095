"""Files: CSV or Parquet in a folder of this machine, of object storage (S3, Azure, Google) or behind SFTP, one for each delivery.

A file is called AUDIENCE-REFRESH-DELIVERY; beside it lies `….provenance.json`. In a delivery of changes, the column `change` says
who joined and who left. Options of object storage are those of delta-rs, as in source files.
"""

import datetime as dt
import hashlib
import io
import json
import posixpath
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from found_platform.audiences import export
from found_platform.audiences.receivers import CHANGES, NotTaken, Place, Shipment, check_options, hidden, sftp
from found_platform.errors import BadInput
from found_platform.privacy import actor

WRITERS = {"csv": csv.write_csv, "parquet": pq.write_table}
STORES = ("file", "s3", "s3a", "az", "abfs", "abfss", "gs", "sftp")
PATIENCE = {"connect_timeout": "10s", "max_retries": "2", "retry_timeout": "30s"}
"""How long a store may stay silent, unless the options say otherwise."""


def check(place: Place) -> None:
    """A folder that is there, or the address of a store."""
    check_store(place)


def check_store(place: Place, *options: str) -> None:
    """Raises BadInput for a store that files cannot be written to; `options` are those of the kind before it."""
    if place.scheme not in STORES:
        raise BadInput(f"{place.scheme}:// is no store that files can be written to: choose one of {', '.join(STORES)}.")
    if place.is_local:
        check_options(place, *options)
        place.local_folder()
    elif place.scheme == "sftp":
        check_options(place, *options, *sftp.OPTIONS)
        sftp.check(place)


def send(place: Place, shipment: Shipment) -> str:
    """Writes one file, the same again under the same name."""
    kind = place.address.partition("+")[0]
    content = io.BytesIO()
    WRITERS[kind](_table(shipment), content)
    write(place, f"{name_of(shipment)}.{kind}", content.getvalue(), shipment, place.opened())
    return ""


def name_of(shipment: Shipment) -> str:
    return f"{shipment.audience}-{shipment.refresh:04d}-{shipment.delivery}"


def write(place: Place, name: str, content: bytes, shipment: Shipment, options: dict[str, str]) -> None:
    """Puts a file into the place, and first the one that says where it comes from. Raises NotTaken."""
    about = {**shipment.about(), "file": name, "sha256": hashlib.sha256(content).hexdigest()}
    about |= {"delivered_at": f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}", "delivered_by": str(actor.current())}
    both = {f"{name}.provenance.json": json.dumps(about, indent=1).encode(), name: content}
    try:
        if place.is_local:
            folder = place.local_folder()
            for file, bytes_of_file in both.items():
                export.place(folder / file, bytes_of_file)
        elif place.scheme == "sftp":
            sftp.write(place, both, options)
        else:
            _to_store(place, both, options)
    except (OSError, ValueError, DeltaError, BadInput) as problem:
        raise NotTaken(hidden(str(problem), options)) from None


def _to_store(place: Place, files: dict[str, bytes], options: dict[str, str]) -> None:
    from deltalake._internal import DeltaFileSystemHandler  # what its handler for pyarrow wraps, which refuses pyarrow's buffers

    bucket, _, folder = place.store.partition("://")[2].partition("/")
    store = DeltaFileSystemHandler(f"{place.scheme}://{bucket}", {**PATIENCE, **options})
    for name, content in files.items():
        stream = store.open_output_stream(posixpath.join(folder.strip("/"), name), {})
        stream.write(content)
        stream.close()  # pyright: ignore[reportAttributeAccessIssue] (its stub lacks it)


def _table(shipment: Shipment) -> pa.Table:
    if shipment.content != CHANGES:
        return shipment.rows
    gone: dict[str, Any] = {"user_id": shipment.removed, "change": ["left"] * len(shipment.removed)}
    nullable = pa.schema([field.with_nullable(True) for field in shipment.rows.schema])  # who left has no score
    joined = shipment.rows.cast(nullable).append_column("change", pa.array(["joined"] * shipment.rows.num_rows, pa.string()))
    return pa.concat_tables(
        [joined, pa.table(gone, pa.schema({"user_id": pa.string(), "change": pa.string()}))], promote_options="default"
    )
