"""Bounds of files of data that a person brings: what a file may unpack to, how long a line of it may be, what kind of file it is.

What belongs here: whatever must hold before an engine or a library reads a file, so that none can hang the process or fill its
memory and the disk. What does not: what is in the file (`sources`, `privacy.user_files`), and documents (`documents`).
"""

import gzip
import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from found_platform.errors import BadInput

HARMLESS_BYTES = 256 << 20
"""A packed file that unpacks to no more is read, however small it is."""
MOST_TIMES = 200
"""Above that, how many times its size a file may unpack to. Logs of events shrink to a fifth or a tenth, zeros to a thousandth."""
MOST_ROWS_A_BYTE = 100
"""Of a Parquet file: a row of which only the time differs takes more than a byte, equal rows take next to nothing."""
HARMLESS_ROWS = 20_000_000
BLOCK = 16 << 20
"""A line may have no more bytes: a block of a file as long has a line end in it."""
AT_ONCE = 1 << 16
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
"""By the end of a name, what DuckDB calls the compression."""
LINE_ENDS = (b"\n", b"\r")


def check_regular(file: Path, what: str = "") -> None:
    """Raises BadInput for what is no file of bytes: a pipe or a device may have no end, or wait for ever."""
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError):
        return  # whoever opens it says what is wrong
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise BadInput(f"{what}{file} is a pipe or a device, not a file: write what it gives into a file, and name that.")


def compression(file: Path) -> str:
    """The DuckDB name of a file's compression, by its ending."""
    return COMPRESSIONS.get(file.suffix.lower(), "none")


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """The bytes of a file without its compression."""
    packed = compression(file)
    if packed == "gzip":
        with gzip.open(file, "rb") as stream:
            yield stream  # pyright: ignore[reportReturnType]
    elif packed == "zstd":
        with pa.input_stream(str(file), compression="zstd") as stream:
            yield io.BufferedReader(stream)  # pyright: ignore[reportArgumentType] (it reads lines, an Arrow stream does not)
    else:
        with file.open("rb") as stream:
            yield stream


def unpacked(data: bytes) -> bytes:
    """What bytes of gzip unpack to, in memory. Raises OSError where that is out of bounds."""
    most = max(HARMLESS_BYTES, MOST_TIMES * len(data))
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise OSError(f"it unpacks to more than {most:,} bytes")
    return content


def entries(archive: zipfile.ZipFile, size: int) -> list[zipfile.ZipInfo]:
    """The entries of a ZIP archive of so many bytes. Raises OSError where they unpack to more than is within bounds."""
    most, listed = max(HARMLESS_BYTES, MOST_TIMES * size), archive.infolist()
    if sum(entry.file_size for entry in listed) > most:  # reading stops at what an entry says that it has
        raise OSError(f"it unpacks to more than {most:,} bytes")
    return listed


def check_text(file: Path) -> None:
    """Raises BadInput for a text file, packed or not, that unpacks to too much or has a line that is too long."""
    check_regular(file)
    try:
        _check_packed(file) if compression(file) != "none" else _check_lines(file)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise BadInput(f"{file} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from None


def _check_packed(file: Path) -> None:
    most = max(HARMLESS_BYTES, MOST_TIMES * file.stat().st_size)
    unpacked, without_end = 0, 0
    with opened(file) as stream:
        while block := stream.read(1 << 20):
            unpacked += len(block)
            without_end = 0 if any(end in block for end in LINE_ENDS) else without_end + len(block)
            if without_end > BLOCK:
                raise _long_line(file, unpacked - without_end)
            if unpacked > most:
                raise BadInput(
                    f"{file} has {file.stat().st_size:,} bytes and unpacks to more than {most:,}: no log of events does, so it is "
                    "not read. Where it is one, unpack it yourself and name the unpacked file."
                )


def _check_lines(file: Path) -> None:
    """One look at the beginning of each block tells a line that goes on for more than two of them, and costs nothing."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        for start in range(0, size - BLOCK + 1, BLOCK):
            stream.seek(start)
            for _ in range(BLOCK // AT_ONCE):
                block = stream.read(AT_ONCE)
                if any(end in block for end in LINE_ENDS):
                    break
            else:
                raise _long_line(file, start)


def _long_line(file: Path, place: int) -> BadInput:
    return BadInput(
        f"{file} has a line of more than {BLOCK:,} bytes, which goes on at byte {place:,}: a line is an event of one user. Mend "
        "the file: a line end or a closing quote may be missing."
    )


def check_parquet(file: Path) -> None:
    """Raises BadInput for a Parquet file with more rows than its bytes can hold of a log."""
    check_regular(file)
    rows, size = pq.read_metadata(file).num_rows, file.stat().st_size
    if rows > max(HARMLESS_ROWS, MOST_ROWS_A_BYTE * size):
        raise BadInput(
            f"{file} has {size:,} bytes and says that it holds {rows:,} rows: no log of events does, so it is not read. Write it "
            "anew without repeated rows."
        )


def check_within(file: Path, folder: Path, named: str) -> None:
    """Raises BadInput where a file that a pattern or a table brought up is a link out of its folder: whoever may write into the
    folder could have any file of this machine read.
    """
    if not file.resolve().is_relative_to(folder.resolve()):
        raise BadInput(
            f"{named} leads to {file}, a link out of {folder}: copy the file into the folder, or name it by its own path."
        )
