"""Demands as marketers, risk teams, product managers and support leads write them, to five unlike logs and to those of
services: what each becomes."""

import re
from pathlib import Path
from typing import Any

import five_logs
import pytest
import yaml

from found_platform.outcomes import document
from found_platform.rewriting import retrieval

FILES = [
    Path(five_logs.__file__).with_name(name)
    for name in ("five_logs.yaml", "five_logs_denials.yaml", "five_logs_sequences.yaml", "service_logs.yaml")
]
DEMANDS: list[tuple[str, str, Any, str]] = [
    tuple(row) for file in FILES for row in yaml.safe_load(file.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("log", "demand", "outcome", "note"), DEMANDS, ids=[row[1] for row in DEMANDS])
def test_a_demand_becomes_what_a_careful_analyst_takes_it_for(log: str, demand: str, outcome: Any, note: str) -> None:
    rewriting = retrieval.on(five_logs.log(log), demand, 28)
    if outcome == "doubt":
        assert rewriting.outcome is None
        assert rewriting.doubt
    else:
        assert rewriting.outcome is not None, rewriting.doubt
        expected = _usual(outcome)
        assert _matched(_usual(document.as_data(rewriting.outcome)), expected) == expected
    assert re.search(note, f"{rewriting.note} {rewriting.doubt}", re.I)


def _usual(outcome: dict[str, Any]) -> dict[str, Any]:
    """An outcome as `document.as_data` writes it, its filters in the order of letters."""
    will = outcome["will"] if isinstance(outcome["will"], list) else [outcome["will"]]
    outcome = {**outcome, "will": [{key: part for key, part in one.items() if part != {}} for one in will]}
    if where := outcome.get("among", {}).get("where"):
        outcome["among"] = {**outcome["among"], "where": " AND ".join(sorted(where.split(" AND ")))}
    return outcome


def _matched(content: Any, expected: Any) -> Any:
    """What was found, with the pattern that is expected in the place of phrases that all match it."""
    if isinstance(content, list) and isinstance(expected, list) and len(content) == len(expected):
        return [_matched(*pair) for pair in zip(content, expected, strict=True)]
    if not (isinstance(content, dict) and isinstance(expected, dict)):
        return content
    matched = {key: _matched(part, expected.get(key)) for key, part in content.items()}
    for key in ("about", "not_about"):
        pattern = expected.get(key)
        if isinstance(pattern, str) and content.get(key) and all(re.search(pattern, phrase, re.I) for phrase in content[key]):
            matched[key] = pattern
    return matched
