"""Erased users and a home's sources: whatever a source still holds of them stays out, and what was staged of them goes.

What belongs here: leaving their rows out of a scan, of what was pulled and of what is staged. What does not: who was erased
(`privacy.tombstones`), the other stores of a home (`found_platform.erasure`).
"""

import json
from collections.abc import Collection, Iterable
from itertools import islice

import duckdb

from found_platform import lake
from found_platform.home import write_whole
from found_platform.lake import literal
from found_platform.privacy import keys, parquet_rows, tombstones
from found_platform.settings import Settings
from found_platform.sources import counts, folders, growth, profile

AT_ONCE = 100_000
"""Users whose keys are made at once."""


def among(settings: Settings, users: Iterable[str]) -> list[str]:
    """Those of some users, by their raw ids, who were erased."""
    if not tombstones.count(settings):
        return []
    secret, remaining, out = keys.home_secret(settings), iter(users), []
    while some := list(islice(remaining, AT_ONCE)):
        by_key = {keys.user_key(secret, user): user for user in some}
        out += [by_key[key] for key in tombstones.erased(settings, secret, by_key)]
    return sorted(out)


def leave_out_of_pulled(settings: Settings, users: Iterable[str]) -> int:
    """Takes users out of what was pulled into the home, where a source still holds them; returns the number of rows."""
    cells = frozenset(users)
    return sum(parquet_rows.leave_out(file, lambda _: cells) for file in sorted(settings.pulled.glob("*/rows/*.parquet")))


def leave_out_of_profile(settings: Settings, con: duckdb.DuckDBPyConnection) -> None:
    """Takes erased users out of the good rows of a profile that was read, and of what was pulled."""
    batches = con.execute(f"SELECT DISTINCT user_id FROM {profile.GOOD}").to_arrow_reader()
    if users := among(settings, (user for batch in batches for user in batch["user_id"].to_pylist())):
        leave_out_of_pulled(settings, users)
        profile.leave_out_of_good(con, users)


def note(con: duckdb.DuckDBPyConnection) -> list[str]:
    """What there is to say of a scan."""
    count = sum(report.erased for report in counts.report(con))
    return [f"{count:,} events of users who were erased are left out, as they always will be"] if count else []


def leave_out_of_staging(settings: Settings, user_keys: Collection[str]) -> int:
    """Takes users out of what is staged, and lets the manifest say what is left; returns the number of rows."""
    if not folders.is_staged(settings):
        return 0
    with folders.turn(settings):
        count = sum(parquet_rows.leave_out(file, lambda _: user_keys) for file in sorted(settings.staging.rglob("*.parquet")))
        manifest = folders.manifest(settings)
        with lake.connect(settings.duckdb_memory) as con:
            days = {} if not list((settings.staging / "events").rglob("*.parquet")) else folders.staged_days(con, settings.staging)
            by_channel = growth.staged_rows(con, settings.staging, {}) if days else {}
            kept = settings.staging / growth.KEPT
            rows = "SELECT CAST(event_date AS VARCHAR), channel, count(*) FROM read_parquet({}) GROUP BY 1, 2"
            stays = con.execute(rows.format(literal(str(kept)))).fetchall() if kept.exists() else []
            for day, channel, n in stays:  # staged, and no longer in the source
                by_channel[day][channel] -= n
            kept_days: dict[str, int] = {}
            for day, _, n in stays:
                kept_days[day] = kept_days.get(day, 0) + n
            of_profile = folders.profile_hash(con, settings.staging) if manifest["profile"] != "none" else "none"
        content = {**manifest, "days": days, "profile": of_profile, "source": by_channel, "kept": kept_days}
        if content != manifest:
            write_whole(settings.staging / folders.MANIFEST, json.dumps(content))
    return count
