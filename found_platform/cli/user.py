"""`found user show`: what the platform knows of one user, as of a day or online, so that people can look."""

import datetime as dt
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from found_platform import contract, feature_store, lake
from found_platform.cli.app import existing_home, print_json
from found_platform.contract import CHANNELS, WINDOWS, midnight
from found_platform.errors import BadInput
from found_platform.privacy import keys
from found_platform.settings import Settings

SHOWN = 10
"""Events and searches in the table; the JSON has them all."""


def show(user: str, *, as_of: str | None, online: bool, home: Path, as_json: bool) -> None:
    """Prints the profile, the activity by window, the last events and the last searches."""
    settings = Settings.load(existing_home(home))
    if online and as_of:
        raise BadInput("--online shows what the online store holds now: leave out --as-of.")
    key = keys.user_key(keys.home_secret(settings), user)
    if online:
        moment = feature_store.online_moment(settings)
        row = {name: values[0] for name, values in feature_store.online(settings, [key]).items()}
    else:
        moment = midnight(contract.parse_day(as_of, "--as-of")) if as_of else _newest(settings)
        row = feature_store.history(settings, [key], [moment]).to_pylist()[0]
    if row["events_lookback"] is None:
        raise BadInput(f"Nothing is known of a user {user!r} as of {moment:%Y-%m-%d}: check the id, or choose another --as-of.")
    document = _document(settings, user, moment, "online store" if online else "history", row)
    if as_json:
        print_json(document)
        return
    _print(Console(highlight=False, markup=False), document)


def _newest(settings: Settings) -> dt.datetime:
    days = [f["partition.event_date"] for f in lake.files(settings.lake, "user_tabular")]
    if not days:
        raise BadInput(f"user_tabular has no rows in {settings.home}: run `found demo` or `found backfill` first.")
    return contract.snapshot_time(dt.date.fromisoformat(str(max(days))))


def _document(settings: Settings, user: str, moment: dt.datetime, source: str, row: dict[str, Any]) -> dict[str, Any]:
    wanted = {*(row["text_ids"] or []), *(row["search_text_ids"] or [])}
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "texts", settings.lake, "behavior_text")
    query = "SELECT text_id, any_value(text) FROM texts WHERE event_date < ? AND list_contains(?, text_id) GROUP BY 1"
    # days of texts that were never made, or are not made again yet, leave an id
    names = {i: f"text {i}" for i in wanted} | dict(con.execute(query, [moment.date(), list(wanted)]).fetchall())

    def when(microseconds: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(microseconds / 1e6, dt.UTC)

    columns = [row[c] or [] for c in ("times", "channels", "text_ids", "amount_buckets", "exposures")]
    events = [
        {
            "time": when(time),
            "channel": CHANNELS[channel],
            "text": names[text],
            # the bucket b holds amounts from 2^b - 1 to below 2^(b + 1) - 1
            "amount": None if bucket < 0 else f"{2**bucket - 1} to {2 ** (bucket + 1) - 1}",
            "exposure": bool(exposed),
        }
        for time, channel, text, bucket, exposed in zip(*columns, strict=True)
    ]
    searches = zip(row["search_times"] or [], row["search_text_ids"] or [], strict=True)
    return {
        "user_id": user,
        "as_of": moment,
        "source": source,
        "profile": {name: row[name] for name in contract.profile_schema(settings.home).names},
        "activity": {f.name: row[f.name] for f in contract.ACTIVITY_FEATURES},
        "events": events,
        "searches": [{"time": when(time), "text": names[text]} for time, text in searches],
    }


def _print(console: Console, document: dict[str, Any]) -> None:
    console.print(f"User {document['user_id']} as of {document['as_of']:%Y-%m-%d %H:%M} UTC, from the {document['source']}")
    console.print("Profile: " + (", ".join(f"{k} {_said(v)}" for k, v in document["profile"].items()) or "none"), soft_wrap=True)
    activity = document["activity"]
    table = _table("last days", *(str(w) for w in WINDOWS))
    for name in ("events", "active_days", "amount", *CHANNELS):
        table.add_row(name.replace("_", " "), *(_said(activity[f"{name}_{w}d"]) for w in WINDOWS))
    console.print(table)
    others = {k: v for k, v in activity.items() if not any(k.endswith(f"_{w}d") for w in WINDOWS) or k.startswith("categories")}
    console.print(", ".join(f"{k.replace('_', ' ')}: {_said(v)}" for k, v in others.items()))
    for name, columns in (("events", ("time", "channel", "text", "amount")), ("searches", ("time", "text"))):
        rows = document[name]
        console.print(f"\nLast {name}" + (f", {min(SHOWN, len(rows))} of {len(rows)}, newest first" if rows else ": none"))
        table = _table(*columns)
        for row in reversed(rows[-SHOWN:]):
            mark = " (done to the user)" if row.get("exposure") else ""
            table.add_row(
                *(f"{row[c]:%Y-%m-%d %H:%M}" if c == "time" else _said(row[c]) + (mark if c == "text" else "") for c in columns)
            )
        if rows:
            console.print(table)


def _said(value: Any) -> str:
    return "-" if value is None else f"{value:,.2f}" if isinstance(value, float) else str(value)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if columns[0] == "last days" and i else "left")
    return table
