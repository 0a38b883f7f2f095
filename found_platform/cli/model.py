"""`found model list` and `found model show`: the registered versions, what they are made from and what the gate said."""

import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from found_platform import registry
from found_platform.cli.app import existing_home, print_json
from found_platform.errors import BadInput
from found_platform.registry import Version
from found_platform.settings import Settings


def list_versions(*, home: Path, as_json: bool) -> None:
    """Prints a line a version, newest first."""
    found = registry.versions(Settings.load(existing_home(home)))
    if as_json:
        print_json([_document(v) for v in found])
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("version", "kind", "cutoff", "registered (UTC)", "gate", "is"):
        table.add_column(name)
    for v in found:
        aliases = [a for a in v.aliases if not a.startswith("cutoff-")]
        notes = aliases + (["rolled back"] if registry.ROLLED_BACK in v.tags else [])
        gate = v.tags.get("gate", "-")
        created = f"{v.created:%Y-%m-%d %H:%M}"
        table.add_row(v.version, v.tags.get("kind", ""), v.tags.get("cutoff", ""), created, gate, ", ".join(notes))
    console = Console(highlight=False, markup=False)
    console.print(table)
    for v in found:
        if v.tags.get("gate") == registry.NOT_JUDGED:
            console.print(f"Version {v.version} was not judged: {v.tags['gate_reason']}.", soft_wrap=True)


def show(name: str, *, home: Path, as_json: bool) -> None:
    """Prints one version, by number or alias: its card, its verdict, its lineage."""
    settings = Settings.load(existing_home(home))
    found = {v.version: v for v in registry.versions(settings)}
    version = name if name in found else next((v.version for v in found.values() if name in v.aliases), None)
    if version is None:
        there = ", ".join(found) or "none"
        raise BadInput(f"There is no model version {name!r} in {home}: there are {there}, and the aliases of `found model list`.")
    v, card = found[version], registry.card(settings, version)
    if as_json:
        print_json({**_document(v), "card": card})
        return
    console = Console(highlight=False, markup=False)
    console.print(Markdown(card))
    console.print(f"\nversion {v.version}; aliases: {', '.join(v.aliases) or 'none'}")
    console.print(f"gate: {v.tags.get('gate', 'not judged')}: {v.tags.get('gate_reason', '')}", soft_wrap=True)
    for key in sorted(set(v.tags) - {"gate", "gate_reason", "gate_figures"}):
        console.print(f"  {key:<24} {v.tags[key]}", soft_wrap=True)


def _document(v: Version) -> dict[str, Any]:
    figures = json.loads(v.tags.get("gate_figures", "{}"))
    return {"version": v.version, "created": v.created, "aliases": v.aliases, "tags": {**v.tags, "gate_figures": figures}}
