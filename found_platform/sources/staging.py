"""Opening a home for a source, and staging: good rows by day under `HOME/staging`, bad rows in the quarantine table.

A staged folder is swapped in whole, and only where the share of bad rows is under the threshold.
"""

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from found_platform import lake
from found_platform.contract import QUARANTINE
from found_platform.errors import BadInput
from found_platform.lake import literal
from found_platform.privacy import keys
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources import pulls, review, scan, simulator
from found_platform.sources.config import SourceConfig
from found_platform.sources.profile import ProfileReport, read_profile
from found_platform.sources.scan import ChannelReport

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class StageReport:
    """What staging did. `staged` is false where too many rows were bad: then the last good staging stays."""

    channels: list[ChannelReport]
    equal_rows: int
    profile: ProfileReport
    bad_share: float  # of the events; the profile has its own
    staged: bool
    seconds: float

    @property
    def bad_rows(self) -> int:
        return sum(c.bad_rows for c in self.channels) + self.profile.bad_rows


def discover(settings: Settings, source: SourceConfig) -> SourceConfig:
    """The source with its span and profile schema: as the home keeps them, or found now.

    Rows that are elsewhere, in a database for example, are pulled into the home first; nothing else is written.

    Raises BadInput when the source cannot be read or the home belongs to another one.
    """
    if (settings.home / "source.yaml").exists():
        kept = source_config.of_home(settings)
        if not kept.asks_the_same(source) and kept.name == source.name and kept.channels:
            raise BadInput(
                f"{settings.home} was made from another version of {kept.name!r} (see its source.yaml): choose another --home."
            )
        if not kept.asks_the_same(source):
            raise BadInput(
                f"{settings.home} belongs to another source, {kept.name!r} (see its source.yaml): choose another --home."
            )
        pulls.refresh(kept, settings.pulled)
        return kept
    if settings.home.exists() and not settings.home.is_dir():
        raise BadInput(f"{settings.home} is a file: choose another --home.")
    if source.simulator:
        return simulator.discover(source)
    files = pulls.refresh(source, settings.pulled)[0]
    with pulls.origins_named(source, settings.pulled):
        discovered = scan.discover(lake.connect(settings.duckdb_memory), files)
    return source.model_copy(update={"span": discovered.span, "profile_schema": discovered.profile_schema})


def open_home(settings: Settings, found: SourceConfig) -> SourceConfig:
    """Ties a home to a source that `discover` has found, and returns it."""
    source_config.keep(settings, found)
    return found


def source_fingerprint(settings: Settings) -> str:
    """A hash of the source file and of the size and time of each file behind it: what decides whether to scan again."""
    source = source_config.of_home(settings)
    local = pulls.local(source, settings.pulled)
    entries = [e for entries in local.channels.values() for e in entries] + ([local.profile] if local.profile else [])
    files = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for e in entries for f in e.files()]
    content = json.dumps(
        [source.model_dump(mode="json"), files, settings.quarantine_threshold, simulator.VERSION if source.simulator else 0]
    )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class CheckReport:
    """What a scan that keeps nothing says of a source: for `found source check`."""

    source: SourceConfig
    channels: list[ChannelReport]
    equal_rows: int
    profile: ProfileReport
    notes: list[str]
    refusals: list[str]  # for which `found demo` would refuse it


def examine(source: SourceConfig) -> CheckReport:
    """Scans a source without keeping anything, and reviews it."""
    con = lake.connect()
    if source.simulator:
        raise BadInput("A simulated source has no files to check: run `found demo` instead.")
    with tempfile.TemporaryDirectory(prefix="found-") as folder, pulls.origins_named(source, Path(folder)):
        found = scan.discover(con, pulls.refresh(source, Path(folder))[0])
        scan.scan(con, found)
        profile = read_profile(con, found.profile, found.profile_schema or {})[2] if found.profile else ProfileReport()
        channels = scan.report(con)
        notes = review.notes(con, found, channels, profile)
        shares = review.implausible_shares(con, found)
    found = source.model_copy(update={"span": found.span, "profile_schema": found.profile_schema})
    return CheckReport(found, channels, scan.equal_rows(con), profile, notes, shares)


def check(source: SourceConfig) -> tuple[SourceConfig, list[ChannelReport], int, ProfileReport]:
    """Scans a source without keeping anything: its found config, a report a channel, equal rows, a report of the profile."""
    report = examine(source)
    return report.source, report.channels, report.equal_rows, report.profile


def stage(settings: Settings) -> StageReport:
    """Scans the home's source once and stages its good rows by day; bad rows become the quarantine table."""
    timer = lake.Timer()
    source = source_config.of_home(settings)
    simulated = source.simulator is not None
    if simulated:
        source = simulator.generate(settings, source)
    source = pulls.local(source, settings.pulled)
    work = settings.home / "staging.partial"
    shutil.rmtree(work, ignore_errors=True)
    (work / "tmp").mkdir(parents=True)
    con = lake.connect(settings.duckdb_memory, temp=work / "tmp", database=str(work / "scan.duckdb"))
    try:
        scan.scan(con, source)
        if not simulated:
            review.check_shares(con, source)
        channels = scan.report(con)
        for channel in source.channels:
            if not any(c.channel == channel and c.rows for c in channels):
                raise BadInput(f"channel {channel!r} is empty: no rows are left in the source; what was staged before stays.")
        refused = scan.quarantined(con)
        profile, about_profile = None, ProfileReport()
        if source.profile:
            profile, bad, about_profile = read_profile(con, source.profile, source.profile_schema or {})
            refused = pa.concat_tables([refused, bad.select(refused.column_names)])
        lake.replace(settings.lake, "quarantine", refused.select(QUARANTINE.names).cast(QUARANTINE), schema=QUARANTINE)
        share = scan.bad_share(channels)
        equal = scan.equal_rows(con)
        staged = max(share, about_profile.bad_share) <= settings.quarantine_threshold
        if staged:
            _write(settings, con, profile, work)
    finally:
        con.close()
    if staged:
        (work / "scan.duckdb").unlink()
        shutil.rmtree(work / "tmp", ignore_errors=True)
        old = settings.home / "staging.old"
        shutil.rmtree(old, ignore_errors=True)
        if settings.staging.exists():
            settings.staging.rename(old)
        work.rename(settings.staging)
        shutil.rmtree(old, ignore_errors=True)
    else:
        shutil.rmtree(work)
    return StageReport(channels, equal, about_profile, round(share, 6), staged, timer.seconds)


def _write(settings: Settings, con: duckdb.DuckDBPyConnection, profile: pa.Table | None, work: Path) -> None:
    ids = {r[0] for r in con.execute("SELECT DISTINCT user_id FROM scanned WHERE reason IS NULL").fetchall()}
    ids |= set(profile["user_id"].to_pylist()) if profile is not None else set()
    key_table = keys.key_table(keys.home_secret(settings), sorted(ids))
    keys.remember(settings, key_table)
    con.register("user_keys", key_table)
    con.execute(
        "CREATE TABLE staged AS SELECT CAST(event_time AS DATE) AS event_date, channel, user_key, fold, event_time, text_id, text, "
        "category, amount, status, payment_method, event_id, arrived_at, exposure "
        "FROM scanned JOIN user_keys USING (user_id) WHERE reason IS NULL"
    )
    con.execute(f"COPY staged TO {literal(str(work / 'events'))} (FORMAT parquet, PARTITION_BY (event_date))")
    manifest = con.execute(
        "SELECT CAST(event_date AS VARCHAR), count(*), sum(CAST(hash(staged) AS HUGEINT)) % 18446744073709551616 "
        "FROM staged GROUP BY 1"
    ).fetchall()
    profile_hash = "none"
    if profile is not None:
        con.register("profile_good", profile)
        staged_profile = con.execute(
            "SELECT user_key, fold, p.* EXCLUDE (user_id) FROM profile_good p JOIN user_keys USING (user_id) ORDER BY 1, as_of"
        ).to_arrow_table()
        pq.write_table(staged_profile, work / "profile.parquet")
        row = con.execute(
            "SELECT sum(CAST(hash(t) AS HUGEINT)) % 18446744073709551616 FROM read_parquet(?) t", [str(work / "profile.parquet")]
        )
        profile_hash = f"{int((row.fetchone() or [0])[0] or 0):016x}"
    content = {"days": {d: [n, f"{int(h):016x}"] for d, n, h in manifest}, "profile": profile_hash}
    (work / MANIFEST).write_text(json.dumps(content))


def is_staged(settings: Settings) -> bool:
    """Whether there are staged days."""
    return (settings.staging / MANIFEST).exists()


def manifest(settings: Settings) -> dict:
    """Rows and row hash of each staged day, and the hash of the profile."""
    path = settings.staging / MANIFEST
    if not path.exists():
        raise BadInput(f"Nothing is staged in {settings.home}: run `found demo` first.")
    return json.loads(path.read_text())


def threshold_sentence(settings: Settings, report: StageReport) -> str:
    """The one sentence for too many bad rows."""
    if report.profile.bad_share > report.bad_share:
        share, whose, bad = report.profile.bad_share, "profile's", [(n, reason, "") for reason, n in report.profile.bad.items()]
    else:
        share, whose = report.bad_share, "source's"
        bad = [(n, reason, f"in channel {c.channel!r}: ") for c in report.channels for reason, n in c.bad.items()]
    n, reason, where = max(bad)
    return (
        f"{share:.1%} of the {whose} rows are bad, over the threshold of {settings.quarantine_threshold:.1%} "
        f"(most often {where}{reason}, {n:,} rows); {settings.lake / 'quarantine'} names each: "
        "mend the source or raise FOUND_QUARANTINE_THRESHOLD."
    )


def as_metadata(report: StageReport) -> dict:
    """The report as plain JSON."""
    return json.loads(json.dumps(asdict(report), default=str))
