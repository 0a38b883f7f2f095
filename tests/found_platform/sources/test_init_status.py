"""`found source init` on rows that count less than they seem: declined, called off, missed, deleted."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drafts import draft
from reading import write

LOST = {
    "a no-show": ("visit_status", "attended", "no show", "where"),
    "a no-show in German": ("Terminstatus", "wahrgenommen", "nicht erschienen", "where"),
    "did not attend": ("outcome", "attended", "did not attend", "where"),
    "declined under a name that says nothing": ("auth", "APPROVED", "DECLINED", "where"),
    "declined as a response": ("response", "00 ok", "insufficient funds", "where"),
    "lost": ("Stage", "Closed Won", "Closed Lost", "where"),
    "called off": ("Status", "erledigt", "abgesagt", "returns"),
    "reversed": ("response", "captured", "REVERSED", "returns"),
}


@pytest.mark.parametrize("case", LOST)
def test_what_came_to_nothing_is_no_purchase_and_asked_about(tmp_path: Path, case: str) -> None:
    name, good, bad, place = LOST[case]
    rows = [f"c{i % 5},2024-03-{1 + i % 28:02d}T10:00:00Z,tea {i % 3},{i}.50,{bad if i % 4 == 0 else good}" for i in range(40)]
    content, questions = draft(tmp_path, write(tmp_path, "sales.csv", [f"customer_id,ordered_at,item,amount,{name}", *rows]))
    payments = content["channels"]["pay_bill"]
    assert f"'{bad}'" in payments[place]
    assert f"'{good}'" not in payments[place]
    assert payments["columns"]["status"] == name
    assert any(f"{name} is {bad}" in question for question in questions)


def test_visits_that_did_not_take_place_stay_events_and_are_asked_about(tmp_path: Path) -> None:
    rows = [
        f"p{i % 5},2024-03-{1 + i % 28:02d}T10:00:00Z,check-up {i % 3},{'no_show' if i % 4 == 0 else 'kept'}" for i in range(40)
    ]
    content, questions = draft(tmp_path, write(tmp_path, "visits.csv", ["patient_id,visited_at,treatment,status", *rows]))
    assert "where" not in content["channels"]["spm"]
    assert any("status is no_show are events like all others" in question for question in questions)


def test_a_code_of_few_words_is_no_status_without_a_word_for_what_came_about(tmp_path: Path) -> None:
    rows = [f"c{i % 5},2024-03-{1 + i % 28:02d}T10:00:00Z,tea {i % 3},{i}.50,{['no returns', 'gift'][i % 2]}" for i in range(40)]
    content, _ = draft(tmp_path, write(tmp_path, "sales.csv", ["customer_id,ordered_at,item,amount,terms", *rows]))
    assert not {"where", "returns"} & content["channels"]["pay_bill"].keys()


@pytest.mark.parametrize(
    ("name", "mark", "condition"),
    [("is_deleted", "true", "NOT IN ('true')"), ("deleted_at", "2024-04-01", "IS NULL"), ("test_order", "1", "NOT IN ('1')")],
)
def test_rows_that_are_only_marked_as_deleted_are_left_out(tmp_path: Path, name: str, mark: str, condition: str) -> None:
    unmarked = {"true": "false", "1": "0"}.get(mark, "")
    rows = [f"c{i % 5},2024-03-{1 + i % 28:02d}T10:00:00Z,tea {i % 3},{unmarked if i % 4 else mark}" for i in range(40)]
    content, questions = draft(tmp_path, write(tmp_path, "log.csv", [f"customer_id,viewed_at,page,{name}", *rows]))
    views = content["channels"]["spm"]
    assert f"{name} {condition}" in views["where"]
    assert views["columns"]["event_time"] == "viewed_at"
    assert any("are left out: they" in question for question in questions)


def test_a_truth_of_parquet_marks_deleted_rows_too(tmp_path: Path) -> None:
    columns = {
        "customer_id": [f"c{i % 5}" for i in range(40)],
        "viewed_at": [f"2024-03-{1 + i % 28:02d}T10:00:00Z" for i in range(40)],
        "page": [f"tea {i % 3}" for i in range(40)],
        "is_deleted": [i % 4 == 0 for i in range(40)],
    }
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    content, _ = draft(tmp_path, tmp_path / "log.parquet")
    assert "is_deleted" in content["channels"]["spm"]["where"]


def test_a_purchase_that_failed_is_no_purchase(tmp_path: Path) -> None:
    kinds = ("login", "purchase", "purchase_failed")
    rows = [f"p{i % 5},2024-03-{1 + i % 28:02d}T10:00:00Z,{kinds[i % 3]},gem {i % 2},1.99" for i in range(60)]
    content, _ = draft(tmp_path, write(tmp_path, "log.csv", ["player_id,at,event,item_name,price", *rows]))
    assert content["channels"]["pay_bill"]["where"] == "event IN ('purchase')"


@pytest.mark.parametrize(
    ("columns", "cells", "names"),
    [
        ("amount,currency", ("10.50,EUR", "12.00,USD", "1300,JPY"), "currency says EUR, JPY, USD"),
        ("amount", ("$10.50", "€12.00", "$7.00"), "amount says $, €"),
        ("amount,currency", ("10.50,EUR", "12.00,EUR"), None),
        ("amount,country", ("10.50,USA", "12.00,CAN"), None),
    ],
)
def test_amounts_of_several_currencies_are_asked_about(
    columns: str, cells: tuple[str, ...], names: str | None, tmp_path: Path
) -> None:
    rows = [f"c{i % 5},2024-03-{1 + i % 28:02d}T10:00:00Z,tea {i % 3},{cells[i % len(cells)]}" for i in range(60)]
    _, questions = draft(tmp_path, write(tmp_path, "sales.csv", [f"customer_id,ordered_at,item,{columns}", *rows]))
    mixed = [question for question in questions if "several currencies" in question.replace("\n", " ")]
    assert len(mixed) == (names is not None)
    assert names is None or f"{names}, and amounts" in mixed[0]
