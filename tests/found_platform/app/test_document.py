"""Results as plain data."""

import datetime as dt
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from found_platform.app.document import APART, as_document, written_as
from found_platform.app.progress import AssetDone
from found_platform.audiences.answer import Audience


@dataclass(frozen=True)
class Inner:
    day: dt.date
    path: Path


@dataclass(frozen=True)
class Outer:
    inner: tuple[Inner, ...]
    at: dt.datetime
    materialized: int = field(default=3, metadata=written_as("made"))
    words: str = field(default="for a table alone", metadata=APART)


class OwnWords:
    def as_dict(self) -> dict[str, Any]:
        return {"from": dt.date(2024, 1, 2), "missing": None}


def test_a_result_is_plain_data_without_what_is_for_tables_alone() -> None:
    result = Outer((Inner(dt.date(2024, 1, 2), Path("a/b")),), dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC))
    document = as_document({"outer": result, "own": OwnWords(), "numbers": [1, 0.5, True, None]})
    assert document == {
        "outer": {"inner": [{"day": "2024-01-02", "path": "a/b"}], "at": "2024-01-02 03:00:00+00:00", "made": 3},
        "own": {"from": "2024-01-02", "missing": None},
        "numbers": [1, 0.5, True, None],
    }
    assert json.loads(json.dumps(document)) == document


def test_an_answer_keeps_the_keys_that_its_readers_know() -> None:
    words = "who will buy gold in the next 7 days"
    audience = Audience("gold", None, "auto", "", True, "2024-01-02", "1", "1", 0, outcome_in_words=words)
    document = as_document(audience)
    assert document["asked"] == words
    assert "outcome_in_words" not in document
    assert as_document(AssetDone("raw_events", 3, 0, None, 0.5))["made"] == 3
