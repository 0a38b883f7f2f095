"""The record of processing: complete by the list of tables that hold users, and without a person in it."""

from pathlib import Path

import pytest
from conftest import call_found

from found_platform import lake
from found_platform.app import audiences, deliveries, records, users
from found_platform.app.context import Actor, Context
from found_platform.app.lookups import Question, Size
from found_platform.errors import BadInput
from found_platform.privacy import keys
from found_platform.privacy.user_tables import USER_TABLES
from found_platform.settings import Settings


def test_the_record_names_every_table_and_every_recipient_and_nobody(apart: Settings, tmp_path: Path) -> None:
    context = Context(apart.home, Actor("ann", "test"))
    audiences.save(context, audiences.Save("gold", audiences.Draft(Question("people who will soon buy gold"), Size(top=5))))
    (tmp_path / "sent").mkdir()
    deliveries.add_destination(context, deliveries.NewDestination("crm", f"csv+file://{tmp_path}/sent"))
    deliveries.deliver(context, deliveries.Deliver("gold", "crm"))
    key = lake.read(apart.lake, "raw_profile", columns=["user_key"])["user_key"].to_pylist()[0]
    users.erase(context, users.Erase((keys.user_ids(apart, [key])[key],)))
    record = records.records(context, records.Page(tmp_path / "record.html"))
    assert (record.erasures, record.erased) == (1, 1)
    present = {table.name for table in USER_TABLES if lake.exists(apart.lake, table.name)}
    assert {held.table for held in record.tables} == present
    events = next(held for held in record.tables if held.table == "raw_events")
    assert 0 < events.persons <= record.persons
    assert events.rows == lake.dataset(apart.lake, "raw_events").count_rows()
    assert [(p.name, p.audiences, p.deliveries) for p in record.recipients] == [("crm", ["gold"], 1)]
    page = (tmp_path / "record.html").read_text()
    assert all(text in page for text in (*present, "crm", f"{events.rows:,}", "Consent"))
    user_keys = lake.read(apart.lake, "user_embeddings", columns=["user_key"])["user_key"].to_pylist()
    named = {*user_keys, *keys.user_ids(apart, user_keys).values()}
    assert not [name for name in named if f">{name}<" in page or (name in user_keys and name in page)]


def test_a_page_is_not_replaced_unasked(settings: Settings, tmp_path: Path) -> None:
    context = Context(settings.home, Actor("ann", "test"))
    (tmp_path / "record.html").write_text("mine")
    with pytest.raises(BadInput, match="exists already"):
        records.records(context, records.Page(tmp_path / "record.html"))
    with pytest.raises(BadInput, match=r"is no \.html file"):
        records.records(context, records.Page(tmp_path / "record.pdf"))
    outcome = call_found("records", "--home", settings.home)
    assert (outcome.status, "persons erased: 0" in outcome.out) == (0, True), outcome.err
