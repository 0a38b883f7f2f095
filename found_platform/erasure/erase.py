"""One erasure from its first step to its certificate; interrupted, it goes on where it was when it is asked again.

`HOME/erasures/NUMBER.progress.json` has the steps that are done, `NUMBER.json` is the certificate. The number is made from keyed
hashes of who is erased: the same persons have the same one, and it tells nothing of them.
"""

import datetime as dt
import hashlib
import json
import platform
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from found_platform import home, lake
from found_platform.erasure import lake_tables, ledger, proof, servers
from found_platform.erasure.persons import ID_COLUMNS, SHORT, Persons
from found_platform.erasure.steps import STEPS
from found_platform.errors import BadInput, Unfinished
from found_platform.home import write_whole
from found_platform.privacy import free_texts, holds, keys, tombstones, user_files
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources.options import TimeColumn
from found_platform.sources.origins import Lookup

FEW = 10
"""Hits that are named in an error."""


@dataclass(frozen=True)
class Certificate:
    """What was done, without a word of who it was done to.

    Attributes:
        path: of the certificate.
        erasure: the number of the erasure.
        persons: how many there were.
        steps: by step, how many rows or files went, by table or folder.
        still_trained_on: model versions and prompts that have learned from erased persons, of this or an earlier erasure.
        searched: what was searched for their ids and keys, without a hit.
        lake_versions: the versions of tables from which on they are in none.
        sha256: of the rest of the document, as JSON with sorted keys.
    """

    path: Path
    erasure: str
    persons: int
    reason: str
    started_at: str
    finished_at: str
    seconds: float
    steps: dict[str, dict[str, int]]
    still_trained_on: dict[str, list[str]]
    searched: dict[str, Any]
    lake_versions: dict[str, int]
    software: dict[str, str]
    not_covered: tuple[str, ...]
    sha256: str = ""


NOT_COVERED = (
    "copies outside the home, what was delivered, and backups",
    "the source, where it lies outside the home",
    "weights of models that were trained before, until they are trained again",
    "blocks of the disk that the file system has given free, and snapshots of it",
)
"""What nobody can prove from within a home. `docs/erasure.md` has more."""


@dataclass
class _Progress:
    """What of an erasure is done; `before`, what its steps did before they began again."""

    path: Path
    started_at: str
    steps: dict[str, dict[str, int]] = field(default_factory=dict)
    before: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> "_Progress":
        if path.exists():
            return cls(path, **json.loads(path.read_text()))
        return cls(path, _now())

    def add(self, name: str, counts: dict[str, int]) -> None:
        """Notes a step that is done."""
        before = self.before.get(name, {})
        self.steps[name] = {what: before.get(what, 0) + counts.get(what, 0) for what in {**before, **counts}}
        self._save()

    def begin_again(self) -> None:
        """Every step is to be done once more; what it counted stays."""
        self.before, self.steps = self.steps, {}
        self._save()

    def _save(self) -> None:
        write_whole(self.path, json.dumps({name: value for name, value in vars(self).items() if name != "path"}))


def erase(settings: Settings, users: keys.Users, reason: str = "", *, against_holds: bool = False) -> Certificate:
    """Erases the persons of a file, or of raw ids, and proves it.

    Args:
        against_holds: also persons and tables under a legal hold; for whoever brings back a state in which they were erased before.

    Raises BadInput for a file that names nobody or somebody under a legal hold, or a reason that names one of them, and erases
    nobody then; Unfinished where anything of them is left after a second time: the same call then goes on.
    """
    timer = lake.Timer()
    persons = Persons.of(settings, users, [*ID_COLUMNS, *_mapped(settings)])
    if not persons.ids:
        raise BadInput("The file names nobody: give it one id a line.")
    servers.check_all_reached(settings)
    if any(user in reason for user in persons.ids | persons.keys):
        raise BadInput("The reason names one of the persons, and it would be kept: say it without the id.")
    free_texts.check_reasons(settings, "The reason", [reason], persons.keys)
    if not against_holds:
        _check_holds(settings, users)
    folder = home.make_private(tombstones.path(settings).parent)
    with home.hold(settings.home, [home.WHOLE], "found erase", seconds=settings.wait_seconds):
        progress = _Progress.of(folder / f"{persons.number}.progress.json")
        first = next(iter(STEPS))
        if first not in progress.steps:  # before any lock of a run is waited for
            progress.add(first, STEPS[first](settings, persons))
        runs = [path.stem for path in sorted((settings.home / "locks").glob("run-*.lock"))]
        # what runs have read of a person they would write again
        with home.hold(settings.home, runs, "found erase", seconds=settings.wait_seconds):
            search = _gone_through(settings, persons, progress)
            if search.hits:  # mostly of something that was written meanwhile: every step looks for it again
                progress.begin_again()
                search = _gone_through(settings, persons, progress)
        if search.hits:
            progress.path.unlink()
            raise Unfinished(_left(search.hits, settings))
        certificate = _certificate(settings, persons, reason, progress, search, timer.seconds, folder)
        progress.path.unlink()
    return certificate


def _gone_through(settings: Settings, persons: Persons, progress: _Progress) -> proof.Search:
    """Every step that is not done yet, and the search after them."""
    for name, step in STEPS.items():
        if name not in progress.steps:
            progress.add(name, step(settings, persons))
    return servers.search(settings, persons)


def _check_holds(settings: Settings, users: keys.Users) -> None:
    """Raises BadInput that names a hold, and where its persons stand in what was given, never who they are."""
    if (table := holds.of_tables(settings)) is not None:
        raise BadInput(
            f"The table {table[0]} is under the legal hold {table[1]!r}, so nobody can be erased: `found hold remove {table[1]}` "
            "ends it."
        )
    numbered = enumerate(users, 1) if isinstance(users, tuple) else ((row.number, row.user_id) for row in user_files.read(users))
    secret = keys.home_secret(settings)
    by_key: dict[str, list[int]] = {}
    for number, user in numbered:
        by_key.setdefault(keys.user_key(secret, user), []).append(number)
    held = holds.of_persons(settings, by_key)
    if not held:
        return
    name = min(held.values())
    places = sorted(number for key, hold in held.items() if hold == name for number in by_key[key])
    listed = ", ".join(f"{place:,}" for place in places[:FEW]) + (f" and {len(places) - FEW:,} more" if len(places) > FEW else "")
    where = "the ids" if isinstance(users, tuple) else str(users)
    raise BadInput(
        f"Under the legal hold {name!r} is {'row' if len(places) == 1 else 'rows'} {listed} of {where}: nobody was erased. Take "
        f"{'it' if len(places) == 1 else 'them'} out and ask again for the others, or end the hold: `found hold remove {name}`."
    )


def certificates(settings: Settings) -> list[dict[str, Any]]:
    """The certificates of a home, as documents, by the number of their erasure."""
    documents = {path.stem: json.loads(path.read_text()) for path in sorted(tombstones.path(settings).parent.glob("*.json"))}
    return [document for number, document in documents.items() if document.get("erasure") == number]  # the ledger lies there too


def _left(hits: list[str], settings: Settings) -> str:
    more = f" and {len(hits) - FEW:,} more" if len(hits) > FEW else ""
    return (
        f"{len(hits):,} {'place' if len(hits) == 1 else 'places'} in {settings.home} still name somebody who is to be erased: "
        f"{', '.join(hits[:FEW])}{more}. Remove them or take the ids out, then run the same command again: no certificate is "
        "written before nothing is found. Nobody is answered about these users meanwhile."
    )


def _mapped(settings: Settings) -> list[str]:
    """The columns of the source, as it maps them, that hold ids of users."""
    source = source_config.of_home(settings)
    mapped = [entry.columns.get("user_id") for entries in source.channels.values() for entry in entries]
    mapped += [source.profile.key] if source.profile else []
    mapped = [column.on or column.key if isinstance(column, Lookup) else column for column in mapped]
    return [
        column.column if isinstance(column, TimeColumn) else column for column in mapped if isinstance(column, str | TimeColumn)
    ]


def _certificate(
    settings: Settings, persons: Persons, reason: str, progress: _Progress, search: proof.Search, seconds: float, folder: Path
) -> Certificate:
    searched = {name: value for name, value in asdict(search).items() if name != "hits"}
    written = Certificate(
        path=folder / f"{persons.number}.json",
        erasure=persons.number,
        persons=len(persons.ids),
        reason=reason,
        started_at=progress.started_at,
        finished_at=_now(),
        seconds=seconds,
        steps={step: {name: n for name, n in counts.items() if n} for step, counts in progress.steps.items()},
        still_trained_on={kind: sorted(ledger.influences(settings, kind)) for kind in (ledger.VERSIONS, ledger.PROMPTS)},
        searched={
            **searched,
            "hits": 0,
            "for": "ids and keys, as UTF-8, UTF-16, hex and Base64, in bytes, pages, cells and archives",
            "ids_in_columns_alone": sum(len(user) < SHORT for user in persons.ids),
        },
        lake_versions=lake_tables.versions(settings),
        software={
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("deltalake", "pyarrow", "duckdb")},
        },
        not_covered=(*NOT_COVERED, *servers.not_covered(settings)),
    )
    document = {name: value for name, value in asdict(written).items() if name not in ("path", "sha256")}
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    write_whole(written.path, json.dumps({**document, "sha256": digest}, indent=1))
    return Certificate(**{**vars(written), "sha256": digest})


def _now() -> str:
    return f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
