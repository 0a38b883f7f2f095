"""Who may never be targeted: suppressed users, those who are being erased, and users without consent where the home has a consent
column.

Suppression is a history: an entry says that a user is suppressed from then on, or no longer, why, and who said so. The newest
counts. Both hold for whatever is done now, also where a look-up is as of an earlier day.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import datetime as dt
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from found_platform import home, lake
from found_platform.cache import single_flight
from found_platform.contract import TIMESTAMP, profile_schema, snapshot_time
from found_platform.errors import BadInput
from found_platform.lake_place import Place
from found_platform.privacy import actor, free_texts, keys, tombstones
from found_platform.settings import Settings

TABLE = "suppressions"
SCHEMA = pa.schema(
    [
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("active", pa.bool_(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("since", TIMESTAMP, nullable=False),
        pa.field("by", pa.string(), nullable=False),
    ]
)
"""The history. `since` is when the entry was made, UTC; `by` the actor who made it."""


FEW = 20_000
"""Users up to whom consent is read for them alone: what is kept for everybody grows with the users of the home."""


@dataclass(frozen=True)
class Change:
    """How many users a file changed, how many were so already, and how many of the file this home has never seen."""

    changed: int
    unchanged: int
    unknown: int


def add(settings: Settings, users: keys.Users, reason: str = "") -> Change:
    """Suppresses users, of a file or by ids (as `keys.read_users`; its column `reason`, where it has one, outranks `reason`).

    Raises BadInput that names the file and the row, and changes nothing then; also for a reason that names one of them.
    """
    return _change(settings, {key: why or reason for key, why in keys.read_user_rows(settings, users, "reason")}, active=True)


def lift(settings: Settings, users: keys.Users, reason: str = "") -> Change:
    """Lifts the suppression of users; what was stays in the history. Raises as `add`."""
    return _change(settings, dict.fromkeys(keys.read_users(settings, users), reason), active=False)


def _change(settings: Settings, users: dict[str, str], active: bool) -> Change:
    free_texts.check_reasons(settings, "The reason", set(users.values()), users.keys())
    with home.lock(settings.home, "suppress"):  # nobody changes what this decides on
        before = dict(zip(*(current(settings)[c].to_pylist() for c in ("user_key", "reason")), strict=True))
        changed = {k: why for k, why in users.items() if (before.get(k) != why if active else k in before)}
        if changed:
            rows = {
                "user_key": list(changed),
                "active": [active] * len(changed),
                "reason": list(changed.values()),
                "since": [_now_or_after_the_newest(settings)] * len(changed),
                "by": [str(actor.current())] * len(changed),
            }
            lake.append(settings.lake, TABLE, pa.table(rows, schema=SCHEMA), schema=SCHEMA)
    return Change(len(changed), len(users) - len(changed), len(users) - keys.count_known(settings, list(users)))


def _now_or_after_the_newest(settings: Settings) -> dt.datetime:
    """Entries count in the order in which they were made, also where a clock was set back."""
    moment = dt.datetime.now(dt.UTC)
    if not lake.exists(settings.lake, TABLE):
        return moment
    newest: dt.datetime = pc.max(lake.read(settings.lake, TABLE, columns=["since"])["since"]).as_py()
    return max(moment, newest + dt.timedelta(microseconds=1))


def current(settings: Settings) -> pa.Table:
    """Who is suppressed now: user_key, reason, since, by; the newest entries first."""
    if not lake.exists(settings.lake, TABLE):
        return SCHEMA.empty_table().drop_columns("active")
    return _current(*_pinned(settings, TABLE))


def suppressed(settings: Settings) -> set[str]:
    """The keys of who is suppressed now, or being erased."""
    return {*current(settings)["user_key"].to_pylist(), *tombstones.erasing(settings)}


def allowed(settings: Settings, user_keys: Sequence[str] | pa.Array, as_of: dt.date, purpose: str | None = None) -> np.ndarray:
    """Who of these may be targeted: bool, (N,).

    Left out is who is suppressed now and, where the setting `consent_column` names a profile attribute, everybody whose newest
    profile row does not have true in it; for a purpose also who does not have true in that one's attribute. Consent, too, is that
    of today, so that who has withdrawn it since `as_of` is left out; a row counts from its UTC day on.

    Args:
        as_of: the day of the look-up, which counts as today where it lies ahead.
        purpose: what they are to be reached for, a name of the setting `consent_purposes`.

    Raises BadInput for an unknown purpose, and where an attribute of consent is not true or false.
    """
    return ~among_suppressed(settings, user_keys) & consenting(settings, user_keys, as_of, purpose)


def among_suppressed(settings: Settings, user_keys: Sequence[str] | pa.Array) -> np.ndarray:
    """Who of these is suppressed now, or being erased: bool, (N,)."""
    out = current(settings)["user_key"].combine_chunks()
    if erasing := tombstones.erasing(settings):
        out = pa.concat_arrays([out, pa.array(sorted(erasing), pa.string())])
    return pc.is_in(_array(user_keys), out).to_numpy(zero_copy_only=False)


def attributes(settings: Settings, purpose: str | None = None) -> list[str]:
    """The profile attributes that must all be true, none where nothing is asked. Raises BadInput for an unknown purpose."""
    if purpose is not None and purpose not in settings.consents:
        named = " and ".join(sorted(settings.consents)) or "none"
        raise BadInput(
            f"There is no purpose {purpose!r}: the setting consent_purposes names {named}; "
            f"`FOUND_CONSENT_PURPOSES={purpose}=ATTRIBUTE` would name it."
        )
    general = [settings.consent_column] if settings.consent_column is not None else []
    own = [settings.consents[purpose]] if purpose is not None else []
    return list(dict.fromkeys([*general, *own]))


def consenting(settings: Settings, user_keys: Sequence[str] | pa.Array, as_of: dt.date, purpose: str | None = None) -> np.ndarray:
    """Who of these consents, everybody where nothing is asked: bool, (N,). As `allowed` has it."""
    key_array, agreed = _array(user_keys), np.ones(len(user_keys), bool)
    columns = attributes(settings, purpose)
    if columns:
        check_consent(settings, profile_schema(settings.home))
    today = max(as_of, dt.datetime.now(dt.UTC).date())
    for column in columns:
        table = _pinned(settings, "raw_profile")
        if len(key_array) <= FEW:
            consent = _consenting_of(settings.lake, table[1], table[3], column, today, key_array)
        else:
            consent = _consenting(*table, column, today)
        agreed &= pc.is_in(key_array, consent).to_numpy(zero_copy_only=False)
    return agreed


def _array(user_keys: Sequence[str] | pa.Array) -> pa.Array:
    return user_keys if isinstance(user_keys, pa.Array) else pa.array(user_keys, pa.string())


def check_consent(settings: Settings, schema: pa.Schema) -> None:
    """Raises BadInput where a setting of consent names no attribute of true and false among these."""
    by_setting = {"consent_column": settings.consent_column} if settings.consent_column is not None else {}
    by_setting |= {f"consent_purposes for {purpose}": column for purpose, column in settings.consents.items()}
    for setting, column in by_setting.items():
        if column not in schema.names or schema.field(column).type != pa.bool_():
            fit = ", ".join(field.name for field in schema if field.type == pa.bool_())
            remedy = (
                f" Say which of its values mean yes, in the source file: `consent: {{column: {column}, yes: [...]}}` of `profile`."
            )
            raise BadInput(
                f"The setting {setting} is {column!r}, which is no profile attribute of true and false: there is {fit or 'none'}."
                + (remedy if column in schema.names else "")
            )


@dataclass(frozen=True)
class Agreed:
    """What a profile said of a consent: `value` since a moment (UTC; None: for ever), None where it said nothing."""

    attribute: str
    purpose: str | None  # None: of everything
    value: bool | None
    since: dt.datetime | None


def agreed(settings: Settings, user_key: str, moment: dt.datetime) -> list[Agreed]:
    """What the consents of one user were at a moment (UTC), none where this home asks for none. Raises as `allowed`."""
    consents: list[tuple[str | None, str]] = [(None, settings.consent_column)] if settings.consent_column is not None else []
    consents += list(settings.consents.items())
    if not consents:
        return []
    check_consent(settings, profile_schema(settings.home))
    rows = lake.read(
        settings.lake, "raw_profile", pc.field("user_key") == user_key, ["as_of", *dict.fromkeys(c for _, c in consents)]
    ).to_pylist()
    earliest = dt.datetime.min.replace(tzinfo=dt.UTC)
    before = sorted((r for r in rows if r["as_of"] is None or r["as_of"] < moment), key=lambda r: r["as_of"] or earliest)
    states = []
    for purpose, column in consents:
        value = before[-1][column] if before else None
        same = list(itertools.takewhile(lambda row, column=column, value=value: row[column] == value, reversed(before)))
        states.append(Agreed(column, purpose, value, same[-1]["as_of"] if same else None))
    return states


def _pinned(settings: Settings, table: str) -> tuple[Place, str, str, int]:
    """What a table holds now, as a key of a cache: look-ups ask again and again, and it seldom changes."""
    about = lake.open_table(settings.lake, table)
    return settings.lake, table, str(about.metadata().id), about.version()


@single_flight(4)
def _current(home_lake: Place, table: str, _id: str, version: int) -> pa.Table:
    con = lake.connect()
    lake.view(con, "history", home_lake, table, version)
    return con.execute(
        "SELECT * EXCLUDE (active) FROM (FROM history QUALIFY row_number() OVER (PARTITION BY user_key ORDER BY since DESC) = 1) "
        "WHERE active ORDER BY since DESC, user_key"
    ).to_arrow_table()


@single_flight(4)
def _consenting(home_lake: Place, table: str, _id: str, version: int, column: str, today: dt.date) -> pa.Array:
    return _consenting_of(home_lake, table, version, column, today)


def _consenting_of(
    home_lake: Place, table: str, version: int, column: str, today: dt.date, key_array: pa.Array | None = None
) -> pa.Array:
    """The keys of who consents, of everybody or of those who are `asked`: the others are passed over and never held."""
    with lake.connect() as con:
        lake.view(con, "profile", home_lake, table, version)
        con.register("asked", pa.table({"user_key": key_array if key_array is not None else pa.array([], pa.string())}))
        of_them = "" if key_array is None else "SEMI JOIN asked USING (user_key) "
        rows = con.execute(
            f"SELECT user_key FROM profile {of_them}WHERE as_of IS NULL OR as_of < ? GROUP BY user_key "
            f"HAVING arg_max(coalesce({lake.quote(column)}, false), coalesce(as_of, TIMESTAMPTZ '-infinity'))",
            [snapshot_time(today)],
        )
        return rows.to_arrow_table()["user_key"].combine_chunks()
