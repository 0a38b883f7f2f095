"""`found source init` on files of other languages and encodings, and on tables whose keys are called otherwise."""

import datetime as dt
import sqlite3
from pathlib import Path

import pytest
from drafts import draft
from reading import write

from found_platform.errors import BadInput
from found_platform.sources import init

SHOPS = {
    "Chinese": ("gb18030", "用户ID,下单时间,商品名称,实付金额,订单状态", ("金项链", "牛奶"), "已完成", "已取消"),
    "Dutch": (None, "klantnummer,besteldatum,omschrijving,bedrag,status", ("fiets", "slot"), "afgerond", "geannuleerd"),
    "Polish": ("cp1250", "klient,data,nazwa,kwota,status", ("żółty ser", "masło"), "zrealizowane", "anulowane"),
    "Japanese": ("cp932", "会員番号,注文日時,商品名,金額,状態", ("コーヒー", "ノート"), "完了", "キャンセル"),
}


@pytest.mark.parametrize("language", SHOPS)
def test_columns_are_recognised_in_their_language_and_encoding(tmp_path: Path, language: str) -> None:
    encoding, header, items, good, bad = SHOPS[language]
    rows = [f"K{i % 7},2024-03-{1 + i % 28:02d} 10:00,{items[i % 2]},{i}.50,{bad if i % 5 == 0 else good}" for i in range(40)]
    content, questions = draft(tmp_path, write(tmp_path, "export.csv", [header, *rows], encoding or "utf-8"))
    user, time, text, amount, status = header.split(",")
    payments = content["channels"]["pay_bill"]
    assert payments.get("encoding") == encoding
    assert any("encoding" in question and "guess" in question for question in questions) == (encoding is not None)
    assert payments["columns"] == {"user_id": user, "event_time": time, "text": text, "amount": amount, "status": status}
    assert bad in payments["returns"]


@pytest.mark.parametrize(
    ("encoding", "words"),
    [("cp1251", ("Книга о море", "Синий чайник")), ("cp949", ("김치", "커피")), ("euc_jp", ("みどりのおちゃ", "さくら"))],
)
def test_an_encoding_is_told_by_how_its_bytes_stand_together(tmp_path: Path, encoding: str, words: tuple[str, str]) -> None:
    rows = [f"K{i % 7},2024-03-{1 + i % 28:02d} 10:00,{words[i % 2]}" for i in range(40)]
    content, questions = draft(tmp_path, write(tmp_path, "export.csv", ["customer,at,item", *rows], encoding))
    assert content["channels"]["spm"]["encoding"] == encoding
    assert any(words[0] in question for question in questions)


def test_a_profile_is_joined_by_the_key_that_the_events_hold(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "app.db")
    database.execute("CREATE TABLE users (id INTEGER, email TEXT, plan TEXT)")
    database.execute("CREATE TABLE bookings (user_id INTEGER, booked_at TEXT, service TEXT)")
    for i in range(30):
        database.execute("INSERT INTO users VALUES (?, ?, ?)", (i, f"a{i}@mail.example", "SL"[i % 2]))
    for i in range(120):
        day = dt.datetime(2024, 3, 1, 10) + dt.timedelta(days=i % 40)
        database.execute("INSERT INTO bookings VALUES (?, ?, ?)", (i % 30, f"{day}Z", ("haircut", "massage")[i % 2]))
    database.commit()
    database.close()
    content, _ = draft(tmp_path, tmp_path / "app.db")
    assert content["profile"]["key"] == "id"


@pytest.mark.parametrize("named", ["the file", "its folder"])
def test_a_workbook_is_answered_with_what_to_do(tmp_path: Path, named: str) -> None:
    (tmp_path / "orders.xlsx").write_bytes(b"PK")
    path = tmp_path / "orders.xlsx" if named == "the file" else tmp_path
    with pytest.raises(BadInput, match=r"orders\.xlsx is a workbook: save each of its sheets as CSV UTF-8"):
        init.write([path], out=tmp_path / "shop.yaml")
