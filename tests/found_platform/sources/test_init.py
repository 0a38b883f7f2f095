"""`found source init` on files that no recipe knows: what it recognises, what it asks, and that the check passes what it wrote."""

import contextlib
import datetime as dt
import gzip
import json
import re
import sqlite3
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import at, call_found
from deltalake import write_deltalake
from drafts import draft, entry
from reading import column, write

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import config, examination, init, init_databases, init_files, init_sample, scan

TIMES = {
    "ISO": ("2024-03-01 10:00:00", {"timezone": "UTC"}),
    "with an offset": ("2024-03-01 10:00:00 +0200", {}),
    "seconds": ("1709287200", {"unit": "s"}),
    "milliseconds": ("1709287200000", {"unit": "ms"}),
    "microseconds": ("1709287200000000", {"unit": "us"}),
    "day first": ("31/03/2024 10:00", {"day_first": True, "timezone": "UTC"}),
    "month first": ("3/31/2024 8:26 PM", {"day_first": False, "timezone": "UTC"}),
    "with points": ("31.03.24", {"day_first": True, "timezone": "UTC"}),
    "with a month's name": ("31 Mar 2024 10:00", {"format": "%d %b %Y %H:%M", "timezone": "UTC"}),
    "eight digits": ("20240331", {"format": "%Y%m%d", "timezone": "UTC"}),
    "fourteen digits": ("20240331100000", {"format": "%Y%m%d%H%M%S", "timezone": "UTC"}),
    "Excel": ("45382.41667", {"unit": "excel", "timezone": "UTC"}),
}


@pytest.mark.parametrize("case", TIMES)
def test_times_are_recognised_as_they_are_written(tmp_path: Path, case: str) -> None:
    value, options = TIMES[case]
    rows = [f"u{i % 3},{value},{'tea' if i % 2 else 'milk'},{i}.5" for i in range(12)]
    content = entry(tmp_path, write(tmp_path, "orders.csv", ["customer_id,order_date,product,price", *rows]))
    assert {k: content[k] for k in content if k in ("unit", "day_first", "format", "timezone")} == options
    assert content["columns"] == {"user_id": "customer_id", "event_time": "order_date", "text": "product", "amount": "price"}


def test_a_date_that_can_be_read_in_two_ways_is_asked_about_and_guessed_by_the_shorter_span(tmp_path: Path) -> None:
    rows = [f"u{i % 3},0{1 + i % 3}/03/24 10:00,tea {i % 2},1" for i in range(12)]
    content, questions = draft(tmp_path, write(tmp_path, "orders.csv", ["customer_id,order_date,product,price", *rows]))
    assert content["channels"]["pay_bill"]["day_first"] is True
    (question,) = [q for q in questions if "day first or month first" in q]
    assert "spans 3 days, and 61 the other way" in question


def test_delimiter_decimal_and_encoding_are_recognised(tmp_path: Path) -> None:
    rows = [f"K{i % 4};{1 + i:02d}.03.2024;Käse {'mild' if i % 2 else 'alt'};1.234,{i % 10}0" for i in range(20)]
    content = entry(tmp_path, write(tmp_path, "umsatz.csv", ["Kundennr;Datum;Artikel;Betrag", *rows], "cp1252"))
    assert (content["delimiter"], content["decimal"], content["encoding"]) == (";", ",", "cp1252")
    assert content["columns"]["amount"] == "Betrag"
    assert examination.check(config.load(tmp_path / "shop.yaml"))[1][0].texts == 2


def test_a_quantity_and_a_price_are_multiplied_and_returns_are_told(tmp_path: Path) -> None:
    rows = [
        f"u{i % 3},2024-03-0{1 + i % 9},tea {i % 2},{-1 if i == 5 else 2},4.5,{'refunded' if i == 6 else 'paid'}" for i in range(12)
    ]
    header = "customer_id,created_at,product,quantity,unit price,status"
    content, questions = draft(tmp_path, write(tmp_path, "orders.csv", [header, *rows]))
    written = content["channels"]["pay_bill"]
    assert written["columns"]["amount"] == 'quantity * "unit price"'
    assert written["returns"] == "status IN ('refunded')"
    assert any("the price of one piece" in q for q in questions)
    assert examination.check(config.load(tmp_path / "shop.yaml"))[1][0].returns >= 1


def test_names_in_another_file_are_looked_up_and_the_profile_is_told_with_its_consent(tmp_path: Path) -> None:
    write(
        tmp_path,
        "baskets.csv",
        ["user_id,at,sku,total", *(f"{i % 5},2024-03-0{1 + i % 9}T10:00:00Z,{i % 3},2.5" for i in range(30))],
    )
    write(tmp_path, "goods.csv", ["sku,label name,category", "0,Green tea,Tea", "1,Camping stove,Outdoor", "2,Gold ring,Jewels"])
    write(
        tmp_path,
        "users.csv",
        ["user_id,age,newsletter", *(f"{i},{20 + i},{'SUBSCRIBED' if i % 2 else 'NEVER_SUBSCRIBED'}" for i in range(5))],
    )
    (tmp_path / "readme.pdf").write_bytes(b"%PDF")
    content, questions = draft(tmp_path)
    columns = content["channels"]["pay_bill"]["columns"]
    assert columns["text"] == {"from": "goods.csv", "key": "sku", "column": "label name"}
    assert columns["category"] == {"from": "goods.csv", "key": "sku", "column": "category"}
    assert (content["profile"]["path"], content["profile"]["key"]) == ("users.csv", "user_id")
    assert content["profile"]["consent"] == {"column": "newsletter", "yes": ["SUBSCRIBED"]}
    assert any("since when" in q for q in questions)


def test_texts_that_are_only_numbers_are_asked_about(tmp_path: Path) -> None:
    rows = [f"u{i % 3},2024-03-01T10:00:00Z,{1000 + i % 4}" for i in range(12)]
    _, questions = draft(tmp_path, write(tmp_path, "clicks.csv", ["visitor_id,ts,item_id", *rows]))
    assert any("which table holds their names" in q for q in questions)


def test_kinds_of_events_become_channels_and_nested_fields_columns(tmp_path: Path) -> None:
    kinds = ("viewed", "purchased", "searched")
    rows = [
        {
            "user": {"id": f"u{i % 4}"},
            "time": f"2024-03-0{1 + i % 9}T10:00:00Z",
            "action": kinds[i % 3],
            "item": {"name": f"tea {i % 2}"},
        }
        for i in range(30)
    ]
    (tmp_path / "log.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    content, questions = draft(tmp_path)
    assert {c: e["where"] for c, e in content["channels"].items()} == {
        "pay_bill": "action IN ('purchased')",
        "search": "action IN ('searched')",
        "spm": "action NOT IN ('purchased', 'searched')",
    }
    assert content["channels"]["spm"]["columns"] == {"user_id": "user.id", "event_time": "time", "text": "item.name"}
    assert sum("are these the purchases?" in q for q in questions) == 1


def test_kinds_that_bring_something_back_are_returns_and_no_page_views(tmp_path: Path) -> None:
    kinds = ("order_placed", "page_viewed", "order_returned", "return_policy_viewed")
    rows = [
        {"user": f"u{i % 4}", "ts": 1709287200000 + i, "type": kinds[i % 4], "title": f"tea {i % 2}", "genre": "food"}
        for i in range(40)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    content, questions = draft(tmp_path)
    payments, views = content["channels"]["pay_bill"], content["channels"]["spm"]
    assert payments["where"] == "type IN ('order_placed', 'order_returned')"
    assert payments["returns"] == "type IN ('order_returned')"
    assert payments["columns"]["category"] == "genre"  # and not the kind
    assert (views["where"], "returns" in views) == ("type NOT IN ('order_placed', 'order_returned')", False)
    assert any("rows whose type is order_returned count as returns" in q for q in questions)
    assert [c.returns for c in examination.check(config.load(tmp_path / "shop.yaml"))[1]] == [10, 0]


def test_the_example_of_the_readme_is_what_is_written(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    (block,) = [b for b in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL) if "Kundennr" in b]
    titles = ("Klima im Wandel", "Wandern in Tirol", "Japan mit dem Zug")
    returned = ("nein",) * 8 + ("ja",)
    rows = [
        f"{i % 9:06d};{1 + i % 28:02d}.03.2025 01:09;{titles[i % 3]};Sachbuch {i % 2};{1 + i % 2};12,90;{returned[i % 9]}"
        for i in range(40)
    ]
    header = "Kundennr;Bestelldatum;Buchtitel;Genre;Menge;Einzelpreis;Retoure"
    content, questions = draft(tmp_path, write(tmp_path, "orders.csv", [header, *rows]))
    assert content == yaml.safe_load(block)
    assert questions == re.findall(r"# \? (.*)", block)


@pytest.mark.parametrize(
    ("values", "expression", "returned"),
    [
        (("ja", "nein"), "Retoure IN ('ja')", 6),
        (("1", "0"), "Retoure IN ('1')", 6),
        (("true", "false"), "Retoure IN ('true')", 6),
        (("2024-04-01", ""), "Retoure IS NOT NULL", 6),
        (("2", "0,5"), "Retoure > 0", 12),
        (("RX", "-"), "false", 0),
    ],
)
def test_a_column_that_says_what_was_brought_back_is_told_and_asked_about(
    tmp_path: Path, values: tuple[str, str], expression: str, returned: int
) -> None:
    rows = [f"{i % 3:03d};{1 + i:02d}.03.2024;Buch {i % 2};4,50;{values[i % 2]}" for i in range(12)]
    content, questions = draft(tmp_path, write(tmp_path, "zeilen.csv", ["Kundennr;Datum;Titel;Preis;Retoure", *rows]))
    assert content["channels"]["pay_bill"]["returns"] == expression
    assert any("Retoure" in q for q in questions)
    assert examination.check(config.load(tmp_path / "shop.yaml"))[1][0].returns == returned


@pytest.mark.parametrize(
    ("events", "profile", "user", "key", "types"),
    [
        ("Anna{}@Mail.example", "anna{}@mail.example", "lower(trim(email))", 'lower(trim("E-Mail"))', None),
        ("{}", "00{}", "email", "E-Mail", ("email", "E-Mail")),
        ("K{}", "K{}", "email", "E-Mail", None),
        ("a{}", "B{}", "email", "E-Mail", None),
    ],
)
def test_ids_that_differ_in_their_writing_alone_are_made_the_same(
    tmp_path: Path, events: str, profile: str, user: str, key: str, types: tuple[str, str] | None
) -> None:
    rows = [f"{events.format(10 + i % 20)},2024-03-0{1 + i % 9}T10:00:00Z,tea {i % 2},1" for i in range(60)]
    orders = write(tmp_path, "orders.csv", ["email,at,product,total", *rows])
    users = write(tmp_path, "users.csv", ["E-Mail,age", *(f"{profile.format(10 + i)},{20 + i}" for i in range(20))])
    content, _ = draft(tmp_path, orders, users)
    entry = content["channels"]["pay_bill"]
    assert (entry["columns"]["user_id"], content["profile"]["key"]) == (user, key)
    assert (entry.get("types"), content["profile"].get("types")) == (
        ({types[0]: "int"}, {types[1]: "int"}) if types else (None, None)
    )
    notes = call_found("source", "check", tmp_path / "shop.yaml").out
    assert ("20 of 20 users have a profile row" in notes) == (events != "a{}")


def test_the_check_says_what_makes_ids_the_same_and_the_key_of_a_profile_may_be_an_expression(tmp_path: Path) -> None:
    write(tmp_path, "orders.csv", ["email,at,what", *(f"Anna{i}@Mail.example,2024-03-0{1 + i},tea" for i in range(9))])
    write(tmp_path, "users.csv", ["E-Mail,age", *(f"anna{i}@mail.example,{20 + i}" for i in range(9))])
    source = {
        "name": "s",
        "channels": {"pay_bill": {"path": "orders.csv", "columns": {"user_id": "email", "event_time": "at", "text": "what"}}},
        "profile": {"path": "users.csv", "key": "E-Mail"},
    }
    out = tmp_path / "shop.yaml"
    out.write_text(yaml.safe_dump(source))
    notes = " ".join(examination.examine(Settings.load(tmp_path / "none"), config.load(out)).notes)
    assert 'write `user_id: lower(trim(email))` in the `columns` of the events and `key: lower(trim("E-Mail"))` in' in notes
    source["channels"]["pay_bill"]["columns"]["user_id"] = "lower(trim(email))"
    source["profile"]["key"] = 'lower(trim("E-Mail"))'
    out.write_text(yaml.safe_dump(source))
    report = examination.examine(Settings.load(tmp_path / "none"), config.load(out))
    assert "9 of 9 users have a profile row" in report.notes
    assert report.source.profile_schema == {"age": "int"}  # what the key is made of is no attribute


def test_rows_of_nobody_are_left_out_and_said(tmp_path: Path) -> None:
    rows = [f"{'NULL' if i % 4 == 0 else f'u{i % 3}'},2024-03-01T10:00:00Z,tea {i % 2},1" for i in range(20)]
    content, questions = draft(tmp_path, write(tmp_path, "orders.csv", ["customer,when,product,price", *rows]))
    assert content["channels"]["pay_bill"]["where"] == "customer IS NOT NULL"
    assert any("25% of the sampled rows have no customer" in q for q in questions)


def test_files_of_one_kind_are_a_pattern_that_takes_up_the_next_one(tmp_path: Path) -> None:
    for month in ("02", "03"):
        rows = [f"u{i % 3},2024-{month}-01T10:00:00Z,tea {i % 2},1" for i in range(9)]
        write(tmp_path / "data", f"orders-2024-{month}.csv", ["customer,when,product,price", *rows])
    assert entry(tmp_path, tmp_path / "data")["path"] == "data/orders*.csv"


def test_parquet_and_delta_are_looked_at_by_their_first_rows(tmp_path: Path) -> None:
    moments = pa.array([at("2024-03-01") + dt.timedelta(hours=i) for i in range(10)], pa.timestamp("us", tz="UTC"))
    table = pa.table({"user_id": [i % 3 for i in range(10)], "event_time": moments, "product": [f"tea {i % 2}" for i in range(10)]})
    pq.write_table(table, tmp_path / "events.parquet")
    content = entry(tmp_path, tmp_path / "events.parquet", channel="spm")
    assert "timezone" not in content
    write_deltalake(str(tmp_path / "events"), table)
    assert entry(tmp_path, tmp_path / "events", channel="spm") == {**content, "path": "events"}


@pytest.mark.slow
def test_a_large_file_is_sampled_at_its_beginning_middle_and_end(tmp_path: Path) -> None:
    lines = [f"u{i % 97},{1 + i * 28 // 200_000:02d}/03/2024,tea {i % 5},1.5" for i in range(200_000)]
    path = write(tmp_path, "orders.csv", ["customer,order_date,product,price", *lines])
    assert path.stat().st_size > 3 * init_sample.SAMPLE_BYTES
    (table,) = init_files.tables([path])[0]
    assert not table.is_whole
    assert table.rows <= init_sample.SAMPLE_ROWS
    assert {v[:2] for v in table.columns["order_date"] if v} >= {"01", "28"}  # so the day is seen to stand first
    assert "sure: " in init.write([path], out=tmp_path / "shop.yaml").text


def shop_database(path: Path) -> Path:
    """A SQLite database as shops have it: orders hold numbers of customers and articles."""
    with contextlib.closing(sqlite3.connect(path)) as con:
        con.executescript(
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, city TEXT, newsletter INTEGER);"
            "CREATE TABLE products (sku TEXT PRIMARY KEY, title TEXT, photo BLOB);"
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, created_at TEXT, sku TEXT, price REAL);"
            "CREATE TABLE empty (id INTEGER);"
        )
        con.executemany("INSERT INTO customers VALUES (?, ?, ?)", [(u, f"town {u % 3}", u % 2) for u in range(9)])
        con.executemany("INSERT INTO products VALUES (?, ?, ?)", [(f"SKU{i}", f"green tea {i}", b"x") for i in range(5)])
        rows = [(i, i % 9, f"2024-03-{1 + i % 28:02d} 10:00:00", f"SKU{i % 5}", 2.5) for i in range(60)]
        con.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", rows)
        con.commit()
    return path


def test_the_tables_of_a_sqlite_database_are_events_names_and_profile_whatever_it_is_called(tmp_path: Path) -> None:
    content, _ = draft(tmp_path, shop_database(tmp_path / "shop.data"))
    events = content["channels"]["pay_bill"]
    assert (events["url"], events["table"]) == ("sqlite:///shop.data", "orders")
    names = {"from": {"url": "sqlite:///shop.data", "table": "products"}, "key": "sku", "column": "title"}
    assert events["columns"] == {
        "user_id": "customer_id",
        "event_time": "created_at",
        "text": names,
        "amount": "price",
        "event_id": "id",
    }
    assert (content["profile"]["table"], content["profile"]["key"]) == ("customers", "id")
    _, (channel,), _, profile = examination.check(config.load(tmp_path / "shop.yaml"))
    assert (channel.users, channel.texts, channel.bad, profile.rows) == (9, 5, {}, 9)


def test_a_table_whose_name_begins_with_sqlite_is_read(tmp_path: Path) -> None:
    path = shop_database(tmp_path / "shop.db")
    with contextlib.closing(sqlite3.connect(path)) as con:
        con.execute("ALTER TABLE orders RENAME TO sqlite2024")
    assert "sqlite2024" in [table.name for table in init_databases.tables(path)]


def test_an_id_of_a_row_is_no_key_to_names_and_that_of_a_thing_is(tmp_path: Path) -> None:
    rows = [f"{i},u{i % 3},2024-03-01T10:00:00Z,{i % 4},1" for i in range(12)]
    orders = write(tmp_path, "orders.csv", ["id,customer_id,created_at,product_id,price", *rows])
    towns = write(tmp_path, "towns.csv", ["id,name", *(f"{i},town {i}" for i in range(12))])
    products = write(tmp_path, "products.csv", ["id,name", *(f"{i},tea {i}" for i in range(4))])
    text = entry(tmp_path, orders, towns, products)["columns"]["text"]
    assert text == {"from": "products.csv", "key": "id", "on": "product_id", "column": "name"}


@pytest.mark.parametrize(("name", "is_question"), [("donor_id", False), ("holder_no", True)])
def test_people_under_a_word_of_their_own_are_recognised_and_asked_about(tmp_path: Path, name: str, is_question: bool) -> None:
    rows = [f"H{i % 5},2024-03-{1 + i % 28:02d},{('winter relief', 'wells')[i % 2]},{i}" for i in range(40)]
    content, questions = draft(tmp_path, write(tmp_path, "gifts.csv", [f"{name},gift_date,campaign,amount_eur", *rows]))
    columns = content["channels"]["pay_bill"]["columns"]
    assert (columns["user_id"], columns["text"], columns["amount"]) == (name, "campaign", "amount_eur")
    assert any(f"is {name} the id of a person?" in q for q in questions) == is_question
    assert any("does campaign say what an event is about?" in q for q in questions)
    assert not any("numbers or codes" in q for q in questions)


def test_a_source_file_that_is_there_is_overwritten_only_when_told(tmp_path: Path) -> None:
    orders = write(tmp_path, "orders.csv", ["customer,when,product,price", "u1,2024-01-01,tea,1", "u1,2024-01-02,milk,1"])
    out = tmp_path / "shop.yaml"
    out.write_text("mine")
    with pytest.raises(BadInput, match="is there already"):
        init.write([orders], out=out)
    assert out.read_text() == "mine"
    outcome = call_found("source", "init", orders, "--out", out, "--force", "--name", "my shop")
    assert outcome.status == 0, outcome.err
    assert "orders.csv: events" in outcome.out
    assert f"found source check {out}" in outcome.out
    assert yaml.safe_load(out.read_text())["name"] == "my shop"


@pytest.mark.parametrize("written", ["kr. {}", "Fr. {}", "{} kr.", "{} zł", "EUR {}", "$ {}"])
def test_the_point_of_an_abbreviated_currency_is_no_decimal_point(tmp_path: Path, written: str) -> None:
    rows = [f"u{i % 3},2024-03-{1 + i % 28:02d},tea,{written.format(100 + i)}" for i in range(40)]
    path = write(tmp_path, "sales.csv", ["customer_id,order_date,product_name,sales", *rows])
    expression = entry(tmp_path, path)["columns"]["amount"]
    (amount,) = duckdb.sql(f"SELECT CAST({expression} AS DOUBLE) FROM (SELECT '{written.format(107)}' AS sales)").fetchall()[0]
    assert amount == 107.0


def test_a_currency_beside_an_amount_and_signs_between_thousands_are_read(tmp_path: Path) -> None:
    rows = [f'c{i % 3},2024-03-{1 + i:02d},{"09" if i % 2 else "21"}:30,tea {i % 2},"$1,{100 + i}.50"' for i in range(20)]
    content = entry(tmp_path, write(tmp_path, "orders.csv", ["customer,date,time,item,sales", *rows]))
    assert (content["decimal"], content["columns"]["amount"]) == (".", "regexp_replace(sales, '[A-Za-z]+[.]|[^-0-9.,()]', '', 'g')")
    assert content["columns"]["event_time"] == "date || ' ' || time"
    con = lake.connect()
    scan.scan(con, config.load(tmp_path / "shop.yaml"))
    assert column(con, "amount")[:2] == [1100.5, 1101.5]
    assert [moment.hour for moment in column(con, "event_time")[:2]] == [21, 9]


def test_files_in_folders_of_dates_are_a_pattern_and_lists_of_two_things_are_two_tables(tmp_path: Path) -> None:
    for month in (1, 2):
        rows = [f"u{i % 3},2024-0{month}-01T10:00:00Z,tea {i % 2},1" for i in range(9)]
        write(tmp_path / "data" / f"month={month}", "part-0.csv", ["customer,when,product,price", *rows])
    assert entry(tmp_path, tmp_path / "data")["path"] == "data/month*/part-0.csv"


def test_firms_are_the_people_of_whoever_sells_to_firms(tmp_path: Path) -> None:
    rows = [f"org-{i % 5},2024-03-{1 + i % 28:02d} 10:00:00,{'chat' if i % 2 else 'export'}" for i in range(60)]
    path = write(tmp_path, "usage.csv", ["tenant_id,used_at,feature", *rows])
    content, questions = draft(tmp_path, path)
    assert content["channels"]["spm"]["columns"]["user_id"] == "tenant_id"
    assert any("is tenant_id the id of a person?" in question for question in questions)


def test_persons_go_before_the_firms_that_they_belong_to(tmp_path: Path) -> None:
    rows = [f"org-{i % 2},m{i % 5},2024-03-{1 + i % 28:02d} 10:00:00,{'chat' if i % 2 else 'export'}" for i in range(60)]
    content = entry(tmp_path, write(tmp_path, "usage.csv", ["company_id,member,used_at,feature", *rows]), channel="spm")
    assert content["columns"]["user_id"] == "member"


def test_a_file_of_mailings_is_what_was_done_to_people(tmp_path: Path) -> None:
    rows = [f"r{i % 5},2024-03-{1 + i % 28:02d} 10:00:00,{'Spring sale' if i % 2 else 'Hello again'}" for i in range(60)]
    content, questions = draft(tmp_path, write(tmp_path, "newsletters.csv", ["reader,sent,subject", *rows]))
    assert content["channels"]["spm"]["exposure"] is True
    assert any("is this what you sent to people?" in question for question in questions)


def test_a_topic_is_a_category_before_the_type_of_an_event(tmp_path: Path) -> None:
    kinds, topics = ("share", "play", "play"), ("news", "jazz")
    rows = [f"l{i % 5},2024-03-{1 + i % 28:02d},{kinds[i % 3]},Part {chr(65 + i % 9)},{topics[i % 2]}" for i in range(60)]
    content = entry(tmp_path, write(tmp_path, "listening.csv", ["listener,at,event_type,title,topic", *rows]), channel="spm")
    assert content["columns"]["category"] == "topic"
