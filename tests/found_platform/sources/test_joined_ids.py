"""Logs that have other ids for the same people, and the table that says who is who."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from drafts import draft
from reading import column, csv, scanned

from found_platform.settings import Settings
from found_platform.sources import config, examination

EVENTS = "device,at,what\nd1,2024-03-01,tea\nd2,2024-03-02,milk\nd9,2024-03-03,tea\n,2024-03-04,tea\n"
COLUMNS = {"event_time": "at", "text": "what"}
MAP = "device_id,customer_no,mail\nd1,007,Ann@Mail.example\nd2,008,bob@mail.example\n"


def test_a_user_is_looked_up_in_a_table_and_one_who_is_not_there_is_a_named_fault(tmp_path: Path) -> None:
    csv(tmp_path, MAP, "map.csv")
    user = {"from": "map.csv", "key": "device_id", "on": "device", "column": "customer_no"}
    con, report = scanned(tmp_path, {"path": csv(tmp_path, EVENTS), "columns": {**COLUMNS, "user_id": user}})
    assert column(con, "user_id") == ["007", "008"]
    assert report.bad == {"device is not in map.csv": 1, "no user_id": 1}


@pytest.mark.parametrize(
    ("on", "types"),
    [("customer_no", {"customer_no": "int"}), ("regexp_replace(customer_no, '[.]0$', '')", {})],
    ids=["type", "words"],
)
def test_the_id_by_which_a_user_is_looked_up_may_be_written_in_another_way(tmp_path: Path, on: str, types: dict[str, str]) -> None:
    csv(tmp_path, "no,person\n7,ann\n8,bob\n", "map.csv")
    events = csv(tmp_path, "customer_no,at,what\n7.0,2024-03-01,tea\n8.0,2024-03-02,milk\n")
    user = {"from": "map.csv", "key": "no", "on": on, "column": "person"}
    con, report = scanned(tmp_path, {"path": events, "types": types, "columns": {**COLUMNS, "user_id": user}})
    assert column(con, "user_id") == ["ann", "bob"]
    assert report.bad == {}


@pytest.mark.parametrize("ids", ["others", "same"])
def test_files_that_have_nobody_in_common_are_told(tmp_path: Path, ids: str) -> None:
    for name, sign in (("clicks.csv", "d"), ("orders.csv", "k" if ids == "others" else "d")):
        csv(tmp_path, "id,at,what\n" + "".join(f"{sign}{i},2024-03-0{1 + i % 9},tea\n" for i in range(30)), name)
    columns = {"user_id": "id", **COLUMNS}
    entry = [{"path": "clicks.csv", "columns": columns}, {"path": "orders.csv", "columns": columns}]
    path = tmp_path / "source.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "channels": {"spm": entry}}))
    notes = examination.examine(Settings.load(tmp_path / "none"), config.load(path)).notes
    told = [note for note in notes if "nobody of" in note]
    assert len(told) == (1 if ids == "others" else 0)
    assert all("nobody of orders.csv ('k0') is in clicks.csv ('d0')" in note for note in told)


@pytest.mark.parametrize("place", ["file", "database"])
def test_logs_with_other_ids_are_joined_by_a_table_that_holds_both_whatever_their_case(tmp_path: Path, place: str) -> None:
    people = [(f"u-{i}f", 9000 + i, f"Ann{i}@Mail.example") for i in range(40)]
    csv(
        tmp_path,
        "customer_no,paid_at,product,amount\n" + "".join(f"{n}.0,2024-03-0{1 + n % 9},tea,5\n" for _, n, _ in people * 2),
        "paid.csv",
    )
    clicks = "".join(f"{device},2024-03-0{1 + n % 9}T10:00:00Z,Page {n % 3}\n" for device, n, _ in people * 2)
    csv(tmp_path, "device_user_id,at,page\n" + clicks, "clicks.csv")
    tickets = "".join(
        f"{mail if n % 2 else mail.lower()},2024-03-0{1 + n % 9}T10:00:00Z,Help {n % 3}\n" for _, n, mail in people * 2
    )
    csv(tmp_path, "email,created_at,subject\n" + tickets, "tickets.csv")
    if place == "file":
        csv(
            tmp_path, "device_user_id,customer_no,email\n" + "".join(f"{d},{n},{mail}\n" for d, n, mail in people), "identities.csv"
        )
    else:
        with closing(sqlite3.connect(tmp_path / "ids.db")) as con, con:
            con.execute("CREATE TABLE identities (device_user_id TEXT, customer_no INTEGER, email TEXT)")
            con.executemany("INSERT INTO identities VALUES (?, ?, ?)", people)
    content, _ = draft(tmp_path)
    by_text = {entry["path"]: entry["columns"]["user_id"] for entry in content["channels"]["spm"]}
    assert by_text["clicks.csv"]["column"] == "customer_no"
    assert by_text["tickets.csv"]["on"] == "lower(trim(email))"
    assert "profile" not in content
    source = config.load(tmp_path / "shop.yaml")
    assert {report.channel: report.users for report in examination.check(source)[1]} == {"pay_bill": 40, "spm": 40}
    assert not [note for note in examination.examine(Settings.load(tmp_path / "none"), source).notes if "nobody of" in note]


def test_ids_of_another_table_s_people_are_people_and_rows_that_are_valid_from_a_day_are_the_profile(tmp_path: Path) -> None:
    csv(
        tmp_path,
        "customer_id,at,what\n" + "".join(f"DE{500 + i % 30},2024-03-0{1 + i % 9} 10:00,Callback\n" for i in range(60)),
        "calls.csv",
    )
    tariffs = "".join(f"DE{500 + i % 30};{1 + i:02d}.03.2024;{'Eco' if i % 2 else 'Basic'}\n" for i in range(31))
    csv(tmp_path, "Zählernummer;gültig ab;Tarif\n" + tariffs, "tariffs.csv")
    content, questions = draft(tmp_path)
    assert content["profile"]["as_of"] == {"column": "gültig ab", "day_first": True}
    assert [entry["columns"]["category"] for entry in content["channels"]["spm"]] == ["'calls'", "'tariffs'"]
    assert [entry["columns"]["user_id"] for entry in content["channels"]["spm"]] == ["customer_id", "Zählernummer"]
    assert any("is Zählernummer the id of a person?" in question for question in questions)
