"""Time rules and text identity."""

import datetime as dt
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from found_platform import contract, lake
from found_platform.errors import BadInput
from found_platform.sources.rows import NORMALISED, TEXT_ID

CON = lake.connect()


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40))
def test_sql_and_python_agree_on_the_normal_form_and_its_id(text: str) -> None:
    normal, text_id = CON.execute(
        f"SELECT text, {TEXT_ID} FROM (SELECT {NORMALISED} AS text FROM (SELECT ? AS text))", [text]
    ).fetchone()
    assert normal == contract.normalise_text(text)
    digest = hashlib.md5(normal.encode()).digest()
    assert text_id == int.from_bytes(digest[8:], "little", signed=True)


def test_a_snapshot_is_dated_when_its_day_is_over() -> None:
    assert contract.snapshot_time(dt.date(2024, 2, 29)) == dt.datetime(2024, 3, 1, tzinfo=dt.UTC)


def test_days_are_half_open() -> None:
    assert contract.days_between(dt.date(2024, 1, 31), dt.date(2024, 2, 2)) == [dt.date(2024, 1, 31), dt.date(2024, 2, 1)]


@pytest.mark.parametrize("value", ["yesterday", "2024-13-01", "01/02/2024", ""])
def test_a_wrong_day_is_named(value: str) -> None:
    with pytest.raises(BadInput, match="--cutoff is"):
        contract.parse_day(value, "--cutoff")
