"""Databases as sources: every row to the digit, only new rows the next time, and no password in sight."""

import datetime as dt
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from conftest import call_found

from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import config, examination, pulls, staging

COLUMNS = {"user_id": "customer", "event_time": "bought_at", "text": "item", "amount": "price"}


def shop_db(folder: Path, rows: int = 60) -> sqlite3.Connection:
    con = sqlite3.connect(folder / "shop.db")
    con.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer, bought_at TEXT, item TEXT, price NUMERIC)")
    add(con, rows)
    return con


def add(con: sqlite3.Connection, rows: int, day: str = "2024-01-01", customer: object = None) -> None:
    start = dt.datetime.fromisoformat(day)
    for i in range(rows):
        moment = (start + dt.timedelta(hours=12 * i)).isoformat(" ")
        con.execute("INSERT INTO orders VALUES (NULL, ?, ?, ?, ?)", (customer or f"u{i % 7}", moment, "tea", i / 2))
    con.commit()


def source_of(folder: Path, **entry: object) -> Path:
    content = {"url": "sqlite:///shop.db", "table": "orders", "columns": COLUMNS, **entry}
    path = folder / "source.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "channels": {"pay_bill": {k: v for k, v in content.items() if v is not None}}}))
    return path


def pulled(folder: Path) -> list[dict]:
    """The rows of all snapshots under a folder, as they stand there."""
    return [row for file in sorted(folder.rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_a_table_and_a_query_of_sqlite_are_read_like_files(tmp_path: Path) -> None:
    shop_db(tmp_path)
    (report,) = examination.check(config.load(source_of(tmp_path)))[1]
    assert (report.rows, report.good, report.users, report.first_day) == (60, 60, 7, dt.date(2024, 1, 1))
    query = "SELECT customer, bought_at, 'green:' || item AS item, price FROM orders WHERE price > 5 -- the dear ones"
    (report,) = examination.check(config.load(source_of(tmp_path, table=None, query=query)))[1]
    assert (report.rows, report.good) == (49, 49)


def test_with_a_cursor_only_new_rows_are_read_and_old_ones_stay(tmp_path: Path) -> None:
    con = shop_db(tmp_path)
    source = config.load(source_of(tmp_path, cursor="id"))
    folder = tmp_path / "pulled"
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [60]
    before = {f: f.stat().st_mtime_ns for f in folder.rglob("*.parquet")}
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [0]
    assert before == {f: f.stat().st_mtime_ns for f in folder.rglob("*.parquet")}
    con.execute("DELETE FROM orders WHERE id < 10")  # the database forgets, the snapshot does not
    add(con, 3, "2024-03-01")
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [3]
    assert sorted(row["id"] for row in pulled(folder)) == list(range(1, 64))
    assert [p.new for p in pulls.refresh(source, folder, full=True)[1]] == [54]
    assert sorted(row["id"] for row in pulled(folder)) == list(range(10, 64))


def test_a_row_that_comes_late_with_the_newest_cursor_value_is_read(tmp_path: Path) -> None:
    con = shop_db(tmp_path, rows=4)
    source = config.load(source_of(tmp_path, cursor="bought_at"))
    folder = tmp_path / "pulled"
    pulls.refresh(source, folder)
    add(con, 1, "2024-01-02T12:00:00", customer="late")
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [1]
    assert [row["customer"] for row in pulled(folder)].count("late") == 1
    assert len(pulled(folder)) == 5


def test_a_column_whose_type_widens_is_one_type_in_all_files(tmp_path: Path) -> None:
    con = shop_db(tmp_path, rows=0)
    con.executemany("INSERT INTO orders VALUES (NULL, ?, '2024-01-01', 'tea', ?)", [(17000, 1), (17001, None)])
    con.commit()
    source = config.load(source_of(tmp_path, cursor="id"))
    folder = tmp_path / "pulled"
    pulls.refresh(source, folder)
    con.execute("INSERT INTO orders VALUES (NULL, 'guest-9007199254740993', '2024-01-02', 'tea', 2.5)")
    con.commit()
    pulls.refresh(source, folder)
    assert [(r["customer"], r["price"]) for r in pulled(folder)] == [
        ("17000", 1.0),
        ("17001", None),
        ("guest-9007199254740993", 2.5),
    ]
    assert len({str(pq.read_schema(f).remove_metadata()) for f in folder.rglob("*.parquet")}) == 1


def test_a_home_takes_up_new_rows_and_scans_the_same_again_without_the_database(tmp_path: Path) -> None:
    con = shop_db(tmp_path)
    source = config.load(source_of(tmp_path, cursor="id"))
    settings = Settings.load(tmp_path / "home", profile="tiny")
    staging.open_home(settings, staging.discover(settings, source))
    assert "sqlite:///" in (settings.home / "source.yaml").read_text()
    assert staging.stage(settings).channels[0].good == 60
    fingerprint = staging.source_fingerprint(settings)
    add(con, 2, "2024-01-05")
    assert staging.source_fingerprint(settings) == fingerprint  # nobody asked for new rows yet
    (tmp_path / "shop.db").rename(tmp_path / "away.db")
    assert staging.stage(settings).channels[0].good == 60
    (tmp_path / "away.db").rename(tmp_path / "shop.db")
    staging.discover(settings, source)
    assert staging.source_fingerprint(settings) != fingerprint
    assert staging.stage(settings).channels[0].good == 62
    add(con, 1, "2024-01-06")
    outcome = call_found("source", "pull", "--home", settings.home)
    assert (outcome.status, outcome.out) == (0, "channel 'pay_bill': 1 new rows\n")
    assert staging.stage(settings).channels[0].good == 63


def names_db(folder: Path) -> sqlite3.Connection:
    """A shop whose orders hold numbers of articles, and a table of their names."""
    con = shop_db(folder, rows=0)
    con.execute("CREATE TABLE articles (sku TEXT, name TEXT, shelf TEXT)")
    con.executemany("INSERT INTO articles VALUES (?, ?, ?)", [("01", "green tea", "food"), ("02", "cup", "home")])
    for item in ("01", "02", "01", "09"):
        con.execute("INSERT INTO orders VALUES (NULL, 'u1', '2024-01-01 10:00:00', ?, 2)", (item,))
    con.commit()
    return con


@pytest.mark.parametrize(
    "place", [{"table": "articles"}, {"url": "sqlite:///shop.db", "query": "SELECT * FROM articles WHERE name <> ''"}]
)
def test_names_are_looked_up_in_a_table_of_a_database(tmp_path: Path, place: dict) -> None:
    con = names_db(tmp_path)
    lookup = {"from": place, "key": "sku", "on": "item"}
    columns = {**COLUMNS, "text": {**lookup, "column": "name"}, "category": {**lookup, "column": "shelf"}}
    source = config.load(source_of(tmp_path, columns=columns))
    settings = Settings.load(tmp_path / "home", profile="tiny")
    staging.open_home(settings, staging.discover(settings, source))
    (report,) = staging.stage(settings).channels
    assert (report.good, report.texts) == (3, 2)
    assert report.bad == {f"item is not in {place.get('table', 'the query')}": 1}
    con.execute("UPDATE articles SET name = 'black tea' WHERE sku = '01'")
    con.execute("INSERT INTO articles VALUES ('09', 'pot', 'home')")
    con.commit()
    before = staging.source_fingerprint(settings)
    staging.open_home(settings, staging.discover(settings, config.of_home(settings)))
    assert staging.source_fingerprint(settings) != before  # a name that changes is a source that has changed
    assert staging.stage(settings).channels[0].good == 4


def test_files_take_their_names_from_a_database(tmp_path: Path) -> None:
    names_db(tmp_path)
    (tmp_path / "orders.csv").write_text("customer,bought_at,item\nu1,2024-01-01,01\nu2,2024-01-02,02\n")
    lookup = {"from": {"url": "sqlite:///shop.db", "table": "articles"}, "key": "sku", "on": "item", "column": "name"}
    columns = {"user_id": "customer", "event_time": "bought_at", "text": lookup}
    (report,) = examination.check(config.load(source_of(tmp_path, url=None, table=None, path="orders.csv", columns=columns)))[1]
    assert (report.good, report.texts, report.bad) == (2, 2, {})


BAD = {
    "no file": ({"url": "sqlite:///none.db"}, "there is no SQLite file"),
    "no table": ({"table": "nope"}, "the table 'nope' cannot be read from sqlite:///.*no such table: nope"),
    "no query column": ({"table": None, "query": "SELECT nope FROM orders"}, "the query cannot be read .*no such column: nope"),
    "no mapped column": ({"columns": {**COLUMNS, "text": "nope"}}, "nope"),
    "no cursor column": ({"cursor": "nope"}, "no such column: .*nope"),
    "no order": ({"cursor": "customer"}, "whose order need not be"),
    "no cursor value": ({"table": None, "query": "SELECT *, NULL AS price2 FROM orders", "cursor": "price2"}, "null"),
    "a change": ({"table": None, "query": "DELETE FROM orders"}, "the query cannot be read"),
    "no database": ({"url": "shop"}, "no address of a database"),
    "no dialect": ({"url": "shopql://h/d"}, "no dialect 'shopql'"),
    "no driver": ({"url": "mssql+pymssql://h/d"}, "the driver 'pymssql' of mssql\\+pymssql is not installed"),
    "no variable": ({"url": "postgresql+psycopg://u:${NO_SUCH_VARIABLE}@h/d"}, "no variable NO_SUCH_VARIABLE"),
    "a lookup without a database": (
        {
            "url": None,
            "table": None,
            "path": "x.csv",
            "columns": {**COLUMNS, "text": {"from": {"table": "t"}, "key": "a", "column": "b"}},
        },
        "text: `from` names a table or query, and neither it nor the entry has the `url` of a database",
    ),
    "a lookup in no table": (
        {"columns": {**COLUMNS, "text": {"from": {"table": "nope"}, "key": "a", "column": "b"}}},
        "channel 'pay_bill', text: the table 'nope' cannot be read from sqlite:///",
    ),
    "a lookup without its key": (
        {"columns": {**COLUMNS, "text": {"from": {"table": "orders"}, "key": "nope", "column": "item", "on": "item"}}},
        "has no column 'nope'; it has id, customer",
    ),
    "a password": ({"url": "postgresql+psycopg://u:hunter2@h/d"}, "url holds a password"),
    "a password as an option": ({"url": "postgresql+psycopg://u@h/d?password=hunter2"}, "url holds a password"),
    "a password of a store": ({"url": None, "table": None, "path": "s3://u:hunter2@b/x.csv"}, "path holds a user or a password"),
    "a signature of a store": (
        {"url": None, "table": None, "path": "az://b/x.csv?sv=1&sig=hunter2"},
        r"path holds a secret \(sig=…\)",
    ),
    "query and table": ({"query": "SELECT 1"}, "one of them"),
    "path and url": ({"path": "x.csv"}, "path and url"),
    "a cursor of files": ({"url": None, "table": None, "path": "x.csv", "cursor": "id"}, "`cursor` goes with"),
    "options without a store": ({"url": None, "table": None, "path": "x.csv", "storage_options": {"a": "b"}}, "goes with a `path`"),
    "a secret in options": (
        {"url": None, "table": None, "path": "s3://b/x.csv", "storage_options": {"AWS_SECRET_ACCESS_KEY": "hunter2"}},
        "AWS_SECRET_ACCESS_KEY holds a secret",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_one_sentence_and_holds_no_password(tmp_path: Path, case: str) -> None:
    shop_db(tmp_path)
    entry, message = BAD[case]
    outcome = call_found("source", "check", source_of(tmp_path, **entry))
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1, outcome.err
    assert re.search(message, outcome.err), outcome.err
    assert "hunter2" not in outcome.out + outcome.err
    assert not (tmp_path / "none.db").exists()
    assert sqlite3.connect(tmp_path / "shop.db").execute("SELECT count(*) FROM orders").fetchone() == (60,)


@pytest.fixture
def orders(postgres: str) -> Iterator[str]:
    import psycopg

    host = postgres.partition("host=")[2]
    with psycopg.connect(host=host, user="shop", password="hunter2", dbname="postgres", autocommit=True) as con:
        con.execute("SET TimeZone = 'America/New_York'")
        con.execute("DROP SCHEMA IF EXISTS sales CASCADE")
        con.execute("CREATE SCHEMA sales")
        con.execute(
            "CREATE TABLE sales.orders (id bigserial, customer numeric(20), bought_at timestamptz, item text, price numeric(10,2), "
            "more jsonb, tags text[])"
        )
        con.execute(
            "INSERT INTO sales.orders (customer, bought_at, item, price, more, tags) SELECT 9007199254740993 + i % 3, "
            "timestamptz '2024-01-01 23:30+00' + i * interval '1 day', 'tea', 12.90, '{\"size\": 1}', ARRAY['a'] "
            "FROM generate_series(0, 9) i"
        )
        con.execute("ALTER ROLE shop SET TimeZone = 'America/New_York'")  # another zone than UTC must change nothing
        yield postgres


def test_postgresql_is_read_to_the_digit_and_to_the_hour(tmp_path: Path, orders: str) -> None:
    source = config.load(source_of(tmp_path, url=orders, table="sales.orders", cursor="bought_at"))
    folder = tmp_path / "pulled"
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [10]
    rows = pulled(folder)
    assert {row["customer"] for row in rows} == {9007199254740993, 9007199254740994, 9007199254740995}
    assert rows[0]["bought_at"] == dt.datetime(2024, 1, 1, 23, 30, tzinfo=dt.UTC)
    assert (rows[0]["price"], rows[0]["more"], rows[0]["tags"]) == (12.9, '{"size": 1}', '["a"]')
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [0]
    assert len(pulled(folder)) == 10
    (report,) = examination.check(source)[1]
    assert (report.users, report.first_day, report.last_day) == (3, dt.date(2024, 1, 1), dt.date(2024, 1, 10))
    with pytest.raises(BadInput, match="names a column twice"):
        examination.check(config.load(source_of(tmp_path, url=orders, table=None, query="SELECT id, id FROM sales.orders")))


def test_the_password_is_in_no_file_of_a_home_and_in_no_message(
    tmp_path: Path, orders: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    source = config.load(source_of(tmp_path, url=orders, table="sales.orders"))
    staging.open_home(settings, staging.discover(settings, source))
    staging.stage(settings)
    assert b"hunter2" not in b"".join(f.read_bytes() for f in settings.home.rglob("*") if f.is_file())
    monkeypatch.setenv("FOUND_TEST_PASSWORD", "wrong-secret")
    with pytest.raises(BadInput, match=r"cannot be reached: .*password authentication failed") as refused:
        staging.discover(settings, source)
    assert "wrong-secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unreachable_server_is_named(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed: pip install 'found-platform[postgres]'")
    source = config.load(source_of(tmp_path, url="postgresql+psycopg://shop@127.0.0.1:1/shop"))
    with pytest.raises(BadInput, match=r"postgresql\+psycopg://shop@127.0.0.1:1/shop cannot be reached: .*refused"):
        examination.check(source)
