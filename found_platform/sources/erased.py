"""Erased users and a home's sources: whatever a source still holds of them stays out, and what was staged of them goes.

What belongs here: leaving their rows out of a scan, of what was pulled and of what is staged. What does not: who was erased
(`privacy.tombstones`), the other stores of a home (`found_platform.erasure`).
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import json
from collections.abc import Collection, Iterable

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from found_platform import lake
from found_platform.home import write_whole
from found_platform.lake import literal
from found_platform.privacy import keys, parquet_rows, tombstones
from found_platform.settings import Settings
from found_platform.sources import counts, folders, growth


def among(settings: Settings, users: Iterable[str]) -> list[str]:
    """Those of some users, by their raw ids, who were erased."""
    if not tombstones.count(settings):
        return []
    secret = keys.home_secret(settings)
    by_key = {keys.user_key(secret, user): user for user in users}
    return sorted(by_key[key] for key in tombstones.erased(settings, secret, by_key))


def leave_out_of_pulled(settings: Settings, users: Iterable[str]) -> int:
    """Takes users out of what was pulled into the home, where a source still holds them; returns the number of rows."""
    cells = frozenset(users)
    return sum(parquet_rows.leave_out(file, lambda _: cells) for file in sorted(settings.pulled.glob("*/rows/*.parquet")))


def leave_out_of_profile(settings: Settings, profile: pa.Table) -> pa.Table:
    """The rows of a profile, told by `user_id`, without those of erased users."""
    users = among(settings, profile["user_id"].to_pylist())
    if not users:
        return profile
    leave_out_of_pulled(settings, users)
    return profile.filter(pc.invert(pc.is_in(profile["user_id"], pa.array(users, pa.string()))))


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
            profile = folders.profile_hash(con, settings.staging) if manifest["profile"] != "none" else "none"
        content = {**manifest, "days": days, "profile": profile, "source": by_channel, "kept": kept_days}
        if content != manifest:
            write_whole(settings.staging / folders.MANIFEST, json.dumps(content))
    return count
