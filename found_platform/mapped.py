"""Arrays and tables of everybody as files: written a block at a time, then mapped, and read as they are touched.

What belongs here: numpy's and Arrow's own formats, for what memory need not hold. What does not: what columns mean.
Pages of a mapped file are the system's to take back, and a file that is mapped can be read after it was removed.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

ROWS = 65_536
"""Rows of a block."""


class ArrayFile:
    """A `.npy` file that grows by blocks of rows. Closed, it has the bytes that `numpy.save` gives the whole array."""

    def __init__(self, path: Path, dtype: np.dtype | type | str, shape: Sequence[int] = ()):
        """`shape` is that of a row: () for numbers, (W,) for vectors."""
        self._dtype, self._shape, self._rows = np.dtype(dtype), tuple(shape), 0
        self._file = path.open("wb")
        self._write_header()

    def _write_header(self) -> None:
        # numpy leaves room for a longer number of rows, so the header of the end is as long as that of the beginning
        about = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self._rows, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, about)

    def append(self, block: np.ndarray) -> None:
        """Adds rows (N, ...) of the file's type."""
        assert block.shape[1:] == self._shape, f"rows of shape {block.shape[1:]} in a file of {self._shape}"
        self._file.write(np.ascontiguousarray(block, self._dtype).tobytes())
        self._rows += len(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.seek(0)
        self._write_header()
        self._file.close()


def save(path: Path, array: np.ndarray) -> None:
    """Writes an array, a block of rows at a time: it may be mapped, or a view of a mapped one."""
    with ArrayFile(path, array.dtype, array.shape[1:]) as file:
        for start in range(0, len(array), ROWS):
            file.append(array[start : start + ROWS])


def load(path: Path) -> np.ndarray:
    """Maps an array."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def save_table(path: Path, rows: pa.RecordBatchReader) -> None:
    """Writes a table, a batch at a time."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
        for batch in rows:
            writer.write_batch(batch)


def load_table(path: Path) -> pa.Table:
    """Maps a table."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
