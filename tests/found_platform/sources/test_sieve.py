"""The sieve tells rows apart by their bytes as a plain reading of each line does, whatever blocks they come in."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from found_platform.sources import sieve

COLUMNS = 3
LINES = (
    b"u1,2024-01-05,tea", b"u1,2024-01-05,tea,1", b"u1", b"", b'u1,"a,b",tea', b'u1,"a ""b"" c",tea', b'u1,"a,b,tea"',
    b'u1,x"y,z"', "u1,2024-01-05,Käse".encode(), b"u1,2024-01-05,K\xe4se", b"u1,K\xe4se", b",,", b'"",,"',
)  # fmt: skip


def plain(lines: list[bytes]) -> tuple[list[int], list[int], list[int]]:
    """Row numbers with another number of columns, without UTF-8, and without anything."""
    uneven, undecodable, empty = [], [], []
    for number, line in enumerate(lines[1:], 1):
        outside = b"".join(line.split(b'"')[::2])
        try:
            line.decode()
            decodable = True
        except UnicodeDecodeError:
            decodable = False
        if not line:
            empty.append(number)
        elif outside.count(b",") != COLUMNS - 1:
            uneven.append(number)
        elif not decodable:
            undecodable.append(number)
    return uneven, undecodable, empty


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("seed", range(4))
def test_rows_are_told_apart_as_line_by_line(tmp_path: Path, seed: int, end: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sieve, "LEAST", 0)
    monkeypatch.setattr(sieve, "BLOCK", 61)  # blocks begin and end everywhere
    rng = np.random.default_rng(seed)
    even = [line for line in LINES if line.count(b'"') % 2 == 0]
    lines = [b"id,at,what", *(even[i] for i in rng.integers(0, len(even), 300))]
    file = tmp_path / ("events.csv.gz" if seed % 2 else "events.csv")
    content = end.join(lines) + (end if seed > 1 else b"")
    file.write_bytes(gzip.compress(content) if seed % 2 else content)
    sieved = sieve.sieve(file, COLUMNS, ",", '"')
    assert sieved is not None
    uneven, undecodable, empty = plain(lines if lines[-1] or seed > 1 else lines[:-1])
    assert list(sieved.refused[sieve.COLUMNS]) == uneven
    assert list(sieved.refused[sieve.ENCODING]) == undecodable
    assert list(sieved.empty) == empty
    gone = {*uneven, *undecodable, *empty}
    kept = [line for number, line in enumerate(lines) if number not in gone]
    assert sieved.content.read_bytes().replace(b"\r", b"").rstrip(b"\n").split(b"\n") == kept
    assert sieved.rows == len(kept) - 1
    assert sorted(gone) == sieved.missing.tolist()


@pytest.mark.parametrize(
    "line", [b'u1,"a\nb",tea', b'u1,a",tea', b"u1,a\rb,tea", b"u1," + b"x" * (sieve.LONGEST + 1) + b",tea"],
    ids=["a line end in quotes", "a quote that stays open", "a lone return", "a line too long"],
)  # fmt: skip
def test_what_cannot_be_told_line_by_line_is_left_to_the_engine(
    tmp_path: Path, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sieve, "LEAST", 0)
    (tmp_path / "events.csv").write_bytes(b"id,at,what\n" + line + b"\n")
    assert sieve.sieve(tmp_path / "events.csv", COLUMNS, ",", '"') is None


def test_quotes_out_of_place_are_left_to_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sieve, "LEAST", 0)
    for line, regular in ((b'u1,"a,b",tea', True), (b'u1,x"y"z,tea', False)):
        (tmp_path / "events.csv").write_bytes(b"id,at,what\n" + line + b"\n")
        sieved = sieve.sieve(tmp_path / "events.csv", COLUMNS, ",", '"')
        assert sieved is not None
        assert (sieved.rows, sieved.regular) == (1, regular)
