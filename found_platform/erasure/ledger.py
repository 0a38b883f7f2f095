"""The ledger: which model versions and prompts were trained on persons who were erased since, and by when they retire.

`HOME/erasures/ledger.json` has, by erasure, the day on which it was noted and how many of its persons each version and each prompt
had learned from. What is trained afterwards is in no line: to train again is what clears it.
"""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from found_platform import lake, registry
from found_platform.erasure.persons import Persons
from found_platform.home import write_whole
from found_platform.privacy import tombstones, vault
from found_platform.settings import Settings

VERSIONS, PROMPTS = "versions", "prompts"
DAY = "day"
Lines = dict[str, dict[str, int]]
"""By VERSIONS and PROMPTS: how many erased persons each has learned from."""


@dataclass(frozen=True)
class Influence:
    """From how many persons who were erased since a version or prompt has learned, and the day by which it retires."""

    persons: int
    retires: dt.date


def _file(settings: Settings) -> Path:
    return tombstones.path(settings).with_name("ledger.json")


def _read(settings: Settings) -> dict[str, dict[str, Any]]:
    file = _file(settings)
    return json.loads(file.read_text()) if file.exists() else {}


def note(settings: Settings, persons: Persons) -> Lines:
    """Writes down what has learned from persons, while the lake still says so. Noted again, nothing is taken back and the first day
    stays.
    """
    lines = {VERSIONS: _versions(settings, persons), PROMPTS: _counts(settings, persons, "prompt_seeds", "prompt")}
    ledger = _read(settings)
    before = ledger.get(persons.number, {})
    for kind, counts in lines.items():
        noted = before.get(kind, {})
        lines[kind] = {name: max(counts.get(name, 0), noted.get(name, 0)) for name in sorted({*counts, *noted})}
    if any(lines.values()):
        day = before.get(DAY, f"{dt.datetime.now(dt.UTC):%Y-%m-%d}")
        write_whole(_file(settings), json.dumps({**ledger, persons.number: {DAY: day, **lines}}, indent=1))
    return lines


def influences(settings: Settings, kind: str) -> dict[str, Influence]:
    """Of each version or prompt that has learned from persons who were erased since. Of several erasures the first one counts for
    the day.
    """
    total: dict[str, Influence] = {}
    for day, lines in _dated(settings):
        retires = day + dt.timedelta(days=settings.retire_days)
        for name, persons in lines.get(kind, {}).items():
            before = total.get(name, Influence(0, retires))
            total[name] = Influence(before.persons + persons, min(before.retires, retires))
    return total


def _dated(settings: Settings) -> Iterator[tuple[dt.date, Lines]]:
    """Each line with its day. A ledger of before had none: then it is the day on which the file was written last."""
    for lines in _read(settings).values():
        day = lines.get(DAY) or f"{dt.datetime.fromtimestamp(_file(settings).stat().st_mtime, dt.UTC):%Y-%m-%d}"
        yield dt.date.fromisoformat(day), lines


def _versions(settings: Settings, persons: Persons) -> dict[str, int]:
    """By version; of a cutoff whose training set is no longer there, everybody whom the home knows is counted."""
    if not (settings.home / "mlflow").exists():
        return {}
    everybody = vault.count(settings, sorted(persons.keys))
    by_cutoff = _counts(settings, persons, "training_set", "cutoff")
    cutoffs = _values(settings, "training_set", "cutoff")
    tags = {version.version: version.tags.get("cutoff", "") for version in registry.versions(settings)}
    counts = {version: by_cutoff.get(cutoff, 0) if cutoff in cutoffs else everybody for version, cutoff in tags.items()}
    return {version: count for version, count in counts.items() if count}


def _values(settings: Settings, table: str, column: str) -> set[str]:
    if not lake.exists(settings.lake, table):
        return set()
    return set(map(str, lake.read(settings.lake, table, columns=[column])[column].unique().to_pylist()))


def _counts(settings: Settings, persons: Persons, table: str, column: str) -> dict[str, int]:
    if not lake.exists(settings.lake, table):
        return {}
    with lake.connect(settings.duckdb_memory) as con:
        con.register("erased", pa.table({"user_key": pa.array(sorted(persons.keys), pa.string())}))
        lake.view(con, "t", settings.lake, table)
        query = f"SELECT CAST({column} AS VARCHAR), count(DISTINCT user_key) FROM t SEMI JOIN erased USING (user_key) GROUP BY 1"
        return dict(con.execute(query).fetchall())
