"""The condition of a home and of the machine under it: what the doctor looks at outside Dagster.

What belongs here: a function for each thing that is looked at; it yields findings and changes nothing. What belongs to Dagster's
instance is `dagster_defs.pulse`.
"""

import contextlib
import datetime as dt
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import yaml
from deltalake.exceptions import DeltaError
from packaging.requirements import Requirement
from packaging.version import Version

from found_platform import feature_store, home, lake, objects, registry
from found_platform.audiences import deliveries
from found_platform.erasure import databases, files
from found_platform.errors import BadInput, JobFailed
from found_platform.feature_store import online_redis
from found_platform.housekeeping import expiry
from found_platform.housekeeping.garbage import DAY
from found_platform.index import IndexBusy, milvus, pointer, snapshot
from found_platform.lake_place import Away
from found_platform.monitoring import alerts
from found_platform.monitoring.finding import Finding
from found_platform.privacy import tombstones
from found_platform.registry import tracking
from found_platform.settings import Settings

Look = Callable[[Settings], Iterator[Finding]]

DISTRIBUTION, CONSTRAINTS = "found-platform", "constraints.txt"
GIGABYTE = 1e9
RECENT = DAY
"""How far back an event is worth an alert, in seconds."""

LONG_HELD = 6 * 3600.0
"""Seconds after which a lock that is still held is worth a look: a full run of a laptop's profile takes minutes."""


def versions(_: Settings) -> Iterator[Finding]:
    """Libraries that are not the tested ones: outside the ranges that the platform asks for, or other than `constraints.txt`."""
    tested = _tested()
    for text in metadata.requires(DISTRIBUTION) or ():
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = Version(metadata.version(requirement.name)).public  # torch says `+cpu` after it
        except metadata.PackageNotFoundError:
            yield Finding("versions", f"{requirement.name} is not installed", _install(requirement.name))
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            problem = f"{requirement.name} {installed} is installed, and {requirement.specifier} is needed"
            yield Finding("versions", problem, _install(requirement.name))
        elif (right := tested.get(_normal(requirement.name), installed)) != installed:
            problem = f"{requirement.name} {installed} is installed, and {right} is the tested one"
            yield Finding("versions", problem, _install(requirement.name))


def _tested() -> dict[str, str]:
    """The tested versions by name, where the platform runs from its repository."""
    path = Path(__file__).parents[2] / CONSTRAINTS
    lines = path.read_text().splitlines() if path.exists() else ()
    pairs = (line.split("#")[0].strip().partition("==") for line in lines)
    return {_normal(name): version for name, _, version in pairs if version}


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _install(name: str) -> str:
    return f"`pip install -c {CONSTRAINTS} {name}` in the repository, in the environment of {sys.executable}"


def disk(settings: Settings) -> Iterator[Finding]:
    """A disk with less room than `disk_free_gb`."""
    free = shutil.disk_usage(settings.home).free / GIGABYTE
    if free < settings.disk_free_gb:
        problem = f"{free:,.1f} GB are free under {settings.home}, less than the {settings.disk_free_gb:g} GB of FOUND_DISK_FREE_GB"
        yield Finding("disk", problem, f"`found gc --dry-run{home.option(settings.home)}` says what may go", key="disk")


def failed_deliveries(settings: Settings) -> Iterator[Finding]:
    """Deliveries of the last day that the receiver did not take, and that were not made good since."""
    for delivery in deliveries.failed(settings, time.time() - RECENT):
        again = (
            f"`found audience deliver {delivery.audience} --to {delivery.destination}{home.option(settings.home)}` sends it again"
        )
        problem = f"the delivery of {delivery.audience} failed: {delivery.error}"
        yield Finding("delivery", problem, again, key=f"delivery {delivery.id} {delivery.at.timestamp():.0f}")


def untold(settings: Settings) -> Iterator[Finding]:
    """Alerts that a channel does not take: nobody hears of them, and an alert cannot say so."""
    for each in alerts.refused(settings):
        since = f"{dt.datetime.fromtimestamp(each.since, dt.UTC):%Y-%m-%d %H:%M} UTC"
        problem = f"{each.channel} has not taken {each.alerts:,} of the alerts since {since}: {each.error}"
        fix = f"`found alerts --trial{home.option(settings.home)}` tries it; what waits is sent at the next look after it is mended"
        yield Finding("alerts", problem, fix)


def locks(settings: Settings) -> Iterator[Finding]:
    """Locks that somebody has held for hours; one that a killed process held is free, and is none."""
    for note in sorted((settings.home / "locks").glob("*.holder")):
        with contextlib.suppress(FileNotFoundError):
            held, holder = time.time() - note.stat().st_mtime, note.read_text()
            if held > LONG_HELD and not home.is_free(settings.home, note.stem):
                problem = f"{note.stem} has been held for {held / 3600:.0f} hours by {holder}"
                yield Finding("locks", problem, "look whether it still works, and end it where it does not")


def unfinished(settings: Settings) -> Iterator[Finding]:
    """An erasure that was interrupted."""
    left = [path.name.partition(".")[0] for path in (settings.home / tombstones.FOLDER).glob("*.progress.json")]
    if left and home.is_free(settings.home, home.WHOLE):
        yield Finding("erasure", f"the erasure {left[0]} was not ended", "run the same `found erase` again: it goes on")


def aliases(settings: Settings) -> Iterator[Finding]:
    """Names that lead nowhere: of a version whose files are gone, or that may not serve; of a publication without its files."""
    again = f"`found publish --cutoff D{home.option(settings.home)}` builds it again"
    for alias in (registry.CHAMPION, registry.CANDIDATE, registry.PREVIOUS):
        version = registry.version_of(settings, alias)
        if version is None:
            continue
        try:
            registry.check_served(settings, version)
        except JobFailed as error:
            yield Finding("aliases", f"{alias} is version {version}, whose files are gone", str(error))
        if alias == registry.CHAMPION and not registry.gate_passed(settings, version):
            fix = f"`found rollback model{home.option(settings.home)}`"
            yield Finding("aliases", f"version {version} serves, and its stored verdict does not pass", fix)
    if not pointer.exists(settings):
        return
    current = pointer.read(settings)
    for name, publication in (("live", current.live), ("the earlier", current.previous)):
        if publication is None:
            continue
        with contextlib.suppress(IndexBusy):  # `vectors` says it
            if not milvus.store(settings).exists(publication.name):
                yield Finding("aliases", f"{name} index {publication.name} is gone", again)
        if not snapshot.folder(settings, publication.name).exists():
            yield Finding("aliases", f"the states of {name} index {publication.name} are gone", again)
    if current.live.model_version not in {v.version for v in registry.versions(settings)}:
        problem = f"the live index is of model version {current.live.model_version}, which the registry does not have"
        yield Finding("aliases", problem, again)


def vectors(settings: Settings) -> Iterator[Finding]:
    """A Milvus server that does not answer: look-ups score exactly meanwhile, and nothing can be published."""
    if (server := milvus.server(settings)) is None:
        return
    try:
        server.others(())
    except IndexBusy as error:
        fix = "look at FOUND_MILVUS_URI, FOUND_MILVUS_TOKEN, and whether the server runs"
        yield Finding("vectors", f"{error}: {server.place}", fix)


def newest_features(settings: Settings) -> Iterator[Finding]:
    """An online store in Redis that does not answer, throws keys away, or has lost what it was filled with."""
    try:
        if (store := online_redis.of(settings)) is None:
            return
        store.check()
        filled = feature_store.is_filled(settings)
    except (JobFailed, BadInput) as error:
        yield Finding("online store", str(error).rstrip("."), "mend FOUND_REDIS_URL or the server")
        return
    if not filled and feature_store.was_filled(settings):
        problem = f"{store.place} does not hold the newest features of this home"
        yield Finding("online store", problem, f"`found demo{home.option(settings.home)}` fills it")


def objects_of_lake(settings: Settings) -> Iterator[Finding]:
    """A store of the lake that does not answer, or that lets two writers at once both win."""
    try:
        if isinstance(settings.lake, Away):
            objects.race(settings.lake)
    except (JobFailed, BadInput) as error:
        yield Finding("lake", str(error).rstrip("."), "mend the store, or the settings and credentials that name it")


def tables(settings: Settings) -> Iterator[Finding]:
    """Tables of a lake in files that lack a file, hold one of another size, or cannot be opened."""
    if isinstance(settings.lake, Away) or not settings.lake.exists():
        return
    fix = "`found restore BACKUP --home NEW` brings a backup back; `found backfill` makes days again that the source still has"
    for folder in sorted(path for path in settings.lake.iterdir() if path.is_dir()):
        try:
            live = lake.files(settings.lake, folder.name)
        except (BadInput, JobFailed, DeltaError) as error:
            if next(folder.rglob("*.parquet"), None) is not None:
                yield Finding("tables", f"the table {folder.name} cannot be opened ({str(error).splitlines()[0][:200]})", fix)
            continue
        wrong = [each["path"] for each in live if _bytes(folder / each["path"]) != each["size_bytes"]]
        if wrong:
            problem = f"{len(wrong):,} of {len(live):,} files of the table {folder.name} are gone or cut off, such as {wrong[0]}"
            yield Finding("tables", problem, fix)


def _bytes(path: Path) -> int:
    """-1 for a file that is not there."""
    return path.stat().st_size if path.is_file() else -1


def modes(settings: Settings) -> Iterator[Finding]:
    """Files and folders that others than the owner can read: a home holds the vault and its secret."""
    readable = [path for path in (settings.home, *files.every(settings.home)) if _mode(path) & home.PRIVATE_UMASK]
    if readable:
        problem = f"{len(readable):,} files of the home can be read by others, such as {readable[0]}"
        yield Finding("modes", problem, f"`chmod -R go-rwx {settings.home}`")


def _mode(path: Path) -> int:
    """0 for a file that goes meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mode
    return 0


def telemetry(settings: Settings) -> Iterator[Finding]:
    """Dagster's own telemetry; that of the other libraries is off before they are imported (`settings.TELEMETRY_OFF`)."""
    path = settings.dagster_home / "dagster.yaml"
    with contextlib.suppress(FileNotFoundError, yaml.YAMLError):
        document = yaml.safe_load(path.read_text()) or {}
        if document.get("telemetry", {}).get("enabled", True):
            fix = f"write `telemetry: {{enabled: false}}` into {path}"
            yield Finding("telemetry", "Dagster tells its makers of its use", fix)


def stores(settings: Settings) -> Iterator[Finding]:
    """SQLite databases that are damaged."""
    for name in STORES:
        path = settings.home / name
        if not path.exists() or not databases.is_database(path):
            continue
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=databases.PATIENCE)) as con:
                (answer,) = con.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            answer = str(error)
        if answer != "ok":
            yield Finding("stores", f"the database {name} is damaged ({answer})", "restore it: `found restore BACKUP --home NEW`")


STORES = (
    "audit.db",
    "vault.db",
    "access.db",
    "deliveries.db",
    "feast/online.db",
    "mlflow/mlflow.db",
    "dagster/history/runs.db",
    "dagster/history/runs/index.db",
)


def registered(settings: Settings) -> Iterator[Finding]:
    """Files that MLflow's database names outside the home."""
    if not tracking.exists(settings):
        return
    try:
        for version in registry.versions(settings):
            registry.check_served(settings, version.version)
    except (JobFailed, BadInput) as error:
        yield Finding("models", str(error).rstrip("."), "restore the home, or train the cutoff again")


def computes(settings: Settings) -> Iterator[Finding]:
    """An engine that does not answer, or computes other rows than DuckDB."""
    from found_platform import engine  # it brings Ibis

    try:
        engine.check(settings)
    except BadInput as error:
        yield Finding("engine", str(error).rstrip("."), "mend the engine, or set FOUND_ENGINE=duckdb")


def overdue(settings: Settings) -> Iterator[Finding]:
    """Rows that the setting `retention` should have let go the day before yesterday: expiry runs once a day."""
    run = f"run `found expire{home.option(settings.home)}`, or start the schedule {expiry.SCHEDULE} in Dagster"
    try:
        late = expiry.due(settings, dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1))
    except BadInput as error:
        yield Finding("retention", str(error).rstrip("."), "correct the setting")
        return
    for name, rows in late.items():
        yield Finding("retention", f"{rows:,} rows of {name} are older than the setting retention lets them be", run)


EVENTS: dict[str, Look] = {"disk": disk, "delivery": failed_deliveries}
"""What is worth an alert, by name."""

LOOKS: dict[str, Look] = {
    "versions": versions,
    **EVENTS,
    "alerts": untold,
    "locks": locks,
    "erasure": unfinished,
    "retention": overdue,
    "aliases": aliases,
    "vectors": vectors,
    "online store": newest_features,
    "lake": objects_of_lake,
    "tables": tables,
    "models": registered,
    "modes": modes,
    "telemetry": telemetry,
    "stores": stores,
    "engine": computes,
}
"""By name, in the order in which they are said."""
