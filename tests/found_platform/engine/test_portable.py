"""What engines compute in ways of their own, said so that they give the same."""

import contextlib
import random
from fractions import Fraction
from pathlib import Path

import ibis
import pyarrow as pa
import pytest
from engines import AMOUNTS

from found_platform import engine
from found_platform.engine.portable import exact
from found_platform.settings import Settings

pytestmark = pytest.mark.slow


def test_an_amount_becomes_the_nearest_decimal_on_every_engine(address: str, tmp_path: Path) -> None:
    """Also beyond 2^53 millionths, where casts of floats differ."""
    draw = random.Random(1)
    amounts = [*AMOUNTS, 1e14 + 0.3, 8e9 + 0.3, None, *(draw.uniform(-1, 1) * 10 ** draw.uniform(-7, 15) for _ in range(500))]
    table = pa.table({"place": range(len(amounts)), "amount": pa.array(amounts, pa.float64())})
    rows = ibis.table(ibis.Schema.from_pyarrow(table.schema), name="given")
    query = rows.select("place", amount=exact(rows.amount)).order_by("place")
    results = []
    for where in ("duckdb", address):
        with contextlib.closing(engine.of(Settings.load(tmp_path, profile="tiny", engine=where))) as opened:
            opened.rows("given", table)
            results.append(opened.read(query).read_all()["amount"].to_pylist())
    assert results[0] == results[1]
    assert results[0][len(AMOUNTS) + 2] is None
    pairs = [(Fraction(amount), Fraction(value)) for amount, value in zip(amounts, results[0], strict=True) if amount is not None]
    assert max(abs(amount - value) for amount, value in pairs) <= Fraction(1, 1_999_999)
