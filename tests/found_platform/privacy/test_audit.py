"""The audit: a row for every look-up, which nothing changes or removes."""

import contextlib
import datetime as dt
import json
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from found_platform import lake
from found_platform.audiences import lookup
from found_platform.errors import JobFailed
from found_platform.privacy import audit
from found_platform.settings import Settings

GOLD = lookup.Question("people who will soon buy gold", mode="aligned")


def test_every_look_up_leaves_a_row(settings: Settings) -> None:
    everybody = lookup.score(settings, GOLD).keys
    before = len(audit.entries(settings))
    answer = lookup.find(settings, GOLD, lookup.Size(top=3), exclude=frozenset(everybody[:2]))
    lookup.find(settings, lookup.Question("gold", mode="late"), lookup.Size(min_score=0.0))
    late, aligned = audit.entries(settings)[: len(audit.entries(settings)) - before]
    assert (aligned["action"], aligned["rows"], aligned["reason"]) == ("find", 3, answer.reason)
    assert (aligned["model_version"], aligned["index_version"]) == (answer.model_version, answer.index_version)
    question = json.loads(aligned["question"])
    assert question == {"sentence": GOLD.sentence, "mode": GOLD.mode, "top": 3, "without_users": 2}
    assert json.loads(late["question"])["min_score"] == 0.0


def test_the_audit_only_grows(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path)
    for number in range(25):
        audit.record(settings, "find", question={"sentence": "gold", "where": None}, rows=number)
    rows = audit.entries(settings)
    assert [r["rows"] for r in rows] == list(reversed(range(25)))
    assert json.loads(rows[0]["question"]) == {"sentence": "gold"}
    with contextlib.closing(sqlite3.connect(tmp_path / audit.DATABASE)) as con:
        for change in (
            "DELETE FROM audit_log WHERE rows = 1",
            "UPDATE audit_log SET who = 'nobody'",
            "INSERT OR REPLACE INTO audit_log (rowid, at, who, action, reason) VALUES (1, 0, 'nobody', 'find', '')",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="only grows"):
                con.execute(change)
    assert audit.entries(settings) == rows
    assert (tmp_path / audit.DATABASE).stat().st_mode & 0o077 == 0, "who asked what is not for everybody"


WRITER = """
import sys
from pathlib import Path
from found_platform.privacy import audit
from found_platform.settings import Settings
settings = Settings.load(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()  # all open the new database at once
for number in range(50):
    audit.record(settings, "find", rows=number)
"""


@pytest.mark.slow
def test_processes_and_threads_write_the_audit_at_once(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path)
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: audit.record(settings, "find", rows=number), range(100)))
    assert [w.communicate()[0] for w in writers] == [""] * 4
    assert [w.returncode for w in writers] == [0] * 4
    assert sorted(r["rows"] for r in audit.entries(settings)) == sorted([*range(50)] * 4 + [*range(100)])


def test_a_database_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / audit.DATABASE).mkdir()
    with pytest.raises(JobFailed, match=r"The audit .*audit\.db cannot be used: unable to open"):
        audit.record(Settings.load(tmp_path), "find")


def test_a_home_made_anew_has_an_audit_of_its_own(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home")
    audit.record(settings, "find", rows=1)
    shutil.rmtree(settings.home)
    audit.record(settings, "find", rows=2)
    assert [r["rows"] for r in audit.entries(settings)] == [2]


def test_an_audit_that_was_a_delta_table_is_taken_over_once(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path)
    at = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.UTC)
    old = {"at": at, "who": "ann", "action": "find", "audience": None, "question": "{}", "rows": 3}
    old |= {"model_version": "1", "index_version": None, "reason": "because"}
    table = pa.Table.from_pylist([old])
    lake.append(settings.lake, audit.TABLE, table, schema=table.schema)
    audit.record(settings, "preview")
    assert [r["action"] for r in audit.entries(settings)] == ["preview", "find"]
    assert audit.entries(settings)[1] == old
