"""The ledger: which model versions and prompts were trained on persons who were erased since.

`HOME/erasures/ledger.json` has, by erasure, how many of its persons each version and each prompt had learned from. What is trained
afterwards is in no line: to train again is what clears it.
"""

import json
from pathlib import Path

import pyarrow as pa

from found_platform import lake, registry
from found_platform.erasure.persons import Persons
from found_platform.home import write_whole
from found_platform.privacy import tombstones, vault
from found_platform.settings import Settings

VERSIONS, PROMPTS = "versions", "prompts"
Lines = dict[str, dict[str, int]]
"""By VERSIONS and PROMPTS: how many erased persons each has learned from."""


def _file(settings: Settings) -> Path:
    return tombstones.path(settings).with_name("ledger.json")


def _read(settings: Settings) -> dict[str, Lines]:
    file = _file(settings)
    return json.loads(file.read_text()) if file.exists() else {}


def note(settings: Settings, persons: Persons) -> Lines:
    """Writes down what has learned from persons, while the lake still says so. Noted again, nothing is taken back."""
    lines = {VERSIONS: _versions(settings, persons), PROMPTS: _counts(settings, persons, "prompt_seeds", "prompt")}
    ledger = _read(settings)
    before = ledger.get(persons.number, {})
    for kind, counts in lines.items():
        kept = before.get(kind, {})
        lines[kind] = {name: max(counts.get(name, 0), kept.get(name, 0)) for name in sorted({*counts, *kept})}
    if any(lines.values()):
        write_whole(_file(settings), json.dumps({**ledger, persons.number: lines}, indent=1))
    return lines


def learned(settings: Settings, kind: str) -> dict[str, int]:
    """Of each version or prompt: from how many persons it has learned who were erased since; those of none are left out."""
    totals: dict[str, int] = {}
    for lines in _read(settings).values():
        for name, count in lines.get(kind, {}).items():
            totals[name] = totals.get(name, 0) + count
    return totals


def _versions(settings: Settings, persons: Persons) -> dict[str, int]:
    """By version; of a cutoff whose training set is no longer there, everybody whom the home knows is counted."""
    if not (settings.home / "mlflow").exists():
        return {}
    known = vault.count(settings, sorted(persons.keys))
    by_cutoff = _counts(settings, persons, "training_set", "cutoff")
    kept = _values(settings, "training_set", "cutoff")
    counts = {
        v.version: by_cutoff.get(c, 0) if (c := v.tags.get("cutoff", "")) in kept else known for v in registry.versions(settings)
    }
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
