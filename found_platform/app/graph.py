"""The asset graph of a home: run whole for a cutoff, some days of it again, and what of it is made and stale."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform import workers
from found_platform.app import libraries
from found_platform.app.context import Context
from found_platform.app.document import APART, written_as
from found_platform.app.progress import AssetDone, DaysDone, Expected, Opened, Published, Working
from found_platform.app.use_case import Effect, use_case
from found_platform.contract import OWN_ACT, parse_cutoff, parse_day
from found_platform.errors import BadInput
from found_platform.settings import Settings

if TYPE_CHECKING:
    from dagster_defs.staleness import State
    from found_platform.sources.config import SourceConfig
    from found_platform.sources.estimate import Estimate
    from found_platform.sources.growth import Removed

DEMAND = "people who will soon buy gold"
"""A first look-up of a simulated population."""


@dataclass(frozen=True)
class Simulation:
    """A population to simulate. What is None is as the home was made, or as the simulator has it."""

    users: int | None = None
    days: int | None = None
    seed: int | None = None

    def options(self) -> dict[str, int]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Run:
    """The whole graph for a cutoff.

    Attributes:
        source: a source file; None is the source that the home has, or else a simulation.
        cutoff: a day, `latest`, or None: the data's end less the horizon.
        profile: sizes for a machine; None is as the home was made, or `cpu`.
        force: redo what is up to date.
        removed: what becomes of rows that were taken in and that the source no longer holds; None stops and says them.
        another_source: the home follows a source that has nothing in common with its own.
    """

    source: Path | None = None
    cutoff: str | None = None
    simulation: Simulation = Simulation()
    profile: str | None = None
    force: bool = False
    removed: "Removed | None" = None
    another_source: bool = False


@dataclass(frozen=True)
class Ran:
    """A full run: seconds and partitions made by asset, and the index that is live after it.

    `notes` say what was new and what to expect; `frozen_text_serves` why no trained model serves, where none does; `waiting` that
    the version of this cutoff, `model_version`, waits behind the champion that answers; `demand` is one to look up first.
    """

    home: Path
    cutoff: dt.date
    horizon_days: int
    notes: list[str]
    frozen_text_serves: str | None
    seconds: dict[str, float]
    materialized: dict[str, int] = field(metadata=written_as("made"))
    import_seconds: float
    index: str
    model_version: str
    demand: str = field(metadata=APART)
    simulated: bool = field(metadata=APART)
    waiting: str | None


RANDOM_TEXTS = (
    "The text encoder of this profile has random weights: it tells texts apart by the words they share and knows no meaning, so "
    "look at how things work, not at who is found. Without `--profile tiny` texts are read by a trained one."
)


@use_case(Effect.CHANGES, "demo")
def run(context: Context, request: Run) -> Ran:
    """Ties a home to a source and makes all that is missing or stale. What was done before a failure stays.

    Raises BadInput before a home is made, where it can be told that early, and JobFailed.
    """
    from dagster_defs import runs
    from found_platform import index, lake, registry
    from found_platform.privacy import audit
    from found_platform.sources import durations

    import_seconds = 0.0

    def load_libraries(settings: Settings) -> None:
        nonlocal import_seconds
        timer = lake.Timer()
        context.tell(Working("loading libraries"))
        libraries.load(settings)
        import_seconds += timer.seconds

    began = lake.Timer()
    opening = _open(context, request, load_libraries)
    settings, config, cutoff = opening.settings, opening.source, opening.cutoff
    audit.record(settings, "demo", question={"source": config.name, "cutoff": str(cutoff), "force": request.force or None})
    first, end = config.days
    context.tell(Opened(config.name, first, end, cutoff, settings.profile, tuple(opening.lines)))

    def prepare() -> None:
        if not import_seconds:
            load_libraries(settings)

    finished: list[AssetDone] = []
    published: Published | None = None
    for event in runs.run(settings, cutoff, force=request.force, prepare=prepare):
        if isinstance(event, str):
            context.tell(Working(event))
        else:
            finished.append(AssetDone(**asdict(event)))
            durations.keep_days(settings, event.asset, event.materialized, event.seconds)
            context.tell(finished[-1])
            if event.asset == "user_index":
                published = _published(settings, config, cutoff)
                context.tell(published)
    if opening.expected and not any(step.up_to_date for step in finished):
        durations.keep_whole(settings, opening.expected, began.seconds)
    assert published is not None, "the index is an asset of every run"
    return Ran(
        home=settings.home,
        cutoff=cutoff,
        horizon_days=settings.horizon_days,
        notes=opening.lines,
        frozen_text_serves=published.frozen_text_serves,
        seconds={step.asset: step.seconds for step in finished},
        materialized={step.asset: step.materialized for step in finished},
        import_seconds=round(import_seconds, 2),
        index=index.live(settings).name,
        model_version=registry.of_cutoff(settings, str(cutoff)),
        demand=published.demand,
        simulated=config.simulator is not None,
        waiting=published.waiting,
    )


def _published(settings: Settings, config: "SourceConfig", cutoff: dt.date) -> Published:
    from found_platform import registry

    version = registry.of_cutoff(settings, str(cutoff))
    wait = registry.reason_to_wait(settings, version)
    return Published(
        demand=DEMAND if config.simulator else _a_demand(settings, cutoff),
        frozen_text_serves=registry.why_frozen_text(settings, str(cutoff)),
        waiting=f"version {version} of the cutoff {cutoff} is registered; {wait}, and answers look-ups" if wait else None,
        benchmark_scenarios=settings.sizes.benchmark_scenarios,
    )


@dataclass(frozen=True)
class _Opening:
    """A home that is open for its source. `lines` say what is new and what to expect, `expected` that by the source alone."""

    settings: Settings
    source: "SourceConfig"
    cutoff: dt.date
    lines: list[str]
    expected: "Estimate | None"


def _open(context: Context, request: Run, meanwhile: Callable[[Settings], None]) -> _Opening:
    """Checks everything that can be checked before a home is made or changed: columns and filters, days, losses, consent, models,
    disk, and what the rhythm of the log allows. `meanwhile` is called while another process finds the needs of training."""
    from dagster_defs import code_version
    from found_platform import contract
    from found_platform.privacy import suppression
    from found_platform.sources import config as source_config
    from found_platform.sources import durations, estimate, pulls, simulator, staging, survey, threshold
    from found_platform.training_runs import preflight

    home, source, cutoff, simulation = context.home, request.source, request.cutoff, request.simulation.options()
    if source is not None and simulation:
        raise BadInput("--users, --days and --seed ask for a simulation; with --source there is none: leave them out.")
    if cutoff not in (None, "latest"):
        parse_cutoff(cutoff, dt.date.min, dt.date.max)
    settings = Settings.load(home, profile=request.profile)
    kept = source_config.of_home(settings) if (home / "source.yaml").exists() else None
    if source is not None:
        config = source_config.load(source)
    elif kept is not None and not simulation:
        config = kept  # the home knows its source
    else:
        before = kept.simulator.model_dump() if kept and kept.simulator else {}
        config = source_config.parse({"name": "simulated", "simulator": {**before, **simulation}}, "the simulation")
    config = staging.discover(settings, config, another=request.another_source)
    code_version.begin(settings)
    columns = len(config.profile_schema or {})
    if request.force or kept is None:
        preflight.begin(settings, columns)
    suppression.check_consent(settings, contract.attributes(config.profile_schema or {}))
    preflight.check_models(settings)
    estimate.check_disk(estimate.of_events(pulls.local(config, settings.pulled)), settings.home)
    day = _day(config, cutoff)
    if day is not None and not config.days[0] < day <= config.days[1]:
        survey.check_cutoff(settings.horizon_days, config.days, day)
    horizons = survey.horizons(settings, new=kept is None)
    prepared = staging.prepare(settings, config, removed=request.removed, cutoff=day, horizons=horizons)
    try:
        lines = [*prepared.notes]
        rhythm = survey.choose(prepared.rhythms, settings.horizon_days)
        if rhythm is not None:
            reason = survey.horizon_sentence(rhythm, prepared.rhythms, settings.horizon_days)
            settings = survey.with_horizon(settings, rhythm.horizon_days)
            lines += [reason] if reason else []
            lines += [] if rhythm.judged else [rhythm.sentence()]
        least = settings.horizon_days if rhythm or prepared.source.simulator else min(horizons)
        day = survey.check_cutoff(least, prepared.source.days, _day(prepared.source, cutoff))
        if kept is None:
            threshold.check(settings, prepared.source)
        expected: Estimate | None = None
        if request.force or kept is None:
            trains = rhythm is None or rhythm.judged
            guess = estimate.of_source(pulls.local(prepared.source, settings.pulled), prepared.users)
            guess = estimate.on_this_machine(estimate.in_profile(guess, settings, trains=trains))
            expected = guess
            guess = replace(guess, off=durations.Durations.of_home(settings).off)
            estimate.check_disk(guess, settings.home)
            lines[:0] = [guess.sentence(home), *([RANDOM_TEXTS] if settings.random_text_encoder else [])]
            if trains:
                if workers.forks():
                    meanwhile(settings)
                    if kept is None and prepared.source.simulator:
                        simulator.draw_ahead(prepared.source.simulator)
                preflight.check(settings, columns, lines.append)
        return _Opening(settings, staging.open_home(settings, prepared.source), day, lines, expected)
    except BaseException:
        staging.discard(settings)
        raise


def _day(config: "SourceConfig", cutoff: str | None) -> dt.date | None:
    """The cutoff that is asked for; None for the default, which depends on the horizon."""
    return None if cutoff is None else parse_cutoff(cutoff, config.days[1], config.days[1])


def _a_demand(settings: Settings, cutoff: dt.date) -> str:
    """A first demand for data we know nothing of: its most frequent category, or else its most frequent text."""
    from found_platform import lake

    con = lake.connect()
    con.register("events", lake.dataset(settings.lake, "raw_events"))
    # a shop whose things are all of one category, its own name for example, says nothing by it
    row = con.execute(
        "SELECT lower(CASE WHEN count(DISTINCT category) > 1 THEN mode(coalesce(category, text)) ELSE mode(text) END) FROM events "
        f"WHERE event_date < ? AND {OWN_ACT} AND channel = 'pay_bill'",
        [cutoff],
    ).fetchone()
    return f"people who will buy {row[0]}" if row and row[0] else "customers who will buy again"


@dataclass(frozen=True)
class AssetState:
    """What there is of an asset: keys that it could have, keys made, and of those the ones that would come out differently now."""

    asset: str
    partitions: str
    possible: int
    materialized: list[str] = field(metadata=written_as("made"))
    stale: list[str]


@dataclass(frozen=True)
class Status:
    """The state of every asset, in the order of the graph."""

    home: Path
    assets: tuple[AssetState, ...]


def _state(state: "State") -> AssetState:
    return AssetState(state.asset, state.kind, state.possible, state.materialized, state.stale)


@use_case(Effect.READS)
def status(context: Context) -> Status:
    """What is there of every asset, and what is stale."""
    from dagster_defs import staleness

    return Status(context.settings.home, tuple(map(_state, staleness.of_home(context.settings))))


@dataclass(frozen=True)
class Backfill:
    """Days `first` to `last`, both included, to make again.

    Attributes:
        assets: daily assets; none named means all of them.
        each_day: a run a day instead of a run for up to 30 days.
        force: redo what is up to date.
        removed: as of `Run`.
    """

    first: str
    last: str
    assets: tuple[str, ...] = ()
    each_day: bool = False
    force: bool = False
    removed: "Removed | None" = None


@dataclass
class AssetDays:
    """What a backfill did with one asset."""

    materialized: int = field(default=0, metadata=written_as("made"))
    up_to_date: int = 0
    rows: int = 0
    runs: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Backfilled:
    """A backfill, by asset, and the state of everything after it. `absent` days were asked for and are not in the home."""

    first: dt.date
    last: dt.date
    absent: int
    assets: dict[str, AssetDays]
    states: tuple[AssetState, ...]

    def as_dict(self) -> dict[str, Any]:
        stale = {state.asset: state.stale for state in self.states if state.stale}
        return {"from": self.first, "to": self.last, "days_not_in_the_home": self.absent, "assets": self.assets, "stale": stale}


def _expected(settings: Settings, days: Mapping[str, tuple[int, int]]) -> Expected:
    from found_platform.sources import config, durations, estimate, pulls

    source = estimate.of_source(pulls.local(config.of_home(settings), settings.pulled))
    seconds = durations.expected(settings, days, source.events / max(1, source.days))
    return Expected({asset: number for asset, (number, _) in days.items()}, seconds, durations.sentence(seconds))


@use_case(Effect.CHANGES, "backfill")
def backfill(context: Context, request: Backfill) -> Backfilled:
    """Makes days of events and features that are missing or stale. What was done before a failure stays."""
    from dagster_defs import runs, staleness
    from found_platform.privacy import audit
    from found_platform.sources import durations

    settings = context.settings
    first, last = parse_day(request.first, "--from"), parse_day(request.last, "--to")
    if last < first:
        raise BadInput(f"--to {last} lies before --from {first}: both days are included.")
    if unknown := [a for a in request.assets if a not in runs.BACKFILLED]:
        raise BadInput(f"There is no daily asset {unknown[0]!r}: choose of {', '.join(runs.BACKFILLED)}.")
    assets = [a for a in runs.BACKFILLED if a in request.assets] or list(runs.BACKFILLED)
    question = {"from": str(first), "to": str(last), "assets": list(request.assets) or None, "force": request.force or None}
    by_asset: dict[str, AssetDays] = {}
    options = {"each_day": request.each_day, "force": request.force, "removed": request.removed}

    def tell(planned: Mapping[str, tuple[int, int]]) -> None:
        context.tell(_expected(settings, planned))

    for filled in runs.backfill(settings, first, last, assets=assets, planned=tell, **options):
        if not by_asset:  # the days are in the source, and nothing is made yet
            audit.record(settings, "backfill", question=question)
        row = by_asset.setdefault(filled.asset, AssetDays(up_to_date=filled.up_to_date))
        row.materialized += len(filled.keys)
        row.rows += filled.rows
        row.runs += bool(filled.keys)
        row.seconds = round(row.seconds + filled.seconds, 2)
        durations.keep_days(settings, filled.asset, len(filled.keys), filled.seconds)
        context.tell(DaysDone(filled.asset, row.materialized, filled.total))
    days = [dt.date.fromisoformat(day) for day in runs.days_of(settings, first, last)]
    absent = (last - first).days + 1 - len(days)
    return Backfilled(days[0], days[-1], absent, by_asset, tuple(map(_state, staleness.of_home(settings))))
