"""An outcome as YAML: what is written is read again, by hand or by machine."""

from pathlib import Path

import pytest
import yaml

from found_platform.errors import BadInput
from found_platform.outcomes import Outcome, as_yaml, document, load, parse

OUTCOMES = [
    {"will": {}},
    {"will": {"negated": True}, "within_days": 28},
    {"will": [{"do": {"about": ["gold ring", "Ünze"]}}, {"do": {"channels": ["search"]}, "days": 3}], "join": "or"},
    {"will": {"do": {"categories": ["a"], "statuses": ["b"], "payment_methods": ["c"], "returned": True, "min_amount": 0.5}}},
    {"will": {"total": 99.5, "history": "again"}, "among": {"where": "tier = 'a' AND events_28d > 2"}},
    {"will": {"less_than_before": "total"}, "among": {"did": {"about": ["tea"]}, "last_days": 91, "negated": True}},
    {"will": {"do": {"about": ["tea"], "not_about": ["iced tea"]}, "share": 0.25}},
    {"will": {"do": {"about": ["tea"]}}, "rank": "affinity"},
]


@pytest.mark.parametrize("content", OUTCOMES)
def test_what_is_written_is_read_again(content: dict, tmp_path: Path) -> None:
    outcome = parse(content)
    (tmp_path / "outcome.yaml").write_text(as_yaml(outcome), encoding="utf-8")
    assert load(tmp_path / "outcome.yaml") == outcome
    assert parse(document.as_data(outcome)) == outcome
    (tmp_path / "outcome.json").write_text(outcome.model_dump_json())
    assert load(tmp_path / "outcome.json") == outcome


def test_only_what_is_not_as_usual_is_written() -> None:
    assert yaml.safe_load(as_yaml(parse({"will": [{"times": 2}, {}], "join": "and", "rank": "chance"}))) == {
        "will": [{"times": 2}, {"do": {}}]
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("will: [", "line 1 is not YAML"),
        ("will:\n  - {do: {about: [gold}}\n", "line 2 is not YAML"),
        ("", "holds no outcome"),
        ("people who will buy gold", "holds no outcome"),
        ("will: {do: {abuot: [gold]}}", "will.0.do.abuot: there is no such key"),
        ("#" * 100_001, "more than 100,000 bytes"),
    ],
)
def test_a_file_that_is_no_outcome_is_named_with_its_line_or_key(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as refused:
        load(path)
    assert str(path) in str(refused.value)
    assert reason in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no\.yaml does not exist: `found rewrite SENTENCE --format yaml` writes one"):
        load(tmp_path / "no.yaml")
    with pytest.raises(BadInput, match=str(tmp_path)):
        load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"will: \xff\xfe")
    with pytest.raises(BadInput, match="is not UTF-8 text"):
        load(tmp_path / "latin.yaml")


def test_a_file_that_grows_when_it_is_read_is_refused_in_a_short_message(tmp_path: Path) -> None:
    """Aliases of aliases: nine lines that stand for a thousand million words."""
    lines = ["a0: &a0 [gold]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    (tmp_path / "bomb.yaml").write_text("\n".join([*lines, "will: {do: {about: *a9}}"]))
    with pytest.raises(BadInput) as refused:
        load(tmp_path / "bomb.yaml")
    assert len(str(refused.value)) < 1000


def test_a_loaded_outcome_cannot_be_changed_by_whoever_holds_it() -> None:
    outcome = parse({"will": {}})
    with pytest.raises(ValueError, match="frozen"):
        outcome.rank = "value"  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(hash(outcome), int)
    assert isinstance(outcome, Outcome)
