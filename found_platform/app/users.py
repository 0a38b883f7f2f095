"""Single users: what is known of one, who may never be targeted, and who is to be forgotten."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.contract import CHANNELS, WINDOWS
from found_platform.errors import BadInput, JobFailed
from found_platform.privacy.keys import Users

if TYPE_CHECKING:
    from found_platform.erasure import Certificate
    from found_platform.privacy.suppression import Agreed, Change
    from found_platform.settings import Settings


@dataclass(frozen=True)
class Show:
    """One user, by the id of the source: as of a day (before which things were known; None is the newest), or `online`."""

    user: str
    as_of: str | None = None
    online: bool = False


@dataclass(frozen=True)
class UserEvent:
    """Something that a user did, or, an exposure, that was done to them. The amount is a range, as features keep it."""

    time: dt.datetime
    channel: str
    text: str
    amount: str | None
    exposure: bool


@dataclass(frozen=True)
class UserSearch:
    """Something that a user searched for."""

    time: dt.datetime
    text: str


@dataclass(frozen=True)
class UserPage:
    """What the platform knows of a user at a moment: attributes, activity by window, last events and searches, oldest first."""

    user_id: str
    as_of: dt.datetime
    source: str
    profile: dict[str, Any]
    activity: dict[str, Any]
    events: list[UserEvent]
    searches: list[UserSearch]

    @property
    def by_window(self) -> dict[str, dict[int, Any]]:
        """What is counted over windows of days: by measure, then by length of the window."""
        measures = ("events", "active_days", "amount", *CHANNELS)
        return {m: {w: self.activity[f"{m}_{w}d"] for w in WINDOWS} for m in measures}

    @property
    def overall(self) -> dict[str, Any]:
        """The rest of the activity."""
        counted = {f"{measure}_{w}d" for measure, windows in self.by_window.items() for w in windows}
        return {name: value for name, value in self.activity.items() if name not in counted}


YEARS = range(1700, 2200)
"""Of a day that can be asked for: times in nanoseconds, as Feast takes them, reach little further."""


@use_case(Effect.NAMES, "user show")
def show(context: Context, request: Show) -> UserPage:
    """The features of a user. Raises BadInput where nothing is known of them."""
    from found_platform import contract, feature_store
    from found_platform.privacy import audit, keys

    settings = context.settings
    if request.online and request.as_of:
        raise BadInput("--online shows what the online store holds now: leave out --as-of.")
    key = keys.user_key(keys.home_secret(settings), request.user)
    keys.check_not_erased(settings, key)
    if request.online:
        moment = feature_store.online_moment(settings)
        row = {name: values[0] for name, values in feature_store.online(settings, [key]).items()}
    else:
        day = request.as_of and contract.parse_day(request.as_of, "--as-of")
        if day and day.year not in YEARS:
            raise BadInput(f"--as-of is {request.as_of}: choose a day from {YEARS[0]} to {YEARS[-1]}.")
        moment = contract.midnight(day) if day else _newest(settings)
        row = feature_store.history(settings, [key], [moment]).to_pylist()[0]
    if row["events_lookback"] is None:
        raise BadInput(
            f"Nothing is known of a user {request.user!r} as of {moment:%Y-%m-%d}: check the id, or choose another --as-of."
        )
    page = _page(settings, context.display_name(request.user), moment, "online store" if request.online else "history", row)
    audit.record(settings, "user show", question={"as_of": f"{moment:%Y-%m-%d}", "from": page.source}, rows=1)
    return page


def _newest(settings: "Settings") -> dt.datetime:
    from found_platform import contract, daily

    last = daily.last_day(settings.lake, "user_tabular")
    if last is None:
        raise BadInput(f"user_tabular has no rows in {settings.home}: run `found demo` or `found backfill` first.")
    return contract.snapshot_time(last)


def _page(settings: "Settings", user: str, moment: dt.datetime, source: str, row: dict[str, Any]) -> UserPage:
    from found_platform import contract, lake

    text_ids = {*(row["text_ids"] or []), *(row["search_text_ids"] or [])}
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "texts", settings.lake, "behavior_text")
    query = "SELECT text_id, any_value(text) FROM texts WHERE event_date < ? AND list_contains(?, text_id) GROUP BY 1"
    # days of texts that were never made, or are not made again yet, leave an id
    names = {i: f"text {i}" for i in text_ids} | dict(con.execute(query, [moment.date(), list(text_ids)]).fetchall())

    def when(microseconds: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(microseconds / 1e6, dt.UTC)

    columns = [row[c] or [] for c in ("times", "channels", "text_ids", "amount_buckets", "exposures")]
    searches = zip(row["search_times"] or [], row["search_text_ids"] or [], strict=True)
    return UserPage(
        user_id=user,
        as_of=moment,
        source=source,
        profile={name: row[name] for name in contract.profile_schema(settings.home).names},
        activity={f.name: row[f.name] for f in contract.ACTIVITY_FEATURES},
        events=[
            UserEvent(
                time=when(time),
                channel=CHANNELS[channel],
                text=names[text],
                # the bucket b holds amounts from 2^b - 1 to below 2^(b + 1) - 1
                amount=None if bucket < 0 else f"{2**bucket - 1} to {2 ** (bucket + 1) - 1}",
                exposure=bool(exposed),
            )
            for time, channel, text, bucket, exposed in zip(*columns, strict=True)
        ],
        searches=[UserSearch(when(time), names[text]) for time, text in searches],
    )


@dataclass(frozen=True)
class ConsentOf:
    """One user, by the id of the source, at a moment (ISO 8601, UTC where it names no zone; None: now)."""

    user: str
    at: str | None = None


@dataclass(frozen=True)
class Consents:
    """What a user had agreed to at a moment (UTC), and the source that said so."""

    user_id: str
    at: dt.datetime
    source: str
    consents: list["Agreed"]


@use_case(Effect.NAMES, "user consent")
def consent(context: Context, request: ConsentOf) -> Consents:
    """What a user agrees to, or did at the moment of an export. Raises BadInput for what is no moment."""
    from found_platform.privacy import audit, keys, suppression
    from found_platform.sources import config

    settings = context.settings
    key = keys.user_key(keys.home_secret(settings), request.user)
    keys.check_not_erased(settings, key)
    try:
        moment = dt.datetime.fromisoformat(request.at) if request.at else dt.datetime.now(dt.UTC)
    except ValueError:
        raise BadInput(f"--at is {request.at!r}: write a moment such as 2026-05-01 or 2026-05-01T12:30:00Z.") from None
    moment = moment.replace(tzinfo=moment.tzinfo or dt.UTC)
    consents = suppression.agreed(settings, key, moment)
    audit.record(settings, "user consent", question={"at": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}, rows=1)
    return Consents(context.display_name(request.user), moment, config.of_home(settings).name, consents)


@dataclass(frozen=True)
class Suppress:
    """Users, by a file or by ids, and why. A column `reason` of the file outranks the reason, where users are suppressed."""

    file: Users
    reason: str = ""


@use_case(Effect.CHANGES, "suppress add")
def suppress(context: Context, request: Suppress) -> "Change":
    """Keeps users out of every audience from now on."""
    from found_platform.privacy import suppression

    return _recorded(context, "suppress add", request.reason, suppression.add(context.settings, request.file, request.reason))


@use_case(Effect.CHANGES, "suppress lift")
def lift_suppression(context: Context, request: Suppress) -> "Change":
    """Lets users be targeted again; what was stays in the history."""
    from found_platform.privacy import suppression

    return _recorded(context, "suppress lift", request.reason, suppression.lift(context.settings, request.file, request.reason))


def _recorded(context: Context, action: str, reason: str, change: "Change") -> "Change":
    from found_platform.privacy import audit

    audit.record(context.settings, action, rows=change.changed, reason=reason)
    return change


@dataclass(frozen=True)
class Erase:
    """Users who are to be forgotten, by a file or by ids, and why."""

    users: Users
    reason: str = ""


@use_case(Effect.CHANGES, "erase")
def erase(context: Context, request: Erase) -> "Certificate":
    """Erases users from every store of the home, proves it, and writes a certificate. Asked again, it goes on.

    It is no Dagster run: the run's record would name them.
    """
    from found_platform import erasure
    from found_platform.privacy import audit

    try:
        certificate = erasure.erase(context.settings, request.users, request.reason)
    except JobFailed:
        audit.record(context.settings, "erase", reason="something is left: it is to be asked again")
        raise
    reason = f"{request.reason}; certificate {certificate.erasure}" if request.reason else f"certificate {certificate.erasure}"
    audit.record(context.settings, "erase", rows=certificate.persons, reason=reason)
    return certificate


@dataclass(frozen=True)
class ExportOf:
    """Everything on one user, by the id of the source, into `path` (.json), and as a page beside it (.html)."""

    user: str
    path: Path
    overwrite: bool = False


@dataclass(frozen=True)
class ExportedUser:
    """Where everything on a user was written, how many rows of how many tables, and how many files of the home name them."""

    document: Path
    page: Path
    tables: int
    rows: int
    files: int


@use_case(Effect.NAMES, "user export")
def export(context: Context, request: ExportOf) -> ExportedUser:
    """Writes all that the home keeps on a user. Raises BadInput for a path that cannot be written or an unknown user."""
    from found_platform import erasure
    from found_platform.audiences.export import place, refuse_existing
    from found_platform.privacy import audit, exports

    path, page = request.path, request.path.with_suffix(".html")
    if path.suffix != ".json":
        raise BadInput(f"{path} is no .json file: name one, and the page is written beside it.")
    if not request.overwrite:
        refuse_existing(path, page)
    kept = erasure.kept(context.settings, request.user)
    audit.record(context.settings, "user export", rows=1, reason=f"{kept.rows:,} rows of {len(kept.tables)} tables")
    for file in (path, page):
        exports.note(context.settings, file, of_one=True)
    place(path, kept.as_json().encode())
    place(page, kept.as_html().encode())
    return ExportedUser(path, page, len(kept.tables), kept.rows, len(kept.files))


@dataclass(frozen=True)
class SuppressedUser:
    """A suppressed user, by pseudonym."""

    user_key: str
    reason: str
    since: dt.datetime
    by: str


@dataclass(frozen=True)
class Suppressed:
    """Who is suppressed now, the newest entries first."""

    count: int
    users: list[SuppressedUser]


@use_case(Effect.NAMES, "suppress list")
def list_suppressed(context: Context) -> Suppressed:
    """Who is suppressed, by pseudonym, why and since when."""
    from found_platform.privacy import audit, suppression

    rows = [SuppressedUser(**row) for row in suppression.current(context.settings).to_pylist()]
    audit.record(context.settings, "suppress list", rows=len(rows))
    return Suppressed(len(rows), rows)
