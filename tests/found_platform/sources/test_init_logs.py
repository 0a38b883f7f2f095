"""`found source init` on logs of many trades: who acted, when, and how much it was."""

import json
from pathlib import Path

import pytest
from drafts import draft, entry
from reading import column, scanned, write

from found_platform.errors import BadInput
from found_platform.sources import init


def rows_of(*values: str, count: int = 60) -> list[str]:
    """Rows of five people, each with a time and what stands behind it."""
    return [f"{i % 5},2024-03-{1 + i % 28:02d}T10:00:00Z,{values[i % len(values)]}" for i in range(count)]


@pytest.mark.parametrize(
    "name", ["rider_id", "actor_id", "cardholder_id", "requester_id", "Loyalty Card", "Kontonummer", "participant"]
)
def test_people_are_called_by_what_they_do(tmp_path: Path, name: str) -> None:
    content, questions = draft(tmp_path, write(tmp_path, "log.csv", [f"{name},at,page", *rows_of("tea", "milk")]))
    assert content["channels"]["spm"]["columns"]["user_id"] == name
    assert not any("called after people" in question for question in questions)


def test_of_two_people_in_a_row_the_served_one_is_chosen_and_the_other_named(tmp_path: Path) -> None:
    lines = [f"d{i % 3},r{i % 9},2024-03-{1 + i % 28:02d}T10:00:00Z,zone {i % 2}" for i in range(60)]
    content, questions = draft(tmp_path, write(tmp_path, "trips.csv", ["driver_id,rider_id,at,pickup_name", *lines]))
    assert content["channels"]["spm"]["columns"]["user_id"] == "rider_id"
    assert any("driver_id may stand for people too" in question for question in questions)


def test_an_address_of_a_machine_is_no_person_and_the_name_of_a_person_no_text(tmp_path: Path) -> None:
    lines = [
        json.dumps(
            {
                "published": f"2024-03-{1 + i % 28:02d}T10:00:00Z",
                "displayMessage": f"User did {('log in', 'sign out')[i % 2]}",
                "actor": {"id": f"00u{i % 9:05d}", "type": "User", "displayName": f"Person {i % 9}"},
                "client": {"ipAddress": f"10.0.0.{i % 2}"},
                "target": [{"id": "1", "displayName": "Chat"}, {"id": "2", "displayName": "Mail"}],
            }
        )
        for i in range(60)
    ]
    columns = entry(tmp_path, write(tmp_path, "audit.jsonl", lines), channel="spm")["columns"]
    assert columns == {"user_id": "actor.id", "event_time": "published", "text": "displayMessage"}


def test_the_day_of_an_arrival_is_not_when_a_booking_was_known(tmp_path: Path) -> None:
    days = [(f"2024-03-{1 + i % 28:02d}", f"2024-0{5 + i % 4}-01") for i in range(60)]
    lines = [f"g{i % 5},{booked},{arrival},room {i % 3}" for i, (booked, arrival) in enumerate(days)]
    rooms = write(tmp_path, "bookings.csv", ["guest,booked_on,arrival_at,room_name", *lines])
    columns = entry(tmp_path, rooms, channel="spm")["columns"]
    assert (columns["event_time"], "arrived_at" in columns) == ("booked_on", False)
    lines = [f"g{i % 5},{booked},{booked},room {i % 3}" for i, (booked, _) in enumerate(days)]
    rooms = write(tmp_path, "bookings.csv", ["guest,booked_on,loaded_at,room_name", *lines])
    assert entry(tmp_path, rooms, channel="spm")["columns"]["arrived_at"] == "loaded_at"


@pytest.mark.parametrize("name", ["price_cents", "amount_minor"])
def test_money_in_hundredths_is_read_as_money(tmp_path: Path, name: str) -> None:
    content = entry(tmp_path, write(tmp_path, "sales.csv", [f"customer,at,item,{name}", *rows_of("tea,1290", "milk,500")]))
    assert content["columns"]["amount"] == f"{name} / 100.0"
    assert set(column(scanned(tmp_path, {"path": "sales.csv", "columns": content["columns"]})[0], "amount")) == {12.9, 5.0}


@pytest.mark.parametrize(("written", "sign"), [("$50.00", "($50.00)"), ("50.00", "(50.00)")])
def test_a_number_in_brackets_is_negative(tmp_path: Path, written: str, sign: str) -> None:
    content = entry(
        tmp_path, write(tmp_path, "gifts.csv", ["donor,at,fund,amount", *rows_of(*[f"roof,{written}"] * 9, f"roof,{sign}")])
    )
    amounts = column(scanned(tmp_path, {"path": "gifts.csv", **content})[0], "amount")
    assert (amounts.count(50.0), amounts.count(-50.0)) == (54, 6)


def test_a_comma_before_three_figures_stands_between_thousands_and_is_asked_about(tmp_path: Path) -> None:
    content, questions = draft(
        tmp_path, write(tmp_path, "deals.csv", ["customer,at,item,amount", *rows_of('tea,"45,000"', "tea,900")])
    )
    deals = content["channels"]["pay_bill"]
    assert set(column(scanned(tmp_path, {**deals, "path": "deals.csv"})[0], "amount")) == {45000.0, 900.0}
    assert any("45,000 is read with its comma between thousands" in question for question in questions)


def test_a_measured_amount_is_asked_about_and_two_units_are_no_amount(tmp_path: Path) -> None:
    content, questions = draft(
        tmp_path, write(tmp_path, "use.csv", ["customer,at,plan,consumption", *rows_of("eco,12.5 kWh", "day,3 kWh")])
    )
    (channel,) = content["channels"].values()
    assert set(column(scanned(tmp_path, {"path": "use.csv", "columns": channel["columns"]})[0], "amount")) == {12.5, 3.0}
    assert any("consumption is measured in kWh" in question for question in questions)
    other = tmp_path / "other"
    content, questions = draft(
        other, write(other, "use.csv", ["customer,at,plan,consumption", *rows_of("eco,12.5 kWh", "day,300 Wh")])
    )
    assert "amount" not in content["channels"]["spm"]["columns"]
    assert any("consumption is written in Wh and kWh" in question for question in questions)


def test_the_same_ids_beside_several_firms_are_asked_about(tmp_path: Path) -> None:
    lines = [f"{'ab'[i % 2]}corp,{i % 7},2024-03-{1 + i % 28:02d}T10:00:00Z,page {i % 3}" for i in range(60)]
    _, questions = draft(tmp_path, write(tmp_path, "log.csv", ["tenant_id,user_id,at,page", *lines]))
    assert any("write `user_id: tenant_id || '/' || user_id`" in question for question in questions)
    own = tmp_path / "own"
    lines = [f"{'ab'[i % 2]}corp,{'ab'[i % 2]}{i % 7},2024-03-{1 + i % 28:02d}T10:00:00Z,page {i % 3}" for i in range(60)]
    _, questions = draft(own, write(own, "log.csv", ["tenant_id,user_id,at,page", *lines]))
    assert not any("tenant_id" in question for question in questions)


def test_times_are_read_in_the_zone_that_their_row_names(tmp_path: Path) -> None:
    zones = ["Europe/Berlin", "America/New_York", "Asia/Tokyo"]
    lines = [f"u{i % 5},2024-07-01 12:00:00,{zones[i % 3]},page {i % 2}" for i in range(60)]
    content, questions = draft(tmp_path, write(tmp_path, "log.csv", ["user,local_time,tz,page", *lines]))
    assert not any("time zone" in question for question in questions)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("u1,2024-07-01 12:00:00,Nowhere/Town,page 1\n")  # a bad row, and no reason to stop
    moments = column(scanned(tmp_path, {"path": "log.csv", "columns": content["channels"]["spm"]["columns"]})[0], "event_time")
    assert sorted({moment.hour for moment in moments}) == [3, 10, 16]


def test_files_that_gained_a_column_are_still_one_pattern(tmp_path: Path) -> None:
    write(tmp_path / "month=01", "part.csv", ["customer,at,item", *rows_of("tea", "milk")])
    write(tmp_path / "month=02", "part.csv", ["customer,at,item,web", *rows_of("tea,1", "milk,0")])
    assert entry(tmp_path, channel="spm")["path"] == "month*/part.csv"


def test_a_column_for_each_month_is_told_with_the_query_that_turns_them(tmp_path: Path) -> None:
    lines = [f"{i},{'AB'[i % 2]},1.5,2.5,3.5" for i in range(20)]
    file = write(tmp_path, "spend.csv", ["customer_id,segment,2025-01,2025-02,2025-03", *lines])
    with pytest.raises(BadInput, match=r'a column for each period \(2025-01 to 2025-03\).*UNPIVOT spend ON "2025-01", "2025-02"'):
        init.write([file], out=tmp_path / "shop.yaml")
