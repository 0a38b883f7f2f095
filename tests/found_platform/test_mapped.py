"""Files that are written a block at a time have the bytes that they would have had as a whole."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from found_platform import mapped, spill
from found_platform.privacy.user_keys import UserKeys


@pytest.mark.parametrize("rows", [0, 1, 7, 1000])
def test_an_array_that_grew_has_the_bytes_that_numpy_saves(rows: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for whole in (rng.normal(size=(rows, 3)).astype(np.float32), rng.integers(0, 9, rows), rng.random(rows) < 0.5):
        with mapped.ArrayFile(tmp_path / "grown.npy", whole.dtype, whole.shape[1:]) as file:
            for start in range(0, rows, 3):
                file.append(whole[start : start + 3])
        np.save(tmp_path / "whole.npy", whole)
        assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
        np.testing.assert_array_equal(mapped.load(tmp_path / "grown.npy"), whole)


def test_a_view_of_an_array_is_saved_as_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "ROWS", 4)
    whole = np.arange(60, dtype=np.float32).reshape(10, 6)
    mapped.save(tmp_path / "view.npy", whole[::3, 1:4])
    np.testing.assert_array_equal(mapped.load(tmp_path / "view.npy"), whole[::3, 1:4])


def test_what_is_mapped_is_there_when_its_folder_is_gone(tmp_path: Path) -> None:
    table = pa.table({"name": [f"n{i}" for i in range(50)]})
    with spill.scratch(tmp_path) as folder:
        mapped.save_table(folder / "t.arrow", table.to_reader(7))
        mapped.save(folder / "a.npy", np.arange(50))
        rows, array = mapped.load_table(folder / "t.arrow"), mapped.load(folder / "a.npy")
    assert not folder.exists()
    assert rows.equals(table)
    assert array.sum() == 49 * 25


def test_rows_come_back_as_they_were_made(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("id", pa.int8(), nullable=False), pa.field("list", pa.list_(pa.int64()))])
    table = pa.table({"id": np.arange(20, dtype=np.int8), "list": [[i, i] if i % 3 else None for i in range(20)]}, schema=schema)
    with spill.read_again(tmp_path, table.to_reader(3), 7) as rows:
        assert rows.schema == schema
        assert rows.read_all().equals(table)


@pytest.mark.parametrize("keys", [["aaaa", "bbbb", "ffff"], ["a", "bbbb"], []])
def test_keys_are_the_same_strings_in_arrow(keys: list[str]) -> None:
    assert UserKeys.of(keys).arrow.to_pylist() == keys
