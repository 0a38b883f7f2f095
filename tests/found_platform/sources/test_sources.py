"""Sources: what is read, what is refused and why, and that nothing is lost."""

import datetime as dt
import gzip
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import SHARED, at, lake_of, write_source
from deltalake import write_deltalake
from reading import csv, examined

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.privacy import keys
from found_platform.settings import Settings
from found_platform.sources import config, counts, discovery, examination, profile, scan, stage_report, staging

SPAN = {"start": dt.date(2024, 1, 1), "end": dt.date(2024, 2, 1)}


def csv_source(folder: Path, lines: list[str], header: str = "id,when,what,paid", **more: object) -> Path:
    (folder / "events.csv").write_text("\n".join([header, *lines]) + "\n")
    entry = {"path": "events.csv", "columns": {"user_id": "id", "event_time": "when", "text": "what", "amount": "paid"}, **more}
    path = folder / "source.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "channels": {"pay_bill": entry}, "span": SPAN}))
    return path


GOOD = "u1,2024-01-05 10:00:00,tea,3.5"
BAD = {
    ",2024-01-05,tea,1": "no user_id",
    '"  ",2024-01-05,tea,1': "empty user_id",
    "u1,,tea,1": "no event_time",
    "u1,soon,tea,1": "unparsable event_time",
    "u1,infinity,tea,1": "unparsable event_time",
    "u1,20260-01-01,tea,1": "unparsable event_time",
    "u1,2024-01-05,  ,1": "empty text",
    f"u1,2024-01-05,{'x' * 4097},1": "text over 4096 characters",
    "u1,2024-01-05,tea,cheap": "amount is not a number",
    "u1,2024-01-05,tea,inf": "amount is not finite",
    "u1,2024-01-05,tea,-1e15": "amount of 1e15 or more",
    "u1,2024-01-05": "wrong number of columns",
}


@pytest.mark.parametrize(("line", "reason"), BAD.items())
def test_each_kind_of_bad_row_is_quarantined_with_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    con = lake.connect()
    scan.scan(con, config.load(csv_source(tmp_path, [GOOD, line, GOOD])))
    refused = counts.quarantined(con).to_pylist()
    assert [(r["row_number"], r["reason"]) for r in refused] == [(2, reason)]
    assert refused[0]["file"] == str(tmp_path / "events.csv")
    assert len(refused[0]["file_sha256"]) == 64
    (report,) = counts.report(con)
    assert (report.rows, report.good, report.bad) == (3, 2, {reason: 1})


@pytest.mark.parametrize("when", ["1999-01-05", "2024-02-01 00:00:00"])
def test_a_row_outside_the_span_is_counted_and_left_aside(tmp_path: Path, when: str) -> None:
    con = lake.connect()
    scan.scan(con, config.load(csv_source(tmp_path, [GOOD, f"u1,{when},tea,1", GOOD])))
    assert counts.quarantined(con).num_rows == 0
    (report,) = counts.report(con)
    assert (report.rows, report.good, report.outside, report.bad) == (3, 2, 1, {})


def test_naive_times_are_read_in_the_entrys_zone_and_offsets_are_honoured(tmp_path: Path) -> None:
    lines = ["u1,2024-01-05 10:00:00,a,1", "u1,2024-01-05T10:00:00+02:00,b,1", "u1,2024-01-05,c,1"]
    con = lake.connect()
    scan.scan(con, config.load(csv_source(tmp_path, lines, timezone="America/New_York")))
    times = dict(con.execute("SELECT text, event_time AT TIME ZONE 'UTC' FROM scanned").fetchall())
    assert times == {"a": dt.datetime(2024, 1, 5, 15), "b": dt.datetime(2024, 1, 5, 8), "c": dt.datetime(2024, 1, 5, 5)}


def test_daylight_saving_moves_naive_times(tmp_path: Path) -> None:
    path = csv_source(tmp_path, ["u1,2024-03-31 00:30:00,before,1", "u1,2024-03-31 03:30:00,after,1"], timezone="Europe/Berlin")
    path.write_text(path.read_text().replace("2024-02-01", "2025-01-01"))
    con = lake.connect()
    scan.scan(con, config.load(path))
    times = dict(con.execute("SELECT text, event_time AT TIME ZONE 'UTC' FROM scanned").fetchall())
    assert times == {"before": dt.datetime(2024, 3, 30, 23, 30), "after": dt.datetime(2024, 3, 31, 1, 30)}


def test_a_repeated_event_id_is_skipped_and_counted_and_equal_rows_without_one_are_kept(tmp_path: Path) -> None:
    lines = ["u1,2024-01-05,tea,1,e1", "u2,2024-01-06,milk,1,e1", "u1,2024-01-05,tea,1,", "u1,2024-01-05,tea,1,"]
    path = csv_source(tmp_path, lines, header="id,when,what,paid,eid")
    content = yaml.safe_load(path.read_text())
    content["channels"]["pay_bill"]["columns"]["event_id"] = "eid"
    path.write_text(yaml.safe_dump(content))
    con = lake.connect()
    scan.scan(con, config.load(path))
    assert counts.quarantined(con).num_rows == 0
    (report,) = counts.report(con)
    assert (report.rows, report.good, report.repeats, report.bad_share) == (4, 3, 1, 0)
    assert counts.equal_rows(con) == 1


def test_gzip_globs_delta_folders_and_several_entries_all_feed_channels(tmp_path: Path) -> None:
    for i in (1, 2):
        with gzip.open(tmp_path / f"part{i}.csv.gz", "wt") as file:
            file.write(f"id,when,what\nu{i},2024-01-0{i},tea {i}\n")
    rows = pa.table({"id": ["u3"], "when": pa.array([at("2024-01-03")], pa.timestamp("us", tz="UTC")), "what": ["from delta"]})
    write_deltalake(str(tmp_path / "table"), rows)
    columns = {"user_id": "id", "event_time": "when", "text": "what"}
    entries = [{"path": "part*.csv.gz", "columns": columns}, {"path": "table", "columns": columns}]
    path = tmp_path / "source.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "channels": {"search": entries}}))
    source, (report,), _, _ = examination.check(config.load(path))
    assert (report.channel, report.rows, report.users) == ("search", 3, 3)
    assert source.span == config.Span(start=dt.date(2024, 1, 1), end=dt.date(2024, 1, 4))


def profile_source(folder: Path, rows: list[dict], **more: object) -> config.SourceConfig:
    path = write_source(folder, [{"user_id": "u1", "event_time": at("2024-01-05"), "text": "tea"}])
    pq.write_table(pa.Table.from_pylist(rows), folder / "people.parquet")
    content = yaml.safe_load(path.read_text())
    content["profile"] = {"path": "people.parquet", "key": "id", **more}
    path.write_text(yaml.safe_dump(content))
    return config.load(path)


def test_profile_columns_become_typed_attributes_with_names_a_filter_can_use(tmp_path: Path) -> None:
    rows = [{"id": "u1", "Age (years)": 30, "1st city": "Ulm", "vip": True, "spend": 2.5, "born": dt.date(1990, 1, 1)}]
    source = examination.check(profile_source(tmp_path, rows))[0]
    assert source.profile_schema == {"Age__years_": "int", "_1st_city": "string", "vip": "bool", "spend": "float", "born": "string"}


def test_letters_beyond_ascii_are_spelt_in_the_names_of_attributes(tmp_path: Path) -> None:
    names = ["Größe", "Gro\u0308ße", "Ville préférée", "Straße", "Płeć", "年齢"]
    assert [profile.attribute_name(name) for name in names] == ["Groesse", "Groesse", "Ville_preferee", "Strasse", "Plec", "__"]
    source = profile_source(tmp_path, [{"id": "u1", "Größe": 44}])
    assert examination.check(source)[0].profile_schema == {"Groesse": "int"}
    assert source.profile is not None
    con = lake.connect()
    profile.read_profile(con, source.profile, {"Gr__e": "int", "Groesse": "int"})
    good = con.table(profile.GOOD).to_arrow_table()
    assert good.select(["Gr__e", "Groesse"]).to_pylist() == [{"Gr__e": 44, "Groesse": 44}], "a home of before keeps its attribute"


def test_bad_profile_rows_are_quarantined(tmp_path: Path) -> None:
    rows = [{"id": "u1", "age": 1}, {"id": None, "age": 2}, {"id": "u1", "age": 3}]
    settings = Settings.load(tmp_path / "home")
    staging.open_home(settings, staging.discover(settings, profile_source(tmp_path / "a", rows)))
    report = staging.stage(settings)
    assert (report.profile.rows, report.bad_rows, report.staged) == (3, 2, False)
    assert stage_report.threshold_sentence(settings, report).startswith("66.7% of the profile's rows are bad")
    refused = lake.read(settings.lake, "quarantine").to_pylist()
    assert sorted((r["row_number"], r["reason"]) for r in refused) == [(2, "no user_id"), (3, "repeated profile row")]
    assert {r["file"] for r in refused} == {str(tmp_path / "a" / "people.parquet")}


def test_a_profile_column_with_a_name_of_ours_gets_a_prefix_and_clashes_are_refused(tmp_path: Path) -> None:
    events = [{"user_id": "u1", "event_time": at("2024-01-05"), "text": "tea"}]
    names = ["day", "reason", "newest", "times", "fold", "events_7d", "like", "Reason of leaving"]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, events, [{"user_id": "u1", **dict.fromkeys(names, 3.5)}]))
    (row,) = lake.read(settings.lake, "user_tabular").to_pylist()
    assert row["events_7d"] == 1
    assert all(row[f"profile_{name}"] == 3.5 for name in names[:-1])
    assert row["Reason_of_leaving"] == 3.5
    with pytest.raises(BadInput, match="names a column twice"):
        examination.check(profile_source(tmp_path / "b", [{"id": "u1", "Age": 1, "age": 2}]))
    with pytest.raises(BadInput, match="'a_b', which is taken: rename it"):
        examination.check(profile_source(tmp_path / "c", [{"id": "u1", "a b": 1, "a_b": 2}]))


def test_unknown_numbers_of_a_profile_are_null(tmp_path: Path) -> None:
    events = [{"user_id": u, "event_time": at("2024-01-05"), "text": "tea"} for u in "abc"]
    profile = [{"user_id": u, "spend": v} for u, v in zip("abc", (math.nan, math.inf, 2.0), strict=True)]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, events, profile))
    assert sorted(lake.read(settings.lake, "user_tabular")["spend"].to_pylist(), key=str) == [2.0, None, None]


def test_a_profile_that_changes_its_columns_is_taken_up_by_the_next_scan(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home")
    source = profile_source(tmp_path / "a", [{"id": "u1", "age": 1}])
    staging.open_home(settings, staging.discover(settings, source))
    staging.stage(settings)
    profile_source(tmp_path / "a", [{"id": "u1", "age": 1.5, "city": "Ulm"}])
    assert staging.stage(settings).profile.lost == {"age is not a whole number": 1}
    assert config.of_home(settings).profile_schema == {"age": "int", "city": "string"}
    (row,) = pq.read_table(settings.staging / "profile.parquet").to_pylist()
    assert (row["age"], row["city"]) == (None, "Ulm")


def test_a_channel_that_lost_its_rows_is_refused_and_the_last_staging_stays(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home")
    staging.open_home(settings, staging.discover(settings, config.load(csv_source(tmp_path, [GOOD]))))
    staging.stage(settings)
    before = staging.manifest(settings)
    csv_source(tmp_path, [])
    with pytest.raises(BadInput, match="'pay_bill' is empty"):
        staging.stage(settings)
    assert staging.manifest(settings) == before


@pytest.mark.slow
def test_rows_are_numbered_and_repeats_chosen_the_same_in_every_scan(tmp_path: Path) -> None:
    """Enough rows for several threads, in two files whose columns are in another order."""
    for part, header in ((1, "id,when,what,eid"), (2, "what,eid,when,id")):
        order = header.split(",")
        with (tmp_path / f"part{part}.csv").open("w") as file:
            file.write(header + "\n")
            for i in range(120_000):
                row = {
                    "id": f"u{part}",
                    "when": "" if i % 50_000 == 7 else "2024-01-05",
                    "what": f"text {i % 9}",
                    "eid": str(i // 2),
                }
                file.write(",".join(row[c] for c in order) + "\n")
    columns = {"user_id": "id", "event_time": "when", "text": "what", "event_id": "eid"}
    path = tmp_path / "source.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "channels": {"spm": {"path": "part*.csv", "columns": columns}}, "span": SPAN}))
    seen = set()
    for _ in range(3):
        con = lake.connect()
        scan.scan(con, config.load(path))
        untimed = [r["row_number"] for r in counts.quarantined(con).to_pylist() if r["reason"] == "no event_time"]
        assert untimed == [8, 50_008, 100_008] * 2
        seen.add(con.execute("SELECT sum(row_number), count(*), max(user_id) FROM scanned WHERE reason IS NULL").fetchone())
    assert len(seen) == 1
    assert {r[0] for r in con.execute("SELECT DISTINCT user_id FROM scanned").fetchall()} == {"u1", "u2"}


def test_partition_columns_of_a_delta_source_can_be_used(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "id": ["u1", "u2"],
            "when": pa.array([at("2024-01-03")] * 2, pa.timestamp("us", tz="UTC")),
            "what": ["tea", "milk"],
            "kind": ["a", "b"],
        }
    )
    write_deltalake(str(tmp_path / "table"), rows, partition_by=["kind"])
    columns = {"user_id": "id", "event_time": "when", "text": "what", "category": "kind"}
    path = tmp_path / "source.yaml"
    path.write_text(
        yaml.safe_dump({"name": "s", "channels": {"spm": {"path": "table", "where": "kind = 'b'", "columns": columns}}})
    )
    con = lake.connect()
    scan.scan(con, discovery.discover(con, config.load(path)))
    assert con.execute("SELECT user_id, category FROM scanned").fetchall() == [("u2", "b")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "holds no mapping"),
        ("name: x\nchannels: {", "is not YAML"),
        ("name: x", "give `channels`"),
        ("name: x\nspan: {start: 2016-13-14}", "is not YAML"),
        ("name: x\nsimulator: {}\nspan: {start: 2024-01-02, end: 2024-01-01}", "not after start"),
        ("name: x\nchannels: {clicks: {path: a, columns: {}}}", "channels.clicks"),
        ("name: x\nchannels: {spm: {path: a.csv, columns: {user_id: a}}}", "columns must map"),
        ("name: x\nchannels: {spm: {path: a.csv, colums: {}}}", "spm"),
        ("name: x\nchannels: {spm: {path: a.csv, timezone: Mars, columns: {user_id: a, event_time: b, text: c}}}", "no time zone"),
        (
            "name: x\nchannels: {spm: {path: a.csv, columns: {user_id: a, event_time: b, text: c, colour: d}}}",
            "columns maps colour",
        ),
    ],
)
def test_a_wrong_source_file_names_the_file_and_the_key(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "source.yaml"
    path.write_text(content)
    with pytest.raises(BadInput, match=message) as error:
        config.load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "nowhere.csv"}, "No file at .*nowhere.csv"),
        ({"path": "source.yaml"}, "is none of"),
        ({"columns": {"user_id": "uid", "event_time": "when", "text": "what"}}, "has no column 'uid'; it has id, when, what, paid"),
        ({"where": "nonsense >"}, "cannot be read"),
        ({"where": "id = 'nobody'"}, "is empty"),
        ({"columns": {"user_id": "id", "event_time": "what", "text": "what"}}, "no row of .* has a readable event_time"),
    ],
)
def test_a_source_that_cannot_be_used_says_what_to_mend(tmp_path: Path, change: dict, message: str) -> None:
    path = csv_source(tmp_path, [GOOD])
    content = yaml.safe_load(path.read_text())
    content["channels"]["pay_bill"] |= change
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(BadInput, match=message):
        examination.check(config.load(path))


def test_a_numeric_time_column_is_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["u"], "when": [17], "what": ["tea"]}), tmp_path / "e.parquet")
    entry = {"path": "e.parquet", "columns": {"user_id": "id", "event_time": "when", "text": "what"}}
    (tmp_path / "source.yaml").write_text(yaml.safe_dump({"name": "s", "channels": {"spm": entry}}))
    with pytest.raises(BadInput, match=r"event_time is a column of type BIGINT"):
        examination.check(config.load(tmp_path / "source.yaml"))


def test_too_many_bad_rows_leave_the_last_good_staging(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home")
    path = csv_source(tmp_path, [GOOD] * 30)
    staging.open_home(settings, staging.discover(settings, config.load(path)))
    assert staging.stage(settings).staged
    before = staging.manifest(settings)
    csv_source(tmp_path, [GOOD] * 8 + list(BAD)[:4])
    report = staging.stage(settings)
    assert not report.staged
    assert report.bad_share == pytest.approx(4 / 12)
    assert staging.manifest(settings) == before
    assert lake.read(settings.lake, "quarantine").num_rows == 4
    assert "33.3% of the source's rows are bad" in stage_report.threshold_sentence(settings, report)


def test_staging_again_gives_the_same_rows_and_keys(tmp_path: Path) -> None:
    home = Settings.load(tmp_path / "home", secret="00ff" * 8)
    other = Settings.load(tmp_path / "other", secret="00ff" * 8)
    source = config.load(csv_source(tmp_path, [GOOD, "u2,2024-01-06,milk,1"]))
    manifests = []
    for settings in (home, home, other):
        staging.open_home(settings, staging.discover(settings, source))
        staging.stage(settings)
        manifests.append(staging.manifest(settings))
    assert manifests[0] == manifests[1] == manifests[2]
    assert keys.count_known(home, [keys.user_key(bytes.fromhex("00ff" * 8), user) for user in ("u1", "u2", "u3")]) == 2


def test_the_secret_is_for_the_owner_alone_and_makes_the_keys(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path)
    secret = keys.home_secret(settings)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert secret == keys.home_secret(settings)
    assert len(keys.user_key(secret, "u1")) == 32
    assert keys.user_key(secret, "u1") != keys.user_key(b"other", "u1")
    with pytest.raises(BadInput, match="not hexadecimal"):
        keys.home_secret(Settings.load(tmp_path, secret="xyz"))
    with pytest.raises(BadInput, match="is not the secret that the keys"):
        keys.home_secret(Settings.load(tmp_path, secret="00ff" * 8))
    (tmp_path / "secret").unlink()
    with pytest.raises(BadInput, match="made with FOUND_SECRET"):
        keys.home_secret(settings)


def test_folds_are_even() -> None:
    counts = [0] * 5
    for i in range(5000):
        counts[keys.fold(f"user{i}")] += 1
    assert max(abs(c - 1000) for c in counts) < 4 * math.sqrt(1000 * 0.8)


@pytest.mark.skipif(not (SHARED / "data/completejourney").exists(), reason="the public dataset is not beside the checkout")
def test_the_example_source_reads_the_public_dataset_whole() -> None:
    source, reports, equal, profile = examination.check(config.load(Path(__file__).parents[3] / "examples/completejourney.yaml"))
    assert {r.channel: (r.rows, sum(r.bad.values())) for r in reports} == {
        "pay_bill": (75_000, 0),
        "mini_program": (2_102, 0),
        "spm": (6_589, 0),
    }
    assert (equal, profile.bad_rows) == (311, 0)
    assert source.span == config.Span(start=dt.date(2016, 11, 14), end=dt.date(2018, 1, 2))


def test_lines_that_end_as_on_old_machines_are_lines(tmp_path: Path) -> None:
    lines = ["id,at,what", *(f"u{i % 3},2024-03-0{1 + i},tea" for i in range(9)), "u1,soon,tea"]
    report = examined(tmp_path, {"path": csv(tmp_path, "\r".join(lines) + "\r")})
    assert (report.channels[0].good, report.channels[0].bad) == (9, {"unparsable event_time": 1})


def test_texts_that_were_read_in_another_encoding_are_told(tmp_path: Path) -> None:
    content = "id,at,what\n" + "".join(f"u{i % 3},2024-03-0{1 + i},{('Müsli', 'Über', 'Âge', 'tea')[i % 4]}\n" for i in range(9))
    report = examined(tmp_path, {"path": csv(tmp_path, content), "encoding": "cp1252"})
    (note,) = [note for note in report.notes if "read in another encoding" in note]
    assert "3 of 4 texts" in note
    assert not [note for note in examined(tmp_path, {"path": csv(tmp_path, content)}).notes if "another encoding" in note]
