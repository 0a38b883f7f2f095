"""A home brought back from a backup: every file checked, whoever was erased or suppressed since left as they were, then put in its
place whole.

A backup that is older than an erasure holds the persons. The tombstones of the home that it replaces name nobody, but with the
secret and the vault of the backup it can be told who of it they are; these are erased from the copy before anybody can open it.
"""

import contextlib
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import pyarrow.compute as pc

from found_platform import database, erasure, feature_store, home, home_format, lake, lake_place
from found_platform.errors import BadInput
from found_platform.housekeeping import backup
from found_platform.housekeeping.backup import MANIFEST, Manifest
from found_platform.privacy import holds, keys, retention, suppression, tombstones, vault
from found_platform.settings import Settings

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)


@dataclass(frozen=True)
class Restored:
    """What was brought back: of when, how much, and how many users were erased or suppressed again; None where nobody said since
    when. `missing` is what the folder that was named does not have, so that nothing of it was brought over."""

    home: Path
    made_at: str
    files: int
    bytes: int
    erased: int | None
    suppressed: int | None
    missing: tuple[str, ...] = ()


def restore(source: Path, place: Path, since: Path | None = None) -> Restored:
    """Brings a backup back as a new home.

    Args:
        source: a folder or an archive that `backup.write` wrote.
        place: where the home will lie; nothing may be there but an empty folder.
        since: the home that it replaces, or a folder with what is left of it (`KEPT`).

    Raises BadInput for what is no whole backup, with the file that is missing or was changed; nothing is left then.
    """
    place = place.absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise BadInput(f"{place} is not empty: name a new folder for the home, nothing is written over.")
    if not place.parent.is_dir():
        raise BadInput(f"The folder {place.parent} is not there: make it first.")
    parts = (tombstones.FOLDER, lake_place.FOLDER, lake_place.MARKER)
    if since is not None and not any((since / part).exists() for part in parts):
        raise BadInput(f"{since} is no home: it has neither {tombstones.FOLDER}/ nor lake/.")
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        home.make_private(partial)
        manifest = _unpacked(source, partial)
        settings = Settings.load(partial, moving=True)  # its lake is in its folder, wherever new homes have theirs
        database.check(settings.home, settings.database_url)
        erased = suppressed = None
        if since is not None:
            _check_same(settings, since)
            _hold(settings, since)
            suppressed = _suppress(settings, since)
            erased = _erase(settings, since)
        if place.exists():
            place.rmdir()
        partial.rename(place)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    missing = () if since is None else _missing(since)
    return Restored(place, manifest.made_at, len(manifest.files), manifest.size, erased, suppressed, missing)


KEPT = {
    f"{tombstones.FOLDER}/{tombstones.DATABASE}": "erasures",
    f"{lake_place.FOLDER}/{suppression.TABLE}": "suppressions",
    holds.FILE: "legal holds",
    retention.FILE: "days that expiry let go",
}
"""By path below a home, what a later state of it says of persons."""


def _missing(since: Path) -> tuple[str, ...]:
    """What a folder that is no whole home lacks: of a home, what is not there was never entered."""
    if (since / home_format.SETTINGS).exists():
        return ()
    away = lake_place.marked(since) is not None
    return tuple(
        f"{about} ({path})"
        for path, about in KEPT.items()
        if not (since / path).exists() and not (away and path.startswith(lake_place.FOLDER))
    )


def _unpacked(source: Path, partial: Path) -> Manifest:
    if source.is_dir():
        return _copy(source, partial)
    if not source.is_file():
        raise BadInput(f"There is no backup {source}.")
    try:
        return _unpack(source, partial)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(f"{source} is no whole backup ({error}): take another one.") from None


def _manifest(source: Path, data: bytes | None) -> Manifest:
    if data is None:
        raise BadInput(f"{source} is no whole backup: it has no {MANIFEST}, which is written last.")
    try:
        return Manifest.of(data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(f"{MANIFEST} of {source} cannot be used ({error}): take another backup.") from None


def _copy(source: Path, partial: Path) -> Manifest:
    path = source / MANIFEST
    manifest = _manifest(source, path.read_bytes() if path.is_file() else None)
    copied = {}
    for name in manifest.files:
        with contextlib.suppress(FileNotFoundError), (source / _safe(source, name)).open("rb") as file:
            copied[name] = backup.write_private(partial / name, file)
    _check(source, manifest, copied)
    return manifest


def _unpack(source: Path, partial: Path) -> Manifest:
    """The list of files is the last one in the archive: what comes before it is unpacked out of sight."""
    data, copied = None, {}
    for name, file in _members(source):
        if name == MANIFEST:
            data = file.read()
        elif name not in copied:
            copied[name] = backup.write_private(partial / _safe(source, name), file)
    manifest = _manifest(source, data)
    _check(source, manifest, copied)
    return manifest


def _members(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(source, "r|*") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            if file is None:
                raise BadInput(f"{source} holds {member.name!r}, which is no file: no backup has that.")
            yield member.name, file


def _safe(source: Path, name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise BadInput(f"{source} names {name!r}, which lies outside a home: it is no backup of `found backup`.")
    return name


def _check(source: Path, manifest: Manifest, copied: dict[str, backup.Copied]) -> None:
    for name, file in manifest.files.items():
        if name not in copied:
            raise BadInput(f"{source} is not whole: {name} is missing. Take another backup.")
        if copied[name] != file:
            raise BadInput(f"{name} of {source} is not what was backed up: its hash is another one. Take another backup.")
    if extra := sorted(copied.keys() - manifest.files.keys()):
        raise BadInput(f"{source} holds {extra[0]}, which its list does not name: it was changed. Take another backup.")


def _check_same(settings: Settings, since: Path) -> None:
    """Tombstones of another home's secret would fit nobody, without a word."""
    own, other = settings.home / "secret.sha256", since / "secret.sha256"
    if own.exists() and other.exists() and own.read_text() != other.read_text():
        raise BadInput(f"{since} is not the home of this backup: its users have other keys.")


def _erase(settings: Settings, since: Path) -> int:
    """Erases those of the backup who have a tombstone in the other home, and takes all its tombstones over."""
    file = since / tombstones.FOLDER / tombstones.DATABASE
    if not file.exists():
        return 0
    secret = keys.home_secret(settings)
    marks = tombstones.marks_of(file)
    with contextlib.closing(sqlite3.connect(f"file:{settings.home / vault.DATABASE}?mode=ro", uri=True)) as con:
        users = con.execute(f"SELECT user_key, user_id FROM {vault.TABLE}")
        gone = [user for key, user in users if tombstones.mark(secret, key) in marks]
    if gone:
        erasure.erase(settings, tuple(gone), "erased since the backup was made", against_holds=True)
    tombstones.take_over(settings, file)
    return len(gone)


def _hold(settings: Settings, since: Path) -> None:
    """What the other home holds stays held; and the days that it let go are let go again by the next `found expire`."""
    holds.take_over(settings, since)
    if (first := retention.kept_from(settings.model_copy(update={"home": since}))) is not None:
        feature_store.stand_alone(settings, first)
        retention.keep_from(settings, first)


def _suppress(settings: Settings, since: Path) -> int:
    """Adds the entries that were made in the other home after the newest one of the backup."""
    if not lake.exists(place := lake_place.of_home(since, None), suppression.TABLE):
        return 0
    rows = lake.read(place, suppression.TABLE)
    if lake.exists(settings.lake, suppression.TABLE):
        before = pc.max(lake.read(settings.lake, suppression.TABLE, columns=["since"])["since"])
        if before.is_valid:
            rows = rows.filter(pc.greater(rows["since"], before))
    if rows.num_rows:
        lake.append(settings.lake, suppression.TABLE, rows.cast(suppression.SCHEMA), schema=suppression.SCHEMA)
    return rows.num_rows
