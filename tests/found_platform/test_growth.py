"""A home grows with its source: days, attributes and the source file may change, and nothing is lost unless somebody says so."""

import datetime as dt
import gzip
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SHARED, at, call_found, lake_of, write_source

from dagster_defs.graph import AssetGraph
from found_platform import contract, feature_store, lake
from found_platform.errors import BadInput
from found_platform.features import write
from found_platform.settings import Settings
from found_platform.sources import config, folders, scan, staging, survey

CASES = SHARED / "cases"
needs_cases = pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not beside the checkout")

COLUMNS = {"user_id": "id", "event_time": "when", "text": "what", "event_id": "number"}


def day_file(folder: Path, day: dt.date, users: int = 5, text: str = "tea") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"u{i},{day} {8 + i}:00:00,{text},{day}-{i}" for i in range(users)]
    (folder / f"orders-{day}.csv").write_text("\n".join(["id,when,what,number", *lines]) + "\n")


def shop(folder: Path, days: int = 6, **content: Any) -> Path:
    """A source of a file a day from 2024-03-01 on, five events each."""
    for i in range(days):
        day_file(folder, dt.date(2024, 3, 1) + dt.timedelta(days=i))
    return source_file(folder, **content)


def source_file(folder: Path, where: str | None = None, **content: object) -> Path:
    entry = {"path": "orders-*.csv", "columns": COLUMNS, **({"where": where} if where else {})}
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump({"name": "shop", "channels": {"pay_bill": entry}, **content}))
    return path


def follow(settings: Settings, path: Path, removed: str | None = None, another: bool = False) -> list[str]:
    """What `found demo` does before the graph runs, and the scan."""
    discovered = staging.discover(settings, config.load(path), another=another)
    prepared = staging.prepare(settings, discovered, removed=removed)  # pyright: ignore[reportArgumentType]
    staging.open_home(settings, prepared.source)
    if staging.waits(settings):
        assert staging.stage(settings).staged
    return prepared.notes


def staged(settings: Settings) -> dict[str, int]:
    return {day: rows for day, (rows, _) in sorted(staging.manifest(settings)["days"].items())}


def test_the_next_day_s_file_is_taken_up_and_nothing_else_changes(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    path = shop(tmp_path)
    assert follow(settings, path) == []
    before = staging.manifest(settings)["days"]
    assert AssetGraph(settings).keys("raw_events")[-1] == "2024-03-06"
    day_file(tmp_path, dt.date(2024, 3, 7))
    day_file(tmp_path, dt.date(2024, 4, 2))
    follow(settings, path)
    after = staging.manifest(settings)["days"]
    assert {d: after[d] for d in before} == before
    assert sorted(set(after) - set(before)) == ["2024-03-07", "2024-04-02"]
    keys = AssetGraph(settings).keys("raw_events")
    assert (keys[0], keys[-1], AssetGraph(settings).keys("training_set")[-1]) == ("2024-03-01", "2024-04-02", "2024-04-03")
    assert config.of_home(settings).days == [dt.date(2024, 3, 1), dt.date(2024, 4, 3)]


def test_a_scan_of_its_own_finds_the_new_day_too(tmp_path: Path) -> None:
    """As in a run that is started from the UI."""
    settings = Settings.load(tmp_path / "home", profile="tiny")
    follow(settings, shop(tmp_path))
    day_file(tmp_path, dt.date(2024, 3, 7))
    assert staging.stage(settings).staged
    assert AssetGraph(settings).keys("raw_events")[-1] == "2024-03-07"
    fingerprint = staging.source_fingerprint(settings)
    staging.stage(settings)
    assert staging.source_fingerprint(settings) == fingerprint


def test_a_changed_source_file_changes_what_it_changes_and_nothing_else(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    follow(settings, shop(tmp_path))
    secret = (settings.home / "secret").read_text()
    before = staging.manifest(settings)["days"]
    day_file(tmp_path, dt.date(2024, 3, 2), text="coffee")  # the texts of a day are mended
    follow(settings, source_file(tmp_path, profile=None))
    after = staging.manifest(settings)["days"]
    assert [d for d in before if after[d] != before[d]] == ["2024-03-02"]
    renamed = source_file(tmp_path, where="what <> 'coffee'")
    with pytest.raises(BadInput, match=r"1 day with 5 events has none now \(2024-03-02\)"):
        follow(settings, renamed)
    follow(settings, renamed, removed="drop")
    assert "2024-03-02" not in staged(settings)
    assert AssetGraph(settings).keys("raw_events")[1] == "2024-03-02"  # it stays a day of the home, with nothing in it
    assert (settings.home / "secret").read_text() == secret


def test_a_span_is_extended_and_narrowed_by_the_source_file(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    path = shop(tmp_path, span={"start": dt.date(2024, 3, 2), "end": dt.date(2024, 3, 5)})
    follow(settings, path)
    assert list(staged(settings)) == ["2024-03-02", "2024-03-03", "2024-03-04"]
    follow(settings, source_file(tmp_path, span={"start": dt.date(2024, 3, 2), "end": None}))
    assert list(staged(settings))[-1] == "2024-03-06"
    assert config.of_home(settings).days == [dt.date(2024, 3, 2), dt.date(2024, 3, 7)]
    follow(settings, source_file(tmp_path, span={"start": dt.date(2024, 3, 4)}))  # a wish: nobody asks
    assert list(staged(settings)) == ["2024-03-04", "2024-03-05", "2024-03-06"]
    assert config.of_home(settings).days[0] == dt.date(2024, 3, 4)
    assert AssetGraph(settings).keys("raw_events")[0] == "2024-03-02"


def test_rows_outside_a_span_are_left_aside_and_are_no_fault(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    follow(settings, shop(tmp_path, span={"start": dt.date(2024, 3, 5), "end": dt.date(2024, 3, 6)}))
    assert staged(settings) == {"2024-03-05": 5}


@pytest.mark.slow
def test_a_source_that_shrinks_stops_and_keeps_or_drops_when_told(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    path = shop(tmp_path)
    follow(settings, path)
    before = staging.manifest(settings)
    for day in (1, 2):
        (tmp_path / f"orders-2024-03-0{day}.csv").unlink()
    day_file(tmp_path, dt.date(2024, 3, 3), users=4)
    day_file(tmp_path, dt.date(2024, 3, 7))
    sentence = (
        r"2 days with 10 events have none now \(2024-03-01 to 2024-03-02\), and 1 day that lost 1 event has fewer now "
        r"\(2024-03-03\).*--removed keep.*--removed drop"
    )
    for attempt in (lambda: follow(settings, path), lambda: staging.stage(settings)):
        with pytest.raises(BadInput, match=sentence):
            attempt()
        assert staging.manifest(settings) == before
        assert not staging.waits(settings)
    notes = follow(settings, path, removed="keep")
    assert notes == ["11 events of 3 days that the source no longer holds stay in the home"]
    kept = staging.manifest(settings)
    assert {d: kept["days"][d] for d in before["days"]} == before["days"]
    assert staged(settings)["2024-03-07"] == 5
    day_file(tmp_path, dt.date(2024, 3, 8))
    assert follow(settings, path) == []  # what was decided is not asked again
    assert {d: staging.manifest(settings)["days"][d] for d in before["days"]} == before["days"]
    day_file(tmp_path, dt.date(2024, 3, 1))  # and what comes back is there once
    follow(settings, path)
    assert {d: staging.manifest(settings)["days"][d] for d in before["days"]} == before["days"]
    follow(settings, path, removed="drop")
    assert staged(settings) == {"2024-03-01": 5, "2024-03-03": 4, **{f"2024-03-0{d}": 5 for d in (4, 5, 6, 7, 8)}}
    assert follow(settings, path) == []


def test_events_without_an_id_are_kept_as_often_as_they_were(tmp_path: Path) -> None:
    basket = {"user_id": "u1", "event_time": at("2024-01-01"), "text": "tea"}
    later = {"user_id": "u2", "event_time": at("2024-01-02"), "text": "tea"}
    settings = Settings.load(tmp_path / "home", profile="tiny")
    follow(settings, write_source(tmp_path, [basket, basket, basket, later]))
    before = staging.manifest(settings)["days"]
    follow(settings, write_source(tmp_path, [basket, later]), removed="keep")
    assert staging.manifest(settings)["days"] == before
    assert staging.manifest(settings)["kept"] == {"2024-01-01": 2}


def test_another_source_is_refused_unless_it_is_meant(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    follow(settings, shop(tmp_path / "a"))
    other = shop(tmp_path / "b", name="market")
    with pytest.raises(BadInput, match=r"belongs to another source, 'shop'.*--another-source"):
        follow(settings, other)
    day_file(tmp_path / "b", dt.date(2024, 3, 1), users=2)
    with pytest.raises(BadInput, match="has shrunk"):
        follow(settings, other, another=True)
    follow(settings, other, removed="keep", another=True)
    assert config.of_home(settings).name == "market"
    assert staged(settings)["2024-03-01"] == 5


def people(folder: Path, header: str, *rows: str) -> None:
    (folder / "people.csv").write_text("\n".join([header, *rows]) + "\n")


@pytest.mark.slow
def test_a_new_profile_column_is_taken_up_and_one_that_is_gone_is_null(tmp_path: Path) -> None:
    path = shop(tmp_path, days=3, profile={"path": "people.csv", "key": "id"})
    people(tmp_path, "id,age", "u0,30", "u1,31")
    settings = lake_of(tmp_path / "home", path)
    people(tmp_path, "id,segment", "u0,gold", "u1,")
    notes = follow(settings, path)
    assert notes == [
        "new in the profile: segment; days of features are made again with them",
        "gone from the profile: age; kept as attributes of which nothing is known from now on",
    ]
    assert contract.profile_schema(settings.home).names == ["age", "segment"]
    first, moment = dt.date(2024, 3, 1), dt.datetime(2024, 3, 4, tzinfo=dt.UTC)
    assert lake.read(settings.lake, "user_tabular", columns=["segment"])["segment"].null_count == 15  # before any day is made again
    write.raw_profile(settings)
    write.feature(settings, "user_tabular", first, first + dt.timedelta(days=2))  # days of both kinds of files
    con = lake.connect()
    lake.view(con, "t", settings.lake, "user_tabular")
    query = "SELECT event_date, count(age), count(segment) FROM t GROUP BY 1 ORDER BY 1"
    assert [row[1:] for row in con.execute(query).fetchall()] == [(0, 1), (0, 1), (2, 0)]
    write.feature(settings, "user_tabular", first, first + dt.timedelta(days=3))
    keys = lake.read(settings.lake, "user_tabular", columns=["user_key"])["user_key"].unique().to_pylist()
    history = feature_store.history(settings, keys, [moment] * len(keys))
    assert sorted(map(str, history["segment"].to_pylist())) == ["None"] * 4 + ["gold"]
    assert history["age"].null_count == 5


def test_a_value_that_does_not_fit_its_type_loses_a_cell_and_never_the_row(tmp_path: Path) -> None:
    path = shop(tmp_path, days=1, profile={"path": "people.csv", "key": "id"})
    people(tmp_path, "id,age,consent", "u0,30,true", "u1,31,false")
    settings = lake_of(tmp_path / "home", path)
    people(tmp_path, "id,age,consent", "u0,thirty,true", "u1,31,false")
    follow(settings, path)
    write.raw_profile(settings)
    rows = lake.read(settings.lake, "raw_profile", columns=["age", "consent"]).sort_by("consent").to_pylist()
    assert rows == [{"age": 31, "consent": False}, {"age": None, "consent": True}]


def sentinel(folder: Path, day: str) -> Path:
    path = shop(folder, days=12)
    (folder / "orders-old.csv").write_text(f"id,when,what,number\nu1,{day},tea,old\n")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("day", "span"), [("1970-01-01", "{start: 2024-03-01}"), ("2124-01-01", "{start: 2024-03-01}")])
def test_a_handful_of_rows_far_from_the_others_is_named_before_a_home_is_made(tmp_path: Path, day: str, span: str) -> None:
    path = sentinel(tmp_path, day)
    home = tmp_path / "home"
    refused = call_found("demo", "--source", path, "--profile", "tiny", "--home", home)
    checked = call_found("source", "check", path)
    assert (refused.status, checked.status) == (2, 2)
    assert f"1 of 61 rows is dated far from all others ({tmp_path / 'orders-old.csv'}, row 1: {day})" in refused.err
    assert f"write `span: {span}`" in refused.err
    assert refused.err == checked.err
    assert not home.exists()
    source_file(tmp_path, span=yaml.safe_load(span))
    settings = Settings.load(home, profile="tiny")
    follow(settings, path)
    assert len(staged(settings)) == 12


def test_a_sentinel_in_the_next_day_s_file_does_not_stretch_a_home(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    path = shop(tmp_path, days=12)
    follow(settings, path)
    before = staging.manifest(settings)
    (tmp_path / "orders-2024-03-13.csv").write_text("id,when,what,number\nu1,2024-03-13,tea,a\nu1,1900-01-01,tea,b\n")
    for attempt in (lambda: follow(settings, path), lambda: staging.stage(settings)):
        with pytest.raises(BadInput, match="dated far from all others"):
            attempt()
    assert staging.manifest(settings) == before


def test_a_thin_beginning_is_no_slip() -> None:
    days = {dt.date(2015, 1, 1): 3, dt.date(2017, 1, 1): 10}
    days |= {dt.date(2018, 1, 1) + dt.timedelta(days=i): 1 for i in range(2000)}
    first, last = survey.core(dict(sorted(days.items())))
    assert ((max(days) - min(days)).days + 1) / ((last - first).days + 1) < survey.STRETCH


def rhythm(horizon: int, held_out: int, users: int = 800, past: int = 200) -> survey.Rhythm:
    return survey.Rhythm(horizon, dt.date(2024, 1, 1), past, users, held_out, held_out * 4)


def test_the_horizon_is_the_profile_s_unless_too_few_act_again_within_it() -> None:
    assert survey.choose([rhythm(7, 90), rhythm(28, 300), rhythm(56, 400)], 28) == rhythm(28, 300)
    assert survey.choose([rhythm(28, 7), rhythm(56, 29), rhythm(91, 80), rhythm(182, 90)], 28) == rhythm(91, 80)
    assert survey.choose([rhythm(28, 11, 20), rhythm(56, 20, 20)], 28) == rhythm(28, 11, 20)  # more than half of them
    assert survey.choose([rhythm(28, 2), rhythm(56, 4)], 28) == rhythm(28, 2)  # nothing helps: then as ever
    assert survey.choose([rhythm(7, 1, past=15), rhythm(14, 1, past=1)], 28) == rhythm(7, 1, past=15)  # a short log
    assert survey.choose([], 28) is None


def test_a_log_of_few_acts_a_year_gets_a_longer_horizon_that_everything_agrees_on(tmp_path: Path) -> None:
    """400 users with an act every twenty months: within a few weeks nearly nobody acts again."""
    start = dt.datetime(2023, 1, 1, 12, tzinfo=dt.UTC)
    events = [
        {"user_id": f"u{i}", "event_time": start + dt.timedelta(days=(i * 7) % 600 + 600 * k), "text": f"thing {i % 9}"}
        for i in range(400)
        for k in range(3)
    ]
    settings = Settings.load(tmp_path / "home", profile="tiny")
    discovered = staging.discover(settings, config.load(write_source(tmp_path, events)))
    prepared = staging.prepare(settings, discovered, horizons=survey.horizons(settings, new=True))
    chosen = survey.choose(prepared.rhythms, settings.horizon_days)
    assert chosen is not None
    usual = next(r for r in prepared.rhythms if r.horizon_days == 7)
    assert (usual.enough, chosen.enough, chosen.horizon_days) == (False, True, 182)
    staging.open_home(survey.with_horizon(settings, chosen.horizon_days), prepared.source)
    again = Settings.load(tmp_path / "home")
    assert (again.horizon_days, again.lookback_days, again.training_days) == (182, 364, 364)
    assert survey.horizons(again, new=False) == (182,)
    assert "182 days: of " in survey.horizon_sentence(chosen, prepared.rhythms, 7)
    fixed = Settings.load(tmp_path / "other", profile="tiny", horizon_days=5)
    assert survey.horizons(fixed, new=True) == (5,)


@pytest.mark.slow
def test_source_check_refuses_what_the_demo_would_refuse_with_the_same_sentence(tmp_path: Path) -> None:
    bad = shop(tmp_path / "bad", days=30)
    lines = (tmp_path / "bad" / "orders-2024-03-01.csv").read_text() + "u1,soon,tea,x\n" * 60
    (tmp_path / "bad" / "orders-2024-03-01.csv").write_text(lines)
    checked = call_found("source", "check", bad)
    assert (checked.status, "28.6% of the source's rows are bad, over the threshold of 5.0%" in checked.err) == (2, True), (
        checked.err
    )
    short = shop(tmp_path / "short", days=9)
    checked = call_found("source", "check", short)
    refused = call_found("demo", "--source", short, "--home", tmp_path / "home", "--profile", "tiny")
    assert (checked.status, refused.status) == (2, 2)
    assert checked.err == refused.err
    assert "The data holds 9 days" in refused.err
    assert not (tmp_path / "home").exists()
    fine = call_found("source", "check", shop(tmp_path / "fine", days=30))
    assert fine.status == 0
    assert "none is trained, and the frozen-text model with replay serves" in " ".join(fine.out.split())


def test_a_consent_column_of_texts_is_refused_with_the_line_that_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "people.csv").write_text("customer,newsletter\nu1,SUBSCRIBED\nu2,NEVER\n")
    path = shop(tmp_path, days=30, profile={"path": "people.csv", "key": "customer"})
    monkeypatch.setenv("FOUND_CONSENT_COLUMN", "newsletter")
    checked = call_found("source", "check", path)
    assert checked.status == 2
    assert "`consent: {column: newsletter, yes: [...]}` of `profile`" in " ".join(checked.err.split())


def test_a_consent_column_that_is_not_there_is_refused_before_a_home_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shop(tmp_path, days=30)
    monkeypatch.setenv("FOUND_CONSENT_COLUMN", "opt_in")
    refused = call_found("demo", "--source", path, "--profile", "tiny", "--home", tmp_path / "home")
    checked = call_found("source", "check", path)
    assert (refused.status, checked.status) == (2, 2)
    for outcome in (refused, checked):
        assert "The setting consent_column is 'opt_in', which is no profile attribute of true and false" in outcome.err
    assert not (tmp_path / "home").exists()


@needs_cases
def test_case_c13_a_sentinel_date_is_asked_about(tmp_path: Path) -> None:
    outcome = call_found("source", "check", CASES / "C13" / "old.yaml")
    assert (outcome.status, "row 41: 1970-01-01" in outcome.err) == (2, True), outcome.err


@pytest.mark.slow
@needs_cases
def test_cases_c14_and_c15_a_new_month_is_taken_up_and_a_rotated_file_is_asked_about(tmp_path: Path) -> None:
    case = CASES / "C14"
    for name in ("orders-2024-03.csv.gz", "orders-2024-04.csv.gz", "shop.yaml"):
        shutil.copy(case / name, tmp_path / name)
    settings = Settings.load(tmp_path / "home", profile="tiny")
    follow(settings, tmp_path / "shop.yaml")
    assert sum(staged(settings).values()) == 2054
    with gzip.open(case / "arrives-later-orders-2024-05.csv.gz", "rt") as file:
        header, *rows = file.read().splitlines()
    first_of_may = [row for row in rows if ",2024-05-01 " in row]
    with gzip.open(tmp_path / "orders-2024-05.csv.gz", "wt") as file:
        file.write("\n".join([header, *first_of_may]) + "\n")
    follow(settings, tmp_path / "shop.yaml")
    assert staged(settings)["2024-05-01"] == len(first_of_may) > 0
    shutil.copy(case / "arrives-later-orders-2024-05.csv.gz", tmp_path / "orders-2024-05.csv.gz")
    follow(settings, tmp_path / "shop.yaml")
    assert AssetGraph(settings).keys("raw_events")[-1] == "2024-05-29"
    before = staged(settings)
    (tmp_path / "orders-2024-03.csv.gz").unlink()
    with pytest.raises(BadInput, match=r"31 days with 1,016 events have none now \(2024-03-01 to 2024-03-31\)"):
        follow(settings, tmp_path / "shop.yaml")
    follow(settings, tmp_path / "shop.yaml", removed="keep")
    assert staged(settings) == before


@needs_cases
def test_case_c05_a_profile_that_gains_a_column_is_taken_up(tmp_path: Path) -> None:
    for name in ("customers.csv", "orders.csv.gz", "shop.yaml"):
        shutil.copy(CASES / "C05" / name, tmp_path / name)
    settings = Settings.load(tmp_path / "home", profile="tiny")
    follow(settings, tmp_path / "shop.yaml")
    lines = (tmp_path / "customers.csv").read_text().splitlines()
    (tmp_path / "customers.csv").write_text("\n".join([f"{lines[0]},segment", *(f"{line},a" for line in lines[1:])]) + "\n")
    (note,) = follow(settings, tmp_path / "shop.yaml")
    assert note.startswith("new in the profile: segment")
    assert "segment" in contract.profile_schema(settings.home).names


def test_prepared_scans_are_taken_over_and_not_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny")
    path = shop(tmp_path)
    prepared = staging.prepare(settings, staging.discover(settings, config.load(path)))
    staging.open_home(settings, prepared.source)
    with monkeypatch.context() as patch:
        patch.setattr(scan, "scan", None)  # whoever scans again fails
        assert staging.stage(settings).staged
        assert staging.prepare(settings, staging.discover(settings, config.load(path))).source == config.of_home(settings)
    assert len(staged(settings)) == 6


@pytest.mark.parametrize("step", ["nothing is removed", "the scan is removed"])
def test_a_killed_staging_stands_in_nobody_s_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """The next run goes on with what is left of the days, the kept rows and the scan."""
    settings = Settings.load(tmp_path / "home", profile="tiny")
    follow(settings, shop(tmp_path))
    (tmp_path / "orders-2024-03-02.csv").unlink()
    discovered = staging.discover(settings, config.load(source_file(tmp_path)))
    staging.open_home(settings, staging.prepare(settings, discovered, removed="keep").source)
    work, left, unlink = folders.work(settings), tmp_path / "left", Path.unlink

    def die(*_: object) -> None:
        shutil.copytree(work, left)
        raise KeyboardInterrupt

    def remove(path: Path, **options: bool) -> None:
        unlink(path, **options)
        if path.name == "scan.duckdb":
            die()

    with monkeypatch.context() as patch:
        patch.setattr(folders, "swap", die) if step == "nothing is removed" else patch.setattr(Path, "unlink", remove)
        with pytest.raises(KeyboardInterrupt):
            staging.stage(settings)
    assert not work.exists()
    left.rename(work)  # as a process leaves it that ends in the middle
    if step == "nothing is removed":
        assert staging.stage(settings).staged
    else:
        with pytest.raises(BadInput, match="shrunk"):  # what was decided went with the scan
            staging.stage(settings)
        follow(settings, tmp_path / "shop.yaml", removed="keep")
    assert staged(settings) == {f"2024-03-0{day}": 5 for day in range(1, 7)}
    assert not work.exists()
