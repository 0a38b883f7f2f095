"""Logs that have other ids for the same people, and the table that says who is who."""

from pathlib import Path

import pytest
import yaml
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
