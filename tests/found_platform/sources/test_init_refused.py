"""`found source init` on what it cannot look at: one sentence that says why, and what to do."""

import json
import re
from pathlib import Path

import pytest
from conftest import call_found
from reading import write

from found_platform.errors import BadInput
from found_platform.sources import init

REFUSED = {
    "a database without a row": ("shop.db", b"SQLite format 3\0", "SQLite database"),
    "nothing there": ("none.csv", None, "There is no file"),
    "no kind": ("events.xlsx", b"PK", "events.xlsx is a workbook: save each of its sheets as CSV"),
    "no events": ("towns.csv", b"town,people\nRiga,600000\nAinazi,700\n", "no column of people and none of times"),
    "no text": ("log.csv", b"user_id,at\nu1,2024-01-01\nu1,2024-01-02\n", "no third column"),
    "no JSON": ("log.jsonl", b"user,at\n", "is not JSON Lines"),
    "nothing in it": ("log.csv", b"", "is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_looked_at_is_one_sentence(tmp_path: Path, case: str) -> None:
    name, content, message = REFUSED[case]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    outcome = call_found("source", "init", tmp_path / name, "--out", tmp_path / "shop.yaml")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert re.search(message, outcome.err), outcome.err
    assert not (tmp_path / "shop.yaml").exists()


UNREADABLE = {
    "no rows": ("customer,date,item\n", "has column names and no rows"),
    "no names": ("u1,2024-03-01,tea\nu2,2024-03-02,tea\n", "starts with a row of values"),
    "a name too few": ("customer,date\nu1,2024-03-01,tea\n", "does not head the rows below"),
    "a name twice": ("customer,date,item,Date\nu1,2024-03-01,tea,x\n", "names a column twice"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_text_file_whose_first_line_names_no_columns_is_told_as_it_is(tmp_path: Path, case: str) -> None:
    text, message = UNREADABLE[case]
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(BadInput, match=message):
        init.write([tmp_path / "log.csv"], out=tmp_path / "shop.yaml")
    good = write(tmp_path, "orders.csv", ["customer,date,item", *(f"u{i % 2},2024-03-01,tea {i}" for i in range(9))])
    not_used = init.write([tmp_path], out=tmp_path / "shop.yaml").not_used
    assert message in not_used[str(tmp_path / "log.csv")]
    assert good.exists()


def test_json_whose_rows_are_in_a_list_says_so(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    path.write_text(json.dumps({"orders": [{"customer": "u1", "date": "2024-03-01", "item": "tea"}]}))
    with pytest.raises(BadInput, match=re.escape("jq -c '.orders[]'")):
        init.write([path], out=tmp_path / "shop.yaml")
    path.write_text("\n".join(json.dumps({"customer": f"u{i % 2}", "at": "2024-03-01T10:00:00Z", "items": [{}]}) for i in range(5)))
    with pytest.raises(BadInput, match=re.escape("`text: items.0.NAME`")):
        init.write([path], out=tmp_path / "shop.yaml")
