"""`found source init` on exports of shops, banks and apps: titles above, lists within, the shop itself, other languages."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drafts import draft, entry
from reading import column, write

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.sources import config, examination, scan

TITLED = ["Statement of account", "made on;01.09.2026", "", "Cust. No.;Booked;What;Amount (EUR)"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_lines_above_the_column_names_are_skipped_and_rows_are_numbered_below_them(tmp_path: Path, line_end: str) -> None:
    rows = [f"{i % 4:03d};{1 + i:02d}.03.2024;tea {i % 2};1,{i % 10}0" for i in range(20)]
    text = line_end.join([*TITLED, *rows, "003;never;tea 1;1,00", ""])
    (tmp_path / "account.csv").write_bytes(text.encode("cp1252"))
    content = entry(tmp_path, tmp_path / "account.csv")
    assert (content["skip"], content["columns"]["user_id"], content["columns"]["amount"]) == (3, "Cust. No.", "Amount (EUR)")
    con = lake.connect()
    scan.scan(con, config.load(tmp_path / "shop.yaml"))
    assert column(con, "user_id")[:4] == ["000", "001", "002", "003"]
    assert con.execute("SELECT row_number FROM scanned WHERE reason IS NOT NULL").fetchall() == [(21,)]


def test_more_lines_to_skip_than_a_file_has_are_said(tmp_path: Path) -> None:
    write(tmp_path, "orders.csv", ["title", "customer,date,item", *(f"u{i % 2},2024-03-01,tea {i}" for i in range(9))])
    (tmp_path / "shop.yaml").write_text(
        "name: shop\nchannels:\n  pay_bill: {path: orders.csv, skip: 40, timezone: UTC, "
        "columns: {user_id: customer, event_time: date, text: item}}\n"
    )
    with pytest.raises(BadInput, match="ends before line 41, where `skip: 40` expects the column names"):
        examination.check(config.load(tmp_path / "shop.yaml"))


PAYMENTS = ["Date,Time Zone,Type,Status,Shipping,Gross,From Email,To Email,Item"] + [
    f"{1 + i % 12}/{14 + i % 9}/2026,PST,{'Payment' if i % 9 else 'Withdrawal'},{'Pending' if i % 7 == 1 else 'Completed'},4.90,"
    f'"1,{100 + i}.00",{f"u{i % 30}@mail.example" if i % 9 else ""},shop@mail.example,{f"tea {i % 3}" if i % 9 else ""}'
    for i in range(180)
]


def test_the_shop_itself_is_no_customer_and_what_was_never_paid_no_purchase(tmp_path: Path) -> None:
    content, questions = draft(tmp_path, write(tmp_path, "payments.csv", PAYMENTS))
    payments = content["channels"]["pay_bill"]
    assert (payments["columns"]["user_id"], payments["columns"]["amount"]) == ("From Email", "Gross")
    assert "Status NOT IN ('Pending')" in payments["where"]
    assert content["channels"].keys() == {"pay_bill"}  # withdrawals have nobody
    assert any("Time Zone beside it says PST" in question for question in questions)


def test_an_account_with_money_going_out_is_asked_about(tmp_path: Path) -> None:
    rows = [f"u{i % 4},2024-03-{1 + i:02d},{'-' if i % 4 else ''}1.50,tea {i % 2}" for i in range(20)]
    content, questions = draft(tmp_path, write(tmp_path, "account.csv", ["customer,booked_utc,amount,what", *rows]))
    assert any("75% of the sampled rows have a negative amount" in question for question in questions)
    assert not any("names no time zone" in question for question in questions)
    assert content["channels"]["pay_bill"]["timezone"] == "UTC"


ORDER = {
    "id": 1,
    "created_at": "2024-03-01T10:00:00Z",
    "customer": {"id": 7},
    "total_price": "30.00",
    "line_items": [{"title": "green tea", "price": "4.50", "quantity": 2}, {"title": "oat milk", "price": "2.00", "quantity": 1}],
    "shipping_lines": [{"code": "standard"}],
}


def orders(prices: bool = True) -> list[dict]:
    lines = [{k: v for k, v in line.items() if prices or k == "title"} for line in ORDER["line_items"]]
    return [{**ORDER, "id": n, "customer": {"id": n % 5}, "line_items": lines} for n in range(12)]


def events(folder: Path) -> list[tuple]:
    """Users, texts and amounts of a source file that was written for a folder, in their order."""
    from found_platform.sources import pulls

    con = lake.connect()
    scan.scan(con, pulls.refresh(config.load(folder / "shop.yaml"), folder / "pulled")[0])
    return con.execute("SELECT user_id, text, amount FROM scanned WHERE reason IS NULL ORDER BY user_id, text").fetchall()


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_each_item_of_an_order_is_a_row_with_its_own_amount(tmp_path: Path, kind: str) -> None:
    if kind == "jsonl":
        (tmp_path / "orders.jsonl").write_text("\n".join(json.dumps(order) for order in orders()) + "\n")
    else:
        pq.write_table(pa.Table.from_pylist(orders()), tmp_path / "orders.parquet")
    content = entry(tmp_path, tmp_path / f"orders.{kind}")
    assert content["columns"]["text"] == "line_items_title"
    rows = events(tmp_path)
    assert len(rows) == 24
    assert rows[:2] == [("0", "green tea", 9.0), ("0", "green tea", 9.0)]


def test_the_total_of_an_order_whose_items_have_no_price_counts_once(tmp_path: Path) -> None:
    (tmp_path / "orders.jsonl").write_text("\n".join(json.dumps(order) for order in orders(prices=False)) + "\n")
    entry(tmp_path, tmp_path / "orders.jsonl")
    assert sum(amount for _, _, amount in events(tmp_path)) == 12 * 30


def test_a_list_of_tags_is_no_reason_to_read_events_by_their_tags(tmp_path: Path) -> None:
    rows = [
        {"user_id": f"u{n % 4}", "at": "2024-03-01T10:00:00Z", "title": f"page {n % 3}", "tags": [{"name": "urgent"}]}
        for n in range(12)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert entry(tmp_path, tmp_path / "log.jsonl", channel="spm")["columns"]["text"] == "title"


LANGUAGES = {
    "French": ("Client;Date de commande;Désignation;Quantité;Prix unitaire;Montant TTC;Statut", "Remboursée"),
    "Spanish": ("Cliente;Fecha;Descripción;Cantidad;Precio;Importe;Estado", "Devuelta"),
    "Italian": ("Cliente;Data ordine;Articolo;Quantità;Prezzo;Importo;Stato", "Annullato"),
    "German": ("Kunde;Bestelldatum;Bezeichnung;Menge;Einzelpreis;Betrag;Status", "Storniert"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_columns_are_recognised_in_the_languages_of_shops(tmp_path: Path, language: str) -> None:
    header, returned = LANGUAGES[language]
    rows = [f"c{i % 4};{1 + i:02d}/03/2024;tea {i % 2} cup;2;4,50;9,00;{returned if i == 3 else 'OK'}" for i in range(20)]
    content = entry(tmp_path, write(tmp_path, "log.csv", [header, *rows]))
    names = header.split(";")
    assert content["columns"] == {
        "user_id": names[0],
        "event_time": names[1],
        "text": names[2],
        "amount": names[5],
        "status": names[6],
    }
    assert content["returns"] == f"{names[6]} IN ('{returned}')"


def test_searches_are_read_by_the_words_that_were_typed(tmp_path: Path) -> None:
    kinds = [("purchase", "green tea", None), ("search", None, "oat milk"), ("screen_view", "home page", None)]
    rows = [
        {"uid": n % 5, "ts": 1709287200000 + n * 1000, "evt": kinds[n % 3][0], "item_name": kinds[n % 3][1], "q": kinds[n % 3][2]}
        for n in range(30)
    ]
    (tmp_path / "app.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    channels = draft(tmp_path, tmp_path / "app.jsonl")[0]["channels"]
    assert {name: content["columns"]["text"] for name, content in channels.items()} == {
        "pay_bill": "item_name",
        "search": "q",
        "spm": "item_name",
    }


def test_a_field_of_a_list_is_judged_by_its_own_name_and_may_be_a_word_of_the_engine(tmp_path: Path) -> None:
    rows = [
        {"customer": {"meter": f"m{i % 7}", "channel": ("phone", "web")[i % 2]}, "at": f"2024-03-0{1 + i % 9}T10:00:00Z",
         "topics": [{"kind": "complaint", "text": f"Bill {i % 3} is too high"}]}
        for i in range(30)
    ]  # fmt: skip
    (tmp_path / "contacts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    content = entry(tmp_path, channel="spm")
    assert content["columns"]["text"] == "topics_text"
    assert '"at"' in content["query"]


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("true", "false")])
@pytest.mark.parametrize("title", ["title", "count"])
def test_a_kind_that_is_spread_over_columns_is_a_category_and_the_text_where_there_is_none(
    tmp_path: Path, yes: str, no: str, title: str
) -> None:
    kinds = ("crime", "travel_guides", "cooking")
    rows = [
        f"{i % 5},2024-03-0{1 + i % 9}T10:00:00Z,{'Book about' if title == 'title' else 1},{yes},"
        + ",".join(yes if i % 3 == place else no for place in range(3))
        for i in range(30)
    ]
    header = f"reader_id,loaned_at,{title},newsletter," + ",".join(f"is_{kind}" for kind in kinds)
    write(tmp_path, "loans.csv", [header, *(row.replace("about", f"about {n % 4}") for n, row in enumerate(rows))])
    entry(tmp_path, channel="spm")
    con = lake.connect()
    scan.scan(con, config.load(tmp_path / "shop.yaml"))
    name = "category" if title == "title" else "text"
    assert set(column(con, name)) == {"crime", "travel guides", "cooking"}


def test_a_measured_value_is_no_text(tmp_path: Path) -> None:
    rows = [f"k{i % 5},2024-03-0{1 + i % 9}T10:00:00Z,{i}.37{i % 9 + 1}" for i in range(30)]
    content, questions = draft(tmp_path, write(tmp_path, "readings_2024.csv", ["customer_id,read_at,kwh", *rows]))
    assert content["channels"]["spm"]["columns"]["text"] == "'readings'"
    assert content["channels"]["spm"]["confirm"] == ["readings"]  # else the check would ask whether it is a text at all
    assert any("kwh is measured" in question for question in questions)
