"""`found demo`: ties a home to a source, runs the graph with a line an asset, and shows an audience."""

import datetime as dt
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from found_platform import lake
from found_platform.cli.app import parse_cutoff, print_json
from found_platform.cli.audience import show
from found_platform.contract import OWN_ACT
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources.config import SourceConfig

DEMAND = "people who will soon buy gold"
AUDIENCE = 10


def run(
    *,
    source: Path | None,
    cutoff: str | None,
    simulation: dict[str, Any],
    profile: str | None,
    home: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Runs everything; prints progress to stderr where the answer on stdout is JSON."""
    settings, config, expected = _open(source, simulation, profile, home, cutoff, force=force)
    day = _cutoff(settings, config, cutoff)
    say = Console(stderr=as_json, highlight=False, markup=False)
    say.print(
        f"Source {config.name}, {config.days[0]} to {config.days[1]}; cutoff {day}; profile {settings.profile}; home {home}",
        soft_wrap=True,
    )
    if expected:
        say.print(expected, soft_wrap=True)
    imports = lake.Timer()
    import_seconds = 0.0

    def load_libraries() -> None:
        nonlocal import_seconds
        started = imports.seconds
        status.update("loading libraries")
        _import_heavy()
        import_seconds = imports.seconds - started

    from dagster_defs import run as graph

    steps: list[graph.Step] = []
    status = say.status("")
    try:
        for event in graph.run(settings, day, force=force, prepare=load_libraries):
            if isinstance(event, str):
                status.update(event)
                status.start()
            else:
                status.stop()
                steps.append(event)
                say.print(_line(event), style=None if event.made else "dim")
    finally:
        status.stop()
    total = sum(s.seconds for s in steps)
    say.print(f"{len(steps)} assets in {total:.1f} s, and {import_seconds:.1f} s to load libraries")

    from found_platform import index, registry
    from found_platform.audiences import lookup

    trained = next(v for v in registry.versions(settings) if v.tags["kind"] == "found" and v.tags["cutoff"] == str(day))
    if trained.tags.get("gate") == "failed":
        why = f"The frozen-text model serves: of version {trained.version} the gate says: {trained.tags['gate_reason']}."
        say.print(why, soft_wrap=True)

    demand = DEMAND if config.simulator else _a_demand(settings, day)
    audience = lookup.find(settings, lookup.Question(demand), top=AUDIENCE)
    published = index.live(settings)
    if as_json:
        document = {
            "home": str(settings.home),
            "cutoff": str(day),
            "seconds": {s.asset: s.seconds for s in steps},
            "made": {s.asset: s.made for s in steps},
            "import_seconds": round(import_seconds, 2),
            "index": published.name,
            "audience": audience.as_dict(),
        }
        print_json(document)
        return
    say.print()
    show(say, audience)
    where = "" if home == Path(".found") else f" --home {shlex.quote(str(home))}"
    found = "found" if shutil.which("found") else os.path.relpath(sys.argv[0])
    say.print("\nWhat to try next:")
    if config.simulator:
        say.print(f'  {found} audience find "pet owners who will buy food for their cat or dog"{where} --top 20', soft_wrap=True)
    say.print(f'  {found} audience find "{demand}"{where} --where "events_28d >= 3" --format json', soft_wrap=True)
    if config.simulator:
        say.print(f"  {found} benchmark run{where}", soft_wrap=True)
    else:
        say.print(f"  {found} benchmark run{where} --labels LABELS --scenarios SCENARIOS", soft_wrap=True)
    ui = "make ui" + ("" if home == Path(".found") else f" HOME_DIR={shlex.quote(str(home))}")
    say.print(f"  {ui}   then open http://127.0.0.1:3000: the graph, its runs and their reports", soft_wrap=True)


def _open(
    source: Path | None, simulation: dict[str, Any], profile: str | None, home: Path, cutoff: str | None, *, force: bool
) -> tuple[Settings, SourceConfig, str | None]:
    """Checks everything that can be checked before a home is made. The text says what to expect, where everything is to be done."""
    from found_platform.sources import estimate, pulls, staging

    if source is not None and simulation:
        raise BadInput("--users, --days and --seed ask for a simulation; with --source there is none: leave them out.")
    if cutoff not in (None, "latest"):
        parse_cutoff(cutoff, dt.date.min, dt.date.max)
    settings = Settings.load(home, profile=profile)
    kept = source_config.of_home(settings) if (home / "source.yaml").exists() else None
    if source is not None:
        config = source_config.load(source)
    elif kept is not None and not simulation:
        config = kept  # the home knows its source
    else:
        asked = kept.simulator.model_dump() if kept and kept.simulator else {}
        config = source_config.parse({"name": "simulated", "simulator": {**asked, **simulation}}, "the simulation")
    found = staging.discover(settings, config)
    _cutoff(settings, found, cutoff)
    from found_platform.training_runs import preflight

    preflight.check_models(settings)
    expected = None
    if force or kept is None:
        needs: list[str] = []
        preflight.check(settings, len(found.profile_schema or {}), needs.append)
        guess = estimate.of_source(pulls.local(found, settings.pulled))
        estimate.check_disk(guess, settings.home)
        expected = "\n".join([guess.sentence(home), *needs])
    return settings, staging.open_home(settings, found), expected


def _cutoff(settings: Settings, config: SourceConfig, cutoff: str | None) -> dt.date:
    first, end = config.days
    day = parse_cutoff(cutoff, end - dt.timedelta(days=settings.horizon_days), end)
    earliest = first + dt.timedelta(days=settings.horizon_days + 1)
    if earliest > end:
        shorter = "" if settings.profile == "tiny" else ", or take --profile tiny (7 days)"
        raise BadInput(
            f"The data holds {(end - first).days} days, from {first} to {end - dt.timedelta(days=1)}: too few for a past and "
            f"a horizon of {settings.horizon_days} days; bring more{shorter}."
        )
    if not earliest <= day <= end:
        raise BadInput(
            f"The cutoff {day} does not fit the data, which goes from {first} to {end - dt.timedelta(days=1)}: "
            f"choose a day from {earliest} (the first day and a horizon of {settings.horizon_days} days) to {end}."
        )
    return day


def _import_heavy() -> None:
    """Everything slow to import that the graph needs, so that an asset's seconds are its own."""
    import dagster  # noqa: F401
    import evidently.presets  # noqa: F401
    import feast.infra.offline_stores.ibis  # noqa: F401
    import mlflow.pyfunc  # noqa: F401
    import pymilvus  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import transformers  # noqa: F401

    import found_platform.feature_store.delta_store  # noqa: F401


def _line(step: Any) -> str:
    rows = "" if step.rows is None else f"{step.rows:>11,} rows"
    if step.made == 0:
        return f"  {step.asset:<18} up to date"
    parts = "" if step.made == 1 and not step.up_to_date else f"{step.made} of {step.made + step.up_to_date} days"
    return f"  {step.asset:<18} {rows:<17} {parts:<16} {step.seconds:>7.1f} s"


def _a_demand(settings: Settings, cutoff: dt.date) -> str:
    """A first demand for data we know nothing of: its most frequent category, or else its most frequent text."""
    con = lake.connect()
    con.register("events", lake.dataset(settings.lake, "raw_events"))
    row = con.execute(
        f"SELECT lower(mode(coalesce(category, text))) FROM events WHERE event_date < ? AND {OWN_ACT} AND channel = 'pay_bill'",
        [cutoff],
    ).fetchone()
    thing = row[0] if row and row[0] else "the same again"
    return f"people who will buy {thing}"
