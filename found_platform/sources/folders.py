"""The folders of a scan: `HOME/staging`, good rows by day, and `HOME/staging.partial`, where a scan is until it takes its place.

What belongs here: where they are, what the manifest says, writing one and swapping it in. What does not: when to scan, and what
is refused (`staging`).
"""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from found_platform import home, mapped
from found_platform.errors import BadInput
from found_platform.home import write_whole
from found_platform.lake import literal
from found_platform.privacy import keys, vault
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources import day_files, growth, profile, scan, totals, workers
from found_platform.sources.config import SourceConfig
from found_platform.sources.growth import Loss, Removed

FILE_SIZE, ROW_GROUP = "256MB", 100_000
"""Staged events lie in the order of their days, in files that are this large, and rows that are read together."""

DAY = "CAST(event_time AT TIME ZONE 'UTC' AS DATE) AS event_date"
STAGED = (
    "event_date, channel, user_key, fold, event_time, text_id, text, category, amount, status, payment_method, event_id, "
    "arrived_at, exposure"
)
"""The columns of staged events, and the first of them in a scan."""

MANIFEST, SCANNED = "manifest.json", "scanned.json"


def is_staged(settings: Settings) -> bool:
    """Whether there are staged days."""
    return (settings.staging / MANIFEST).exists()


def manifest(settings: Settings) -> dict:
    """Rows and row hash of each staged day, and the hash of the profile."""
    path = settings.staging / MANIFEST
    if not path.exists():
        raise BadInput(f"Nothing is staged in {settings.home}: run `found demo` first.")
    return json.loads(path.read_text())


def note_fingerprint(settings: Settings, fingerprint: str) -> None:
    """Says that what is staged is of this state of the source."""
    write_whole(settings.staging / MANIFEST, json.dumps({**manifest(settings), "fingerprint": fingerprint}))


def waits(settings: Settings) -> bool:
    """Whether a scan waits to be staged."""
    return (work(settings) / SCANNED).exists()


def work(settings: Settings) -> Path:
    return settings.home / "staging.partial"


def clear(settings: Settings) -> None:
    """Removes the work folder: first what says that a scan is in it, so that one that is left in part is no scan."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        (work(settings) / SCANNED).unlink()
    shutil.rmtree(work(settings), ignore_errors=True)


def turn(settings: Settings) -> home.HomeLock:
    """One process scans into a home at a time."""
    try:
        return home.lock(settings.home, "staging")
    except OSError as error:
        raise source_config.no_home(settings, error) from None


def swap(settings: Settings) -> None:
    """Puts the work folder in the place of what was staged before."""
    folder = work(settings)
    for name in (SCANNED, "scan.duckdb", "scan.duckdb.wal"):  # in this order, see `clear`
        (folder / name).unlink(missing_ok=True)
    for name in ("tmp", workers.ROWS):
        shutil.rmtree(folder / name, ignore_errors=True)
    old = settings.home / "staging.old"
    shutil.rmtree(old, ignore_errors=True)
    if settings.staging.exists():
        settings.staging.rename(old)
    folder.rename(settings.staging)
    shutil.rmtree(old, ignore_errors=True)


def write(
    settings: Settings,
    con: duckdb.DuckDBPyConnection,
    has_profile: bool,
    source: SourceConfig,
    fingerprint: str,
    lost: Loss,
    removed: Removed | None,
) -> dict[str, Any]:
    """Writes days, profile and manifest into the work folder, from the table `scanned` and the good rows of a profile, where the
    source has one. Returns the manifest."""
    folder = work(settings)
    shutil.rmtree(folder / "events", ignore_errors=True)  # of a run that was killed
    _name_users(settings, con, has_profile)
    by_workers = settings.engine != "duckdb" and scan.is_in_files(con)
    if by_workers:
        day_files.write(settings, con, folder)
        events = literal(str(folder / "events" / "*.parquet"))
        con.execute(f"CREATE OR REPLACE VIEW staged AS SELECT {STAGED} FROM read_parquet({events})")
    else:
        con.execute(
            f"CREATE OR REPLACE TABLE staged AS SELECT {STAGED.replace('event_date', DAY, 1)} "
            "FROM scanned JOIN user_keys USING (user_id) WHERE reason IS NULL"
        )
    kept: dict[str, int] = {}
    if removed != "drop" and is_staged(settings) and growth.keep(con, settings.staging, lost, source):
        con.execute(f"COPY kept TO {literal(str(folder / growth.KEPT))} (FORMAT parquet)")
        if by_workers:
            path = literal(str(folder / "events" / growth.KEPT))
            con.execute(f"COPY (SELECT {STAGED} FROM kept ORDER BY event_date) TO {path} (FORMAT parquet)")
        else:
            con.execute("INSERT INTO staged BY NAME FROM kept")
        kept = dict(con.execute("SELECT CAST(event_date AS VARCHAR), count(*) FROM kept GROUP BY 1 ORDER BY 1").fetchall())
    if not by_workers:
        con.execute(
            f"COPY (FROM staged ORDER BY event_date) TO {literal(str(folder / 'events'))} "
            f"(FORMAT parquet, FILE_SIZE_BYTES '{FILE_SIZE}', ROW_GROUP_SIZE {ROW_GROUP})"
        )
    hash_of_profile = "none"
    if has_profile:
        rows = f"SELECT user_key, fold, p.* EXCLUDE (user_id) FROM {profile.GOOD} p JOIN user_keys USING (user_id)"
        con.execute(f"COPY ({rows} ORDER BY 1, as_of) TO {literal(str(folder / 'profile.parquet'))} (FORMAT parquet)")
        hash_of_profile = profile_hash(con, folder)
    content = {
        "fingerprint": fingerprint,
        "days": day_files.hashes(settings, folder) if by_workers else day_files.hashes_of(con, "staged"),
        "profile": hash_of_profile,
        "source": growth.source_rows(con),
        "kept": kept,
    }
    (folder / MANIFEST).write_text(json.dumps(content))
    return content


def _name_users(settings: Settings, con: duckdb.DuckDBPyConnection, has_profile: bool) -> None:
    """Leaves `user_keys` behind (user_id, user_key, fold of everybody, a file that is mapped), and everybody in the vault.

    Users go through memory a block at a time.
    """
    ids = f"SELECT user_id FROM {totals.table(con, 'by_user')}"
    if has_profile:
        ids += f" UNION ALL SELECT user_id FROM {profile.GOOD}"
    reader = con.execute(f"SELECT DISTINCT user_id FROM ({ids}) ORDER BY 1").to_arrow_reader(mapped.ROWS)
    secret, path = keys.home_secret(settings), work(settings) / "tmp" / "user_keys.arrow"
    tables = (keys.key_table(secret, batch["user_id"].to_pylist()) for batch in reader)
    batches = (batch for table in tables for batch in table.to_batches())
    mapped.save_table(path, pa.RecordBatchReader.from_batches(keys.key_table(secret, []).schema, batches))
    con.register("user_keys", mapped.load_table(path))
    vault.add(settings, con.execute("SELECT user_key, user_id FROM user_keys ORDER BY user_key").to_arrow_reader(vault.AT_ONCE))


def staged_days(con: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, list[Any]]:
    """Rows and row hash of each day that is staged, as the manifest has them, from the files."""
    con.execute(f"CREATE OR REPLACE TEMP VIEW staged AS SELECT {STAGED} FROM {growth.staged(folder)}")
    return day_files.hashes_of(con, "staged")


def profile_hash(con: duckdb.DuckDBPyConnection, folder: Path) -> str:
    """The row hash of the staged profile."""
    query = "SELECT sum(CAST(hash(t) AS HUGEINT)) % 18446744073709551616 FROM read_parquet(?) t"
    row = con.execute(query, [str(folder / "profile.parquet")]).fetchone()
    return f"{int((row or [0])[0] or 0):016x}"
