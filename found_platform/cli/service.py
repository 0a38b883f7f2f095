"""`found publish`, `found promote`, `found rollback`: what serves, changed by a person, with a line for everything that changed."""

import datetime as dt
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from found_platform import index, registry
from found_platform.audiences import prompts
from found_platform.cli.app import existing_home, print_json
from found_platform.contract import parse_day
from found_platform.errors import BadInput
from found_platform.index import champion, pointer
from found_platform.index.champion import Change
from found_platform.index.pointer import Publication
from found_platform.settings import Settings

State = tuple[str | None, Publication | None]
"""The champion and the live publication."""


def publish(cutoff: str, *, home: Path, as_json: bool) -> None:
    """Runs the last three assets of a cutoff: states and promotion where they are stale, the index in any case."""
    settings = Settings.load(existing_home(home))
    day = parse_day(cutoff, "--cutoff")
    version = registry.serving(settings, str(day))
    if version is None:
        raise BadInput(f"No model of the cutoff {day} is registered: run `found demo --cutoff {day}{_home(home)}` first.")
    if registry.held(settings, version):
        serving = registry.version_of(settings, registry.CHAMPION)
        raise BadInput(
            f"Model version {version} of the cutoff {day} does not serve, since a person chose version {serving}: "
            f"`found promote --version {version}{_home(home)}` makes it the champion and publishes it."
        )
    from dagster_defs import run as graph

    before = _now(settings)
    graph.publish(settings, day)
    _say(before, _now(settings), home, as_json)


def promote(version: str | None, *, home: Path, as_json: bool) -> None:
    """Makes a version the champion and publishes its users."""
    settings = Settings.load(existing_home(home))
    change = champion.promote(settings, version)
    after = (change.champion[1], change.index[1])
    _say((change.champion[0], change.index[0]), after, home, as_json, _prompts(settings, after))


def rollback_model(*, home: Path, as_json: bool) -> None:
    """Takes the champion back, and its index with it."""
    settings = Settings.load(existing_home(home))
    change: Change = champion.rollback(settings)
    bad, good = change.champion
    after = (good, change.index[1])
    _say((bad, change.index[0]), after, home, as_json, _prompts(settings, after))
    if not as_json:
        print(f"Version {bad} stays back until `found promote --version {bad}{_home(home)}`; a newer one may take over by itself.")


def rollback_index(*, home: Path, as_json: bool) -> None:
    """Takes the index back, and leaves the champion."""
    settings = Settings.load(existing_home(home))
    before = _now(settings)
    index.rollback(settings)
    after = _now(settings)
    _say(before, after, home, as_json, _prompts(settings, after))
    if not as_json and after[1] and after[0] != after[1].model_version:
        print(f"Look-ups are by version {after[1].model_version} now.")
        print(f"To take the champion back too: found rollback model{_home(home)}")


def _now(settings: Settings) -> State:
    return registry.version_of(settings, registry.CHAMPION), pointer.live(settings) if pointer.exists(settings) else None


def _prompts(settings: Settings, now: State) -> dict[str, str]:
    """Tunes the saved prompts for what answers look-ups now, where they are not; by name, how it went."""
    live = now[1]
    if live is None or not prompts.names(settings):
        return {}
    tuned, failed = prompts.retune(settings, live.model_version, dt.date.fromisoformat(live.as_of))
    return {p.name: f"tuned for version {live.model_version}" for p in tuned} | failed


def _say(before: State, after: State, home: Path, as_json: bool, prompts: Mapping[str, str] | None = None) -> None:
    """A line for the champion, one for the index and one a prompt: from what to what, or that it stays."""
    if as_json:
        said = [{"champion": champion, "index": asdict(live) if live else None} for champion, live in (before, after)]
        print_json({"home": str(home.resolve()), "before": said[0], "after": said[1], "prompts": dict(prompts or {})})
        return
    console = Console(highlight=False, markup=False)
    (old, old_index), (new, new_index) = before, after
    console.print(f"champion  {_moved(old and f'version {old}', f'version {new}')}", soft_wrap=True)
    console.print(f"index     {_moved(_described(old_index), _described(new_index))}", soft_wrap=True)
    for name, how in (prompts or {}).items():
        console.print(f"prompt    {name}: {how}", soft_wrap=True)


def _moved(old: str | None, new: str | None) -> str:
    return f"{new} (unchanged)" if old == new else f"{old or 'none'} -> {new}"


def _described(live: Publication | None) -> str | None:
    return live and f"{live.name.removesuffix('.db')} ({live.rows:,} users as of {live.as_of}, version {live.model_version})"


def _home(home: Path) -> str:
    return "" if home == Path(".found") else f" --home {shlex.quote(str(home))}"
