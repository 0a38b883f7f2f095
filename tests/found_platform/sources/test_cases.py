"""Inputs that failed once, handed out beside the checkout: each is read as a careful person would, or says what to do."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from conftest import SHARED, call_found, lake_of
from reading import shares

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.index import past
from found_platform.privacy import keys
from found_platform.settings import Settings
from found_platform.sources import config, examination

CASES = SHARED / "cases"
pytestmark = pytest.mark.skipif(not CASES.exists(), reason="the small inputs are not beside the checkout")


def examined(case: str, tmp_path: Path | None = None, **entry: Any) -> examination.Examined:
    """A case as it is, or with changes to its entries."""
    path = CASES / case
    if entry:
        assert tmp_path
        content = yaml.safe_load(path.read_text())
        profile = entry.pop("profile", None)
        for channel in content["channels"].values():
            channel.update(entry)
            channel["path"] = str(path.parent / channel["path"])
        if "profile" in content:
            content["profile"]["path"] = str(path.parent / content["profile"]["path"])
            content["profile"].update(profile or {})
        path = tmp_path / "shop.yaml"
        path.write_text(yaml.safe_dump(content))
    return examination.examine(Settings.load(path.parent / "none"), config.load(path))


def test_c01_epoch_milliseconds(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"row 3 has '1709252822000'; `unit: ms` in the source file would read it"):
        examined("C01/shop.yaml")
    report = examined("C01/shop.yaml", tmp_path, unit="ms")
    assert {c.channel: c.bad for c in report.channels} == {"pay_bill": {}, "spm": {}}
    assert any("are numbers" in note for note in report.notes)


def test_c02_european_excel(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"row 1 has '01.03.2024 00:22'; `day_first: true`"):
        examined("C02/shop.yaml")
    report = examined("C02/shop.yaml", tmp_path, day_first=True, decimal=",")
    assert (report.channels[0].good, report.channels[0].bad) == (40, {})
    assert any("recognised the semicolon as delimiter" in note for note in report.notes)
    assert any('`decimal: ","`' in note for note in examined("C02/komma.yaml").notes)
    assert examined("C02/komma.yaml", tmp_path, decimal=",").channels[0].good == 40


@pytest.mark.parametrize(("case", "value", "day_first"), [("uk", "01/03/24 00:22", True), ("us", "3/1/2024 0:22", False)])
def test_c03_days_and_months(tmp_path: Path, case: str, value: str, day_first: bool) -> None:
    with pytest.raises(BadInput, match=f"row 1 has '{value}'; `day_first: true` if the day stands first"):
        examined(f"C03/{case}.yaml")
    report = examined(f"C03/{case}.yaml", tmp_path, day_first=day_first)
    assert (report.channels[0].good, str(report.channels[0].first_day)) == (40, "2024-03-01")


def test_c04_offsets_after_a_space_and_what_where_leaves_out(tmp_path: Path) -> None:
    assert examined("C04/all.yaml").channels[0].good == 40
    (channel,) = (report := examined("C04/shop.yaml")).channels
    assert (channel.good, channel.left_out) == (32, 8)
    assert "channel 'pay_bill': 8 of 40 rows are left out by `where`" in report.notes


def test_c05_zeros_before_a_number_are_a_text() -> None:
    report = examined("C05/shop.yaml")
    assert (report.source.profile_schema or {})["customer_zip_code_prefix"] == "string"
    assert "80 of 80 users have a profile row" in report.notes


def test_c06_ids_are_united_as_texts() -> None:
    assert examined("C06/one.yaml").channels[0].users == 80
    (channel,) = examined("C06/shop.yaml").channels
    assert (channel.rows, channel.users, channel.bad) == (1020, 80, {"no user_id": 20})
    report = examined("C06b/shop.yaml")
    assert report.channels[0].users == 80
    assert "80 of 80 users have a profile row" in report.notes


@pytest.mark.parametrize(("case", "good"), [("q", 36), ("s", 36), ("p", 29), ("eqd", 4), ("product", 40)])
def test_c08_numbers_compare_as_numbers(case: str, good: int) -> None:
    (channel,) = examined(f"C08/{case}.yaml").channels
    assert (channel.good, channel.bad) == (good, {})
    assert channel.left_out == 40 - good


def test_c09_nested_fields_of_json_lines() -> None:
    (channel,) = examined("C09/jsonl.yaml").channels
    assert (channel.good, channel.users, channel.texts, channel.bad) == (20, 14, 10, {"no user_id": 5})


def test_c10_a_lookup_table_holds_the_texts(tmp_path: Path) -> None:
    assert any("11 of 11 texts are numbers, such as '0663713001'" in note for note in examined("C10/shop.yaml").notes)
    with pytest.raises(BadInput, match=r"no column 'articles.prod_name'; .*`text: .from: FILE, key: COLUMN, column: prod_name.`"):
        examined("C10/join.yaml")
    lookup = {"from": str(CASES / "C10/articles.csv"), "key": "article_id", "column": "prod_name"}
    columns = {"user_id": "customer_id", "event_time": "t_dat", "text": lookup, "amount": "price"}
    (channel,) = (report := examined("C10/shop.yaml", tmp_path, columns=columns)).channels
    assert (channel.good, channel.bad) == (40, {})
    assert not any("are numbers" in note for note in report.notes)


@pytest.mark.parametrize(
    ("column", "yes"),
    [("accepts_marketing", ["yes"]), ("sms", [1]), ("email_consent", "SUBSCRIBED"), ("accepts_marketing", [True])],
)
def test_c11_the_values_that_mean_yes_can_be_said(tmp_path: Path, column: str, yes: Any) -> None:
    report = examined("C05/shop.yaml", tmp_path, exposure=False, profile={"consent": {"column": column, "yes": yes}})
    assert (report.source.profile_schema or {})[column] == "bool"


def test_c12_placeholders_are_nobody(tmp_path: Path) -> None:
    (channel,) = (report := examined("C12/shop.yaml")).channels
    assert (channel.users, channel.bad) == (200, {"no user_id": 432})
    assert any("216 times 'NULL' in user_id, 216 times 'undefined' in user_id" in note for note in report.notes)
    refusals = shares(examined("C12/shop.yaml", tmp_path, nulls=[]))
    assert [r.split(" holds")[0] for r in refusals] == [
        "channel 'pay_bill': user_id 'NULL'",
        "'pay_bill': user_id 'undefined'",
    ]
    assert not shares(examined("C12/shop.yaml", tmp_path, nulls=[], confirm=["NULL", "undefined"]))


def test_c25_a_file_that_came_twice() -> None:
    (channel,) = examined("C25/id.yaml").channels
    assert (channel.good, channel.repeats, channel.bad) == (40, 40, {})


@pytest.mark.parametrize("case", ["ORDERS.CSV", "orders.tsv", "tabs.csv"])
def test_c28_names_and_delimiters(case: str) -> None:
    assert examined(f"C28/{case}.yaml").channels[0].good == 40


def test_c31_what_is_given_back_is_no_purchase(tmp_path: Path) -> None:
    report = examined("C31/shop.yaml")
    assert report.channels[0].returns == 389
    assert any("389 rows bring something back" in note for note in report.notes)
    settings = lake_of(tmp_path / "home", CASES / "C31/shop.yaml")
    secret = keys.home_secret(settings)
    users = [keys.user_key(secret, str(n)) for n in range(17000, 17080)]
    texts = lake.read(settings.lake, "behavior_text", columns=["text_id", "text"]).to_pylist()
    rings = [row["text_id"] for row in texts if row["text"] == "gold ring"]
    events = past.load(settings, pa.array(users), report.source.days[1])
    kept, returned = (set(acts.of_texts(np.isin(acts.texts, rings)).user.tolist()) for acts in (events.kept, events.returned))
    assert kept == set(range(40))  # the buyers, all of them and nobody else
    assert returned >= set(range(40, 80))
    sequences = lake.read(settings.lake, "behavior_sequence", columns=["user_key", "text_ids"]).to_pylist()
    assert {row["user_key"] for row in sequences if set(rings) & set(row["text_ids"])} <= set(users[:40])


def test_check_leaves_with_status_2_where_demo_would_refuse() -> None:
    assert call_found("source", "check", CASES / "C12/shop.yaml").status == 2
    assert call_found("source", "check", CASES / "C05/shop.yaml").status == 0
