"""The record of processing activities (GDPR, article 30), from what a home holds, and as a page.

What belongs here: what the home itself knows. What does not: who answers for it, on which ground, and whether the assessment of
article 35 was made: the page has a place for them, and the organisation writes it. No person is named.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import jinja2

from found_platform import erasure, lake, registry
from found_platform.audiences import deliveries
from found_platform.contract import profile_schema
from found_platform.housekeeping import expiry
from found_platform.privacy import audit, holds, retention, vault
from found_platform.privacy.user_tables import USER_TABLES
from found_platform.settings import Settings
from found_platform.sources import config

PURPOSES = (
    "Choosing whom to address: users are ranked by how probably they will do what a sentence says, from what they did before.",
    "Training the models that rank, on histories and on what followed them.",
    "Measuring what an audience was worth, against a holdout that nobody addressed.",
)
MEASURES = (
    "Users are known by a keyed hash; the ids of the source are in the vault alone, beside the secret.",
    "The home is private to its owner (0700, files 0600); the console listens on this machine unless told otherwise.",
    "Tokens with roles; ids of the source are shown with the scope `reveal` alone; every showing of a person is in the audit.",
    "Suppression and consent are asked again at each look-up, export and delivery.",
    "Erasure rewrites every store, searches every byte and leaves a certificate (`docs/erasure.md`).",
    "Nothing leaves the machine but what an exporter sends to a destination that an admin named; telemetry of libraries is off.",
)
DATES = ("event_date", "as_of", "cutoff", "refreshed_at")
"""Columns that say of which day a row is, the first that a table has."""


@dataclass(frozen=True)
class Held:
    """A table that holds persons: how many, in how many rows, of which days."""

    table: str
    about: str
    persons: int
    rows: int
    first: str
    last: str


@dataclass(frozen=True)
class Recipient:
    """Where members may be sent, and what was sent so far."""

    name: str
    address: str
    since: dt.date
    audiences: list[str]
    deliveries: int
    last: str


@dataclass(frozen=True)
class Records:
    """What a home can say of its processing. `kept_days` are settings, by what they are of."""

    at: dt.datetime
    owner: str
    source: str
    files: list[str]
    persons: int
    attributes: list[str]
    consent: str | None
    consents: dict[str, str]
    purposes: tuple[str, ...]
    tables: list[Held]
    recipients: list[Recipient]
    exports: int
    models: list[str]
    kept_days: dict[str, int]
    kept_from: dt.date | None
    holds: list[str]
    erasures: int
    erased: int
    measures: tuple[str, ...]


def of(settings: Settings) -> Records:
    """The record as of now (UTC). Raises BadInput where the home has no source."""
    source = config.of_home(settings)
    certificates = erasure.certificates(settings)
    return Records(
        at=dt.datetime.now(dt.UTC),
        owner=settings.owner,
        source=source.name,
        files=sorted({f"{where}: {origin.path or origin.url or 'joined files'}" for where, origin in source.origins()}),
        persons=vault.size(settings),
        attributes=profile_schema(settings.home).names,
        consent=settings.consent_column,
        consents=settings.consents,
        purposes=PURPOSES,
        tables=_tables(settings),
        recipients=_recipients(settings),
        exports=audit.part(settings, action="export")[0],
        models=[
            f"version {version.version}, of the days before {version.tags['cutoff']}" for version in registry.versions(settings)
        ],
        kept_days={
            "pages and logs of runs": settings.keep_runs_days,
            "what was replaced": settings.keep_versions_days,
            "training files of models out of service": settings.keep_models_days,
            "service of a model that learned from an erased person": settings.retire_days,
            **{expiry.KINDS[name].about: days for name, days in retention.days(settings).items()},
        },
        kept_from=retention.kept_from(settings),
        holds=[_hold(hold) for hold in holds.all_of(settings)],
        erasures=len(certificates),
        erased=sum(certificate["persons"] for certificate in certificates),
        measures=MEASURES,
    )


def _hold(hold: holds.Hold) -> str:
    tables = f" and the tables {', '.join(hold.tables)}" if hold.tables else ""
    persons = "1 person" if hold.persons == 1 else f"{hold.persons:,} persons"
    return f"{hold.name}: {persons}{tables}, since {hold.since[:10]}{', ' + hold.reason if hold.reason else ''}"


def _tables(settings: Settings) -> list[Held]:
    held = []
    with lake.connect(settings.duckdb_memory) as con:
        for table in USER_TABLES:
            if not lake.exists(settings.lake, table.name):
                continue
            lake.view(con, "t", settings.lake, table.name)
            columns = {row[0] for row in con.execute("DESCRIBE t").fetchall()}
            date = next((lake.quote(name) for name in DATES if name in columns), "NULL")
            key = lake.quote(table.key)
            persons = (
                f"SELECT count(DISTINCT k) FROM (SELECT unnest({key}) AS k FROM t)"
                if table.list_of_keys
                else f"SELECT count(DISTINCT {key}) FROM t"
            )
            row = con.execute(f"SELECT ({persons}), count(*), min({date}), max({date}) FROM t").fetchone()
            assert row is not None
            held.append(Held(table.name, table.about, row[0], row[1], *(str(day)[:10] if day else "" for day in row[2:])))
    return held


def _recipients(settings: Settings) -> list[Recipient]:
    sent = deliveries.all_of(settings)
    recipients = []
    for place in deliveries.destinations(settings):
        delivered = [each for each in sent if each.destination == place.name and each.status == deliveries.DELIVERED]
        last = f"{max(each.at for each in delivered):%Y-%m-%d}" if delivered else ""
        audiences = sorted({each.audience for each in delivered})
        recipients.append(Recipient(place.name, place.address, place.at.date(), audiences, len(delivered), last))
    return recipients


def as_html(record: Records) -> str:
    """One page, without scripts, that reads by itself."""
    return (
        jinja2.Environment(autoescape=True)
        .from_string(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
        .render(r=record)
    )
