"""Object storage and joined files as sources."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import at
from deltalake import write_deltalake

from found_platform.errors import BadInput
from found_platform.sources import addresses, config, examination, pulls

COLUMNS = {"user_id": "id", "event_time": "when", "text": "what"}
OPTIONS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "${FOUND_TEST_SECRET}", "AWS_REGION": "us-east-1"}


def rows(users: list[str], day: str = "2024-01-05") -> pa.Table:
    times = pa.array([at(day)] * len(users), pa.timestamp("us", tz="UTC"))
    return pa.table({"id": users, "when": times, "what": ["tea"] * len(users), "day": [day] * len(users)})


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def source_of(folder: Path, **entry: object) -> config.SourceConfig:
    path = folder / "source.yaml"
    content = {"columns": COLUMNS, **entry}
    path.write_text(yaml.safe_dump({"name": "s", "channels": {"pay_bill": content}}))
    return config.load(path)


def users(source: config.SourceConfig) -> int:
    return examination.check(source)[1][0].users


def test_files_and_delta_tables_behind_an_address_are_copied_once(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for day in ("2024-01-01", "2024-01-02"):
        pq.write_table(rows(["a", "b"], day), tmp_path / "raw" / f"events-{day}.parquet")
    source = source_of(tmp_path, path=f"file://{tmp_path}/raw/*.parquet")
    folder = tmp_path / "pulled"
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [2]
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [0]
    pq.write_table(rows(["c"], "2024-01-03"), tmp_path / "raw" / "events-2024-01-03.parquet")
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [1]
    assert users(source) == 3

    write_deltalake(str(tmp_path / "table"), rows(["d"]), partition_by=["day"])
    source = source_of(tmp_path, path=f"file://{tmp_path}/table")
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [1]
    write_deltalake(str(tmp_path / "table"), rows(["e"], "2024-01-06"), mode="append")
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [1]
    assert users(source) == 2
    assert len(list(folder.iterdir())) == 1  # what no entry asks for any more is gone


def test_a_store_that_has_nothing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no file at file://.*check `path`"):
        users(source_of(tmp_path, path=f"file://{tmp_path}/none/*.parquet"))


def test_s3_is_read_by_storage_options(tmp_path: Path, bucket: tuple) -> None:
    client, address = bucket
    options = {**OPTIONS, "AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": True}
    client.put_object(Bucket="events", Key="raw/1.parquet", Body=parquet(rows(["a", "b"])))
    client.put_object(Bucket="events", Key="raw/2.csv", Body=b"id,when,what\nx,2024-01-05,tea\n")
    assert users(source_of(tmp_path, path="s3://events/raw/*.parquet", storage_options=options)) == 2
    assert users(source_of(tmp_path, path="s3://events/raw/2.csv", storage_options=options)) == 1
    given = {k: str(v).lower() if isinstance(v, bool) else v for k, v in options.items()}
    write_deltalake("s3://events/table", rows(["a", "b", "c"]), storage_options={**given, "AWS_SECRET_ACCESS_KEY": "x"})
    assert users(source_of(tmp_path, path="s3://events/table", storage_options=options)) == 3
    with pytest.raises(BadInput, match=r"s3://nowhere/x.parquet cannot be read: NoSuchBucket") as refused:
        users(source_of(tmp_path, path="s3://nowhere/x.parquet", storage_options=options))
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


ORDERS = "order_id,customer,placed\n1,a,2024-01-05\n2,b,2024-01-06\n"
ITEMS = "order_id,item\n1,tea\n1,milk\n2,tea\n"
JOIN = 'SELECT customer AS id, placed AS "when", item AS what FROM orders JOIN items USING (order_id)'


def test_files_that_a_query_joins_are_read_as_one(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    (tmp_path / "items.csv").write_text(ITEMS)
    source = source_of(tmp_path, tables={"orders": "orders.csv", "items": {"path": "items.csv"}}, query=JOIN)
    (report,) = examination.check(source)[1]
    assert (report.rows, report.users, report.texts) == (3, 2, 2)
    folder = tmp_path / "pulled"
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [3]
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [0]
    (tmp_path / "items.csv").write_text(ITEMS + "2,gold\n")
    assert [p.new for p in pulls.refresh(source, folder)[1]] == [4]


ESCAPES = {
    "another file": ("SELECT * FROM read_csv('{folder}/secret.csv')", "the query cannot be run"),
    "another file by its name": ("SELECT * FROM '{folder}/secret.csv'", "the query cannot be run"),
    "a listing": ("SELECT * FROM glob('{folder}/*')", "the query cannot be run"),
    "a copy": ("COPY orders TO '{folder}/orders.csv'", "the query is not one SELECT"),
    "a second statement": ("SELECT 1); COPY orders TO '{folder}/orders.csv'; SELECT (1", "the query cannot be run"),
    "two statements": ("SELECT 1; COPY orders TO '{folder}/orders.csv'", "the query is not one SELECT"),
    "a setting": ("SET enable_external_access=true", "the query is not one SELECT"),
    "no column": ("SELECT nope FROM orders", "nope"),
    "no table": ("SELECT * FROM baskets", "baskets"),
}


@pytest.mark.parametrize("case", ESCAPES)
def test_a_join_reads_its_files_and_nothing_else(tmp_path: Path, case: str) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    (tmp_path / "secret.csv").write_text("id,when,what\nx,2024-01-05,tea\n")
    query, message = ESCAPES[case]
    with pytest.raises(BadInput, match=message) as refused:
        examination.check(source_of(tmp_path, tables={"orders": "orders.csv"}, query=query.format(folder=tmp_path)))
    assert "\n" not in str(refused.value)
    assert (tmp_path / "orders.csv").read_text() == ORDERS


def test_a_row_that_a_join_would_lose_is_named(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS + "3\n")
    with pytest.raises(BadInput, match=r"1 rows of the tables cannot be read, the first is row 3 of .*orders.csv"):
        examination.check(source_of(tmp_path, tables={"orders": "orders.csv"}, query="SELECT * FROM orders"))


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", True),
        ("password", True),
        ("google_service_account_key", True),
        ("AWS_ACCESS_KEY_ID", False),
        ("google_service_account_path", False),
        ("AZURE_FEDERATED_TOKEN_FILE", False),
        ("key_file", False),
        ("AWS_REGION", False),
    ],
)
def test_the_name_of_a_file_with_a_key_is_no_secret(name: str, secret: bool) -> None:
    assert addresses.holds_secret(name) is secret
