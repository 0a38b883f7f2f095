"""Each known export: its example is recognised, the source file that is written passes the check, and its rows are as expected."""

import gzip
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import call_found

from found_platform import lake
from found_platform.sources import config, discovery, init_files, init_recipes, init_trial, pulls, scan

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "exports"
RECIPES = [recipe.name for recipe in init_recipes.all_recipes()]


def scanned(source: Path, folder: Path) -> list[dict]:
    """The good rows that a source file leads to, as `expected.yaml` writes them."""
    con = lake.connect()
    files = pulls.refresh(config.load(source), folder)[0]
    scan.scan(con, discovery.discover(con, files))
    rows = con.execute(
        "SELECT channel, user_id, strftime(event_time AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S') AS event_time, text, category, "
        "round(amount, 4) AS amount, coalesce(status = 'return', false) AS returned FROM scanned WHERE reason IS NULL ORDER BY ALL"
    ).to_arrow_table()
    return rows.to_pylist()


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_an_export_is_recognised_checked_and_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUND_HORIZON_DAYS", "3")  # the examples hold a week or two
    shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns("expected.yaml"))
    out = tmp_path / "shop.yaml"
    written = call_found("source", "init", tmp_path / name, "--out", out, "--format", "json")
    assert written.status == 0, written.err
    answer = json.loads(written.out)
    (recipe,) = [r for r in init_recipes.all_recipes() if r.name == name]
    assert answer["recipe"] == recipe.title
    assert answer["questions"] == [line.partition("# ? ")[2] for line in out.read_text().splitlines() if "# ? " in line]
    check = call_found("source", "check", out)
    assert check.status == 0, check.err
    expected = yaml.safe_load((EXAMPLES / name / "expected.yaml").read_text())
    rows = scanned(out, tmp_path / "pulled")
    assert {c: sum(r["channel"] == c for r in rows) for c in expected["rows"]} == expected["rows"]
    assert len(rows) == sum(expected["rows"].values())
    assert sum(r["returned"] for r in rows) == expected.get("returns", 0)
    for row in expected["examples"]:
        assert any(row.items() <= r.items() for r in rows), f"no row is {row}: {rows}"


@pytest.mark.slow
def test_a_recipe_reads_nested_parquet_as_it_reads_json_lines(tmp_path: Path) -> None:
    lines = (EXAMPLES / "ga4_bigquery" / "events_20240301.jsonl").read_text().splitlines()
    values = ("string_value", "int_value", "double_value", "float_value")
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row["event_timestamp"] = int(row["event_timestamp"])
        for param in row["event_params"]:
            param["value"] = {name: param["value"].get(name) for name in values}
            param["value"]["int_value"] = int(param["value"]["int_value"] or 0) or None
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "events_20240301.parquet")
    (tmp_path / "lines").mkdir()
    shutil.copy(EXAMPLES / "ga4_bigquery" / "events_20240301.jsonl", tmp_path / "lines")
    read = []
    for number, files in enumerate((tmp_path / "events_20240301.parquet", tmp_path / "lines")):
        out = tmp_path / f"shop{number}.yaml"
        assert call_found("source", "init", files, "--out", out).status == 0
        read.append(scanned(out, tmp_path / f"pulled{number}"))
    assert read[0] == read[1]
    assert read[0]


def test_a_recipe_is_text_that_needs_its_places_filled_and_nothing_else() -> None:
    for recipe in init_recipes.all_recipes():
        tables = {name for name, _ in init_recipes.PLACE.findall(recipe.source)}
        assert tables == recipe.tables.keys(), recipe.name
        conditions = [m for line in recipe.source.splitlines() if (m := init_recipes.CONDITION.search(line))]
        assert {m[2] for m in conditions} <= recipe.tables.keys(), recipe.name


def test_an_entry_of_which_the_export_holds_nothing_is_written_as_a_comment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUND_HORIZON_DAYS", "3")
    lines = (EXAMPLES / "ga4_bigquery" / "events_20240301.jsonl").read_text().splitlines()
    unsearched = [line for line in lines if "search" not in json.loads(line)["event_name"]]
    assert 0 < len(unsearched) < len(lines)
    with gzip.open(tmp_path / "events_20240301.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(unsearched) + "\n")
    out = tmp_path / "shop.yaml"
    assert call_found("source", "init", tmp_path, "--out", out).status == 0
    assert "  # search:" in out.read_text()
    assert "search" not in yaml.safe_load(out.read_text())["channels"]
    assert call_found("source", "check", out).status == 0


@pytest.mark.parametrize("name", RECIPES)
def test_the_trial_of_a_recipe_can_be_made(tmp_path: Path, name: str) -> None:
    (recipe,) = [r for r in init_recipes.all_recipes() if r.name == name]
    matches = recipe.match(init_files.tables([EXAMPLES / name])[0])
    assert matches is not None
    rows = init_trial.rows_of_entries(recipe, matches, tmp_path)
    assert any(rows.values()) or not rows
