"""Expiry: rows that are older than the setting `retention` lets them be go, and their files with them. Nobody has to ask.

What belongs here: what each name of the setting stands for, and letting it go. What does not: how long and since when
(`privacy.retention`), what a source still holds (`sources.expired`), how a table is rewritten and its past removed
(`erasure.lake_tables`). Rows of persons under a hold stay, and so does everything of a table under one.

Killed in the middle, the next call goes on: the day from which events are kept is written first, and each step looks at what is
left. Whatever Dagster has recorded of days that went stays as it is, so that nothing that was made of them is stale for it.
"""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import duckdb
import pyarrow as pa

from found_platform import daily, feature_store, home, lake
from found_platform.audiences import deliveries, membership
from found_platform.contract import midnight
from found_platform.erasure import lake_tables
from found_platform.errors import BadInput
from found_platform.housekeeping import retired
from found_platform.privacy import audit, holds, retention, vault
from found_platform.privacy.retention import EVENTS
from found_platform.privacy.user_tables import USER_TABLES
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources import expired

SCHEDULE = "expire_daily"
"""What calls this every day (`dagster_defs.automation.expiry`)."""

OF_DAYS = ("raw_events", "user_days", "behavior_sequence", "search_text", "user_tabular")
TEXTS = "behavior_text"
TRAINING, SCORES, EMBEDDINGS = ("training_set", "user_text_pairs"), ("benchmark_scores",), ("user_embeddings",)
WITHOUT_A_DATE = ("suppressions", "audience_specifications")
"""Tables by which alone nobody needs a name in the vault: who is in no other one has nothing left."""


@dataclass
class Expired:
    """What went of one name of the setting, or would go.

    Attributes:
        days: for which rows are kept; `before` is the first day (UTC) that stays.
        rows: that went, by table or folder.
        held: rows that stay since their person is under a hold.
        why_not: a sentence, where nothing goes since a table is under a hold; else empty.
    """

    name: str
    days: int
    before: dt.date
    rows: dict[str, int] = field(default_factory=dict)
    held: int = 0
    why_not: str = ""

    @property
    def count(self) -> int:
        return sum(self.rows.values())


@dataclass(frozen=True)
class Kind:
    """What a name of the setting stands for: in words, its tables of the lake, and how what is older than a day goes."""

    about: str
    tables: tuple[str, ...]
    go: "Callable[[Settings, Expired, bool], None]"


def plan(settings: Settings, today: dt.date) -> list[Expired]:
    """What would go as of a day (UTC), by name of the setting; nothing is changed. Raises BadInput as `expire`."""
    return [_expire(settings, name, days, today, dry_run=True) for name, days in retention.days(settings).items()]


def due(settings: Settings, today: dt.date) -> dict[str, int]:
    """By name of the setting, how many rows are older than it lets them be; nothing where all is as it says."""
    return {each.name: each.count for each in plan(settings, today) if each.count}


def expire(settings: Settings, today: dt.date) -> list[Expired]:
    """Lets go of what is older than the home's settings say, as of a day (UTC), and leaves a row in the audit.

    Raises BadInput where the setting cannot be meant, or nothing of the home's events would be left, JobFailed where a run that is
    at work does not end.
    """
    days = retention.days(settings)
    purpose, seconds = "found expire", settings.wait_seconds
    with home.hold(settings.home, [home.WHOLE], purpose, seconds=seconds):
        runs = [path.stem for path in sorted((settings.home / "locks").glob("run-*.lock"))]
        with home.hold(settings.home, runs, purpose, seconds=seconds):
            went = [_expire(settings, name, n, today, dry_run=False) for name, n in days.items()]
            # also where nothing went now: a call that was killed has left both
            lake_tables.forget_past(settings, {table for name in days for table in KINDS[name].tables})
            for each in went:
                if each.name == EVENTS and (users := _forget_users(settings)):
                    each.rows["vault"] = users
    record(settings, went)
    return went


def record(settings: Settings, went: list[Expired], *, dry_run: bool = False) -> None:
    """The row of the audit: how many rows of what."""
    counts = {each.name: each.count for each in went if each.count}
    audit.record(settings, "expire", question={"dry_run": dry_run or None, "rows": counts})


def _expire(settings: Settings, name: str, days: int, today: dt.date, dry_run: bool) -> Expired:
    kind, going = KINDS[name], Expired(name, days, today - dt.timedelta(days=days))
    if name == EVENTS:
        _check_something_stays(settings, going)
    if (held := holds.of_tables(settings, kind.tables)) is not None:
        going.why_not = f"the table {held[0]} is under the legal hold {held[1]!r}"
        return going
    kind.go(settings, going, dry_run)
    going.rows = {table: count for table, count in going.rows.items() if count}
    return going


def _check_something_stays(settings: Settings, going: Expired) -> None:
    source = source_config.of_home(settings)
    span = source.partition_days or source.span
    if span is not None and span.end is not None and span.end <= going.before:
        raise BadInput(
            f"The setting retention keeps events for {going.days:,} days, and the last ones of {settings.home} are of "
            f"{span.end - dt.timedelta(days=1)}: nothing would be left. Keep them for more days, or remove the home."
        )


def _events(settings: Settings, going: Expired, dry_run: bool) -> None:
    """Events, what is made of each of their days, and whatever the source would bring them back from."""
    if not dry_run and _has_days_before(settings, going.before):
        feature_store.stand_alone(settings, going.before)
        going.before = retention.keep_from(settings, going.before)
        _shorten(settings)
        going.rows["staging"] = expired.leave_out_of_staging(settings, going.before)
        going.rows["files of the source"] = expired.leave_out_of_own_files(settings, going.before)
    for table in OF_DAYS:
        _rows(settings, going, table, f"event_date < DATE '{going.before}'", dry_run)
    _texts(settings, going, dry_run)
    if not dry_run:
        # the snapshot of a day is dated 00:00 of the next one
        held = partial(holds.of_persons, settings)
        going.rows["online store"] = feature_store.let_go_online(settings, midnight(going.before), held)


def _has_days_before(settings: Settings, day: dt.date) -> bool:
    """Whether anything of a home is of before a day: its days, or rows that a hold kept till now."""
    source = source_config.of_home(settings)
    span = source.partition_days or source.span
    if span is None or span.start < day:
        return True
    first = dt.date.min
    return any(lake.exists(settings.lake, t) and daily.has_days(settings.lake, t, first, day) for t in (*OF_DAYS, TEXTS))


def _shorten(settings: Settings) -> None:
    """The days of the home begin with the first one that is kept: no command and no page asks for an earlier one."""
    source = source_config.of_home(settings)
    days = {name: getattr(source, name) or source.span for name in ("data_days", "partition_days")}
    kept = {name: expired.kept_days(settings, span) for name, span in days.items() if span is not None}
    source_config.save(settings, source.model_copy(update=kept))


def _texts(settings: Settings, going: Expired, dry_run: bool) -> None:
    """A text of a day stays where somebody under a hold has an event with it."""
    if not (lake.exists(settings.lake, TEXTS) and lake.exists(settings.lake, "raw_events")):
        return
    older = f"event_date < DATE '{going.before}'"
    with lake.connect(settings.duckdb_memory) as con:
        lake.view(con, "t", settings.lake, "raw_events")
        _hold_back(con, settings, older)
        con.execute("CREATE TEMP TABLE events AS SELECT DISTINCT text_id, event_date FROM t SEMI JOIN held USING (user_key)")
        lake.view(con, "texts", settings.lake, TEXTS)
        schema = pa.schema(lake.open_table(settings.lake, TEXTS).schema().to_arrow())
        columns = ", ".join(map(lake.quote, schema.names))
        kept = f"SELECT {columns} FROM texts SEMI JOIN events USING (text_id, event_date) WHERE {older}"
        stays = con.execute(kept).to_arrow_table().cast(schema)
        ((count, first),) = con.execute(f"SELECT count(*), min(event_date) FROM texts WHERE {older}").fetchall()
    going.rows[TEXTS] = count - stays.num_rows
    if going.rows[TEXTS] and not dry_run:
        daily.replace_days(settings.lake, TEXTS, stays, first, going.before, schema=schema)


def _training(settings: Settings, going: Expired, dry_run: bool) -> None:
    """What models of old cutoffs learned from, in the lake and as a trainer reads it."""
    for table in TRAINING:
        _rows(settings, going, table, f"cutoff <= DATE '{going.before}'", dry_run)
    folders = [
        data
        for folder in sorted(settings.home.glob("training/[0-9]*"))
        if folder.name <= str(going.before)
        for data in folder.glob("data*")
    ]
    going.rows["training files"] = len(folders)
    for folder in () if dry_run else folders:
        shutil.rmtree(folder)


def _scores(settings: Settings, going: Expired, dry_run: bool) -> None:
    _rows(settings, going, "benchmark_scores", f"cutoff <= DATE '{going.before}'", dry_run)


def _embeddings(settings: Settings, going: Expired, dry_run: bool) -> None:
    """States of models out of service: those that serve need their past, and go with the version."""
    serving = retired.in_service(settings) if (settings.home / "mlflow").exists() else set()
    others = f" AND model_version NOT IN ({', '.join(map(lake.literal, sorted(serving)))})" if serving else ""
    _rows(settings, going, "user_embeddings", f"as_of <= DATE '{going.before}'{others}", dry_run)


def _members(settings: Settings, going: Expired, dry_run: bool) -> None:
    """Members of old refreshes; the newest one of an audience stays, and what a destination got last."""
    if not (lake.exists(settings.lake, membership.MEMBERS) and lake.exists(settings.lake, membership.REFRESHES)):
        return
    refreshes = lake.read(settings.lake, membership.REFRESHES)
    moment = midnight(going.before)
    newest: dict[str, int] = {}
    sent: dict[tuple[str, str], int] = {}
    for name, number in zip(refreshes["audience"].to_pylist(), refreshes["refresh"].to_pylist(), strict=True):
        newest[name] = max(number, newest.get(name, 0))
    for each in deliveries.all_of(settings):
        if each.status == deliveries.DELIVERED:
            place = each.audience, each.destination
            sent[place] = max(each.refresh, sent.get(place, 0))
    needed = {*newest.items(), *((audience, number) for (audience, _), number in sent.items())}
    old = [
        (name, number)
        for name, number, at in zip(*(refreshes[c].to_pylist() for c in ("audience", "refresh", "refreshed_at")), strict=True)
        if at < moment and (name, number) not in needed
    ]
    if not old:
        return
    chosen = " OR ".join(lake_tables.partition(("audience", "refresh"), pair) for pair in old)
    _rows(settings, going, membership.MEMBERS, f"({chosen})", dry_run)
    if dry_run:
        return
    rows = lake.read(settings.lake, membership.MEMBERS, columns=["audience", "refresh"])
    left = set(zip(rows["audience"].to_pylist(), rows["refresh"].to_pylist(), strict=True))
    pairs = zip(refreshes["audience"].to_pylist(), refreshes["refresh"].to_pylist(), strict=True)
    stays = pa.array([pair not in old or pair in left for pair in pairs], pa.bool_())
    schema = membership.REFRESHES_SCHEMA
    lake.replace(settings.lake, membership.REFRESHES, refreshes.filter(stays).select(schema.names).cast(schema), schema=schema)


def _audit(settings: Settings, going: Expired, dry_run: bool) -> None:
    """Rows of the audit: who asked what."""
    act = audit.count_before if dry_run else audit.let_go_before
    going.rows[audit.TABLE] = act(settings, midnight(going.before))


KINDS: dict[str, Kind] = {
    EVENTS: Kind("events, and what features are made of each of their days", (*OF_DAYS, TEXTS), _events),
    "training": Kind("what models of old cutoffs learned from", TRAINING, _training),
    "embeddings": Kind("vectors of users of models out of service", EMBEDDINGS, _embeddings),
    "scores": Kind("scores of users in old benchmarks", SCORES, _scores),
    "members": Kind("members of old refreshes of audiences", (membership.MEMBERS, membership.REFRESHES), _members),
    "audit": Kind("rows of the audit", (audit.TABLE,), _audit),
}
"""By name of the setting (`settings.RETAINED`)."""


def _rows(settings: Settings, going: Expired, table: str, old: str, dry_run: bool) -> None:
    """Lets the rows of a table go that an SQL condition selects, but those of persons under a hold; counts both.

    Of a table with partitions the condition selects whole ones.
    """
    if not lake.exists(settings.lake, table):
        return
    with lake.connect(settings.duckdb_memory) as con:
        about = lake.open_table(settings.lake, table)
        schema, by = pa.schema(about.schema().to_arrow()), about.metadata().partition_columns
        lake.view(con, "t", settings.lake, table)
        ((count,),) = con.execute(f"SELECT count(*) FROM t WHERE {old}").fetchall()
        stay = _hold_back(con, settings, old)
        going.rows[table] = count - stay
        going.held += stay
        if dry_run or count == stay:
            return
        columns = ", ".join(map(lake.quote, schema.names))
        for predicate, first in _parts(con, by, old):
            of_held = f"SELECT {columns} FROM t SEMI JOIN held USING (user_key) WHERE ({old}) AND {predicate}"
            stays = con.execute(of_held).to_arrow_table().cast(schema)
            if first is not None:
                daily.replace_days(settings.lake, table, stays, first, going.before, schema=schema)
            else:
                lake.replace(settings.lake, table, stays, schema=schema, predicate=predicate)


def _hold_back(con: duckdb.DuckDBPyConnection, settings: Settings, old: str) -> int:
    """Makes the table `held`, the keys of persons under a hold among the rows of `t` that a condition selects, and counts their
    rows."""
    user_keys: list[str] = []
    if any(hold.persons for hold in holds.all_of(settings)):
        user_keys = [key for (key,) in con.execute(f"SELECT DISTINCT user_key FROM t WHERE {old}").fetchall()]
    con.register("held", pa.table({"user_key": pa.array(sorted(holds.of_persons(settings, user_keys)), pa.string())}))
    ((rows,),) = con.execute(f"SELECT count(*) FROM t SEMI JOIN held USING (user_key) WHERE {old}").fetchall()
    return int(rows)


def _parts(con: duckdb.DuckDBPyConnection, by: list[str], old: str) -> Iterator[tuple[str, dt.date | None]]:
    """What is rewritten together: each partition by its predicate; or, of a table of days, everything from the first day on."""
    if not by:
        ((first,),) = con.execute(f"SELECT min(event_date) FROM t WHERE {old}").fetchall()
        yield "true", first
        return
    columns = ", ".join(map(lake.quote, by))
    for values in con.execute(f"SELECT DISTINCT {columns} FROM t WHERE {old}").fetchall():
        yield lake_tables.partition(by, values), None


def _forget_users(settings: Settings) -> int:
    """Takes users out of the vault of whom no table has anything any more; returns how many."""
    used: set[str] = set()
    with lake.connect(settings.duckdb_memory) as con:
        for table in USER_TABLES:
            if table.name not in WITHOUT_A_DATE and lake.exists(settings.lake, table.name):
                lake.view(con, "t", settings.lake, table.name)
                used.update(key for (key,) in con.execute(f"SELECT DISTINCT {lake.quote(table.key)} FROM t").fetchall())
    left = [key for key in vault.user_keys(settings) if key not in used]
    held = holds.of_persons(settings, left)
    gone = [key for key in left if key not in held]
    if gone:
        vault.remove(settings, gone)
    return len(gone)
