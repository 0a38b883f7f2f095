"""Commands and options of `found`. Each command reads its options, calls the platform and prints."""

import datetime as dt
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from found_platform.errors import BadInput

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From events to audiences: a sentence in, a list of users out.",
)
source_app = typer.Typer(no_args_is_help=True, help="Look at a source file.")
audience_app = typer.Typer(no_args_is_help=True, help="Find users.")
benchmark_app = typer.Typer(no_args_is_help=True, help="Compare methods on labelled scenarios.")
user_app = typer.Typer(no_args_is_help=True, help="Look at a user.")
rewriter_app = typer.Typer(no_args_is_help=True, help="Teach a language model to rewrite demands.")
model_app = typer.Typer(no_args_is_help=True, help="Look at the model versions.")
rollback_app = typer.Typer(no_args_is_help=True, help="Go back to what served before: the model and its index, or the index alone.")
suppress_app = typer.Typer(no_args_is_help=True, help="Keep users out of every audience.")
app.add_typer(source_app, name="source")
app.add_typer(user_app, name="user")
app.add_typer(audience_app, name="audience")
app.add_typer(benchmark_app, name="benchmark")
app.add_typer(rewriter_app, name="rewriter")
app.add_typer(model_app, name="model")
app.add_typer(rollback_app, name="rollback")
app.add_typer(suppress_app, name="suppress")


class Format(StrEnum):
    table = "table"
    json = "json"


class InitFormat(StrEnum):
    text = "text"
    json = "json"


class UsersFormat(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"
    parquet = "parquet"


class ModeName(StrEnum):
    auto = "auto"
    aligned = "aligned"
    late = "late"
    replay = "replay"


class Level(StrEnum):
    narrow = "narrow"
    balanced = "balanced"
    broad = "broad"


class ProfileName(StrEnum):
    tiny = "tiny"
    cpu = "cpu"
    paper = "paper"


Home = Annotated[Path, typer.Option("--home", help="Folder of all state.")]
DEFAULT_HOME = Path(".found")


@app.command()
def demo(
    source: Annotated[Path | None, typer.Option(help="A source file of yours; without it a population is simulated.")] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(help="Day (YYYY-MM-DD) the model may not look beyond, or `latest`. Default: the data's end less the horizon."),
    ] = None,
    users: Annotated[int | None, typer.Option(min=10, help="Simulated users [default: 2000].")] = None,
    days: Annotated[int | None, typer.Option(min=14, help="Simulated days [default: 120].")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the simulation [default: 0].")] = None,
    profile: Annotated[ProfileName | None, typer.Option(help="Sizes for a machine [default: cpu].")] = None,
    home: Home = DEFAULT_HOME,
    force: Annotated[bool, typer.Option(help="Redo what is up to date.")] = False,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Run the whole graph, from events to an audience."""
    from found_platform.cli import demo as command

    command.run(
        source=source,
        cutoff=cutoff,
        simulation={k: v for k, v in {"users": users, "days": days, "seed": seed}.items() if v is not None},
        profile=profile,
        home=home,
        force=force,
        as_json=format is Format.json,
    )


@app.command()
def backfill(
    first: Annotated[str, typer.Option("--from", help="First day (YYYY-MM-DD).")],
    last: Annotated[str, typer.Option("--to", help="Last day, included.")],
    asset: Annotated[list[str] | None, typer.Option(help="A daily asset; may be repeated. Default: all of them.")] = None,
    each_day: Annotated[bool, typer.Option("--each-day", help="A run a day instead of a run for up to 30 days.")] = False,
    force: Annotated[bool, typer.Option(help="Redo what is up to date.")] = False,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Make days of events and features again, and say what is stale after it."""
    from found_platform.cli import backfill as command

    command.backfill(first, last, assets=asset or [], each_day=each_day, force=force, home=home, as_json=format is Format.json)


@app.command()
def status(home: Home = DEFAULT_HOME, format: Annotated[Format, typer.Option(help="table or json.")] = Format.table) -> None:
    """Say what is there of every asset, and what is stale."""
    from found_platform.cli import backfill as command

    command.status(home=home, as_json=format is Format.json)


@user_app.command("show")
def user_show(
    user: Annotated[str, typer.Argument(help="The user's id, as the source has it.")],
    as_of: Annotated[str | None, typer.Option(help="Day (YYYY-MM-DD) before which things were known. Default: the newest.")] = None,
    online: Annotated[bool, typer.Option("--online", help="What the online store says instead of the history.")] = False,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Show the features of a user."""
    from found_platform.cli import user as command

    command.show(user, as_of=as_of, online=online, home=home, as_json=format is Format.json)


@source_app.command("check")
def source_check(file: Annotated[Path, typer.Argument(help="A source file (YAML).")], format: Format = Format.table) -> None:
    """Read a whole source and say what is in it, before anything runs."""
    from found_platform.cli import source as command

    command.check(file, as_json=format is Format.json)


@source_app.command("init")
def source_init(
    files: Annotated[list[Path], typer.Argument(help="Files of yours, or a folder of them.")],
    out: Annotated[Path, typer.Option(help="The source file to write.")] = Path("source.yaml"),
    name: Annotated[str | None, typer.Option(help="Name of the source. Default: that of the folder or of the first file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the source file.")] = False,
    format: Annotated[InitFormat, typer.Option(help="text or json.")] = InitFormat.text,
) -> None:
    """Look at files and write the source file that reads them, with questions where it is not sure."""
    from found_platform.cli import source_init as command

    command.write(files, out=out, name=name, force=force, as_json=format is InitFormat.json)


@source_app.command("pull")
def source_pull(
    full: Annotated[bool, typer.Option("--full", help="Read everything anew, not only what is new.")] = False,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Read what is new in the databases and stores of a home's source; the next run takes it up."""
    from found_platform.cli import source_init as command

    command.pull(home=home, full=full, as_json=format is Format.json)


@audience_app.command("find")
def audience_find(
    sentence: Annotated[str | None, typer.Argument(help='Whom to reach, for example "people who will soon buy gold".')] = None,
    prompt: Annotated[str | None, typer.Option(help="A tuned prompt in place of a sentence, see `found audience tune`.")] = None,
    phrase: Annotated[
        list[str] | None, typer.Option(help="Your own wording of what is wanted, item by item, in place of the rewriter's.")
    ] = None,
    top: Annotated[int, typer.Option(help="How many users.")] = 20,
    min_score: Annotated[float | None, typer.Option(help="All users with this score at least, in place of --top.")] = None,
    where: Annotated[
        str | None, typer.Option(help="Filter, for example \"age_band IN ('25-34', '35-44') AND NOT events_28d < 3\".")
    ] = None,
    exclude: Annotated[Path | None, typer.Option(help="Users to leave out: a column user_id, or one id a line.")] = None,
    mode: Annotated[ModeName, typer.Option(help="How to score.")] = ModeName.auto,
    horizon: Annotated[int | None, typer.Option(help="Days ahead. Default: what the sentence says, or the home's.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Score everybody instead of asking the index.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say what carried each user's score.")] = False,
    home: Home = DEFAULT_HOME,
    format: Annotated[UsersFormat, typer.Option(help="table, json, csv or parquet.")] = UsersFormat.table,
    out: Annotated[Path | None, typer.Option(help="Write to this file (.parquet, .csv, .json).")] = None,
) -> None:
    """Find the users for a demand."""
    from found_platform.audiences.lookup import Question
    from found_platform.cli import audience as command

    command.find(
        Question(sentence, prompt, tuple(phrase) if phrase else None, where, mode.value, horizon),
        top=top,
        min_score=min_score,
        exclude=exclude,
        exact=exact,
        explain=explain,
        home=home,
        format=format.value,
        out=out,
    )


@audience_app.command("tune")
def audience_tune(
    name: Annotated[str, typer.Argument(help="Name of the prompt: small letters, digits, - and _.")],
    demand: Annotated[str | None, typer.Option(help="Whom to reach, in one sentence. Default: as the prompt was made.")] = None,
    seeds: Annotated[Path | None, typer.Option(help="Users who are wanted: a column user_id, or one id a line.")] = None,
    negatives: Annotated[Path | None, typer.Option(help="Users who are not wanted, in the same form.")] = None,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Make a prompt from a demand and a handful of users, or tune a saved one for the model that serves now."""
    from found_platform.cli import tune as command

    command.tune(name, demand=demand, seeds=seeds, negatives=negatives, home=home, as_json=format is Format.json)


Sentence = Annotated[str | None, typer.Argument(help='Whom to reach, for example "people who will soon buy gold".')]
Prompt = Annotated[str | None, typer.Option(help="A tuned prompt in place of a sentence, see `found audience tune`.")]
Phrases = Annotated[
    list[str] | None, typer.Option("--phrase", help="Your own wording of what is wanted, item by item, in place of the rewriter's.")
]
Where = Annotated[str | None, typer.Option(help="Filter, for example \"age_band = '25-34' AND events_28d >= 3\".")]
Horizon = Annotated[int | None, typer.Option(help="Days ahead. Default: what the sentence says, or the home's.")]
Exclude = Annotated[list[Path] | None, typer.Option(help="A file of users to leave out; may be repeated.")]
Without = Annotated[list[str] | None, typer.Option(help="A saved audience to leave out; may be repeated.")]
Top = Annotated[int | None, typer.Option(min=1, help="The best so many users.")]
SizeLevel = Annotated[Level | None, typer.Option(help="As many as past precision suggests; balanced unless told.")]
MinScore = Annotated[float | None, typer.Option(help="Everybody who scores as much.")]
Holdout = Annotated[float, typer.Option(min=0, max=0.5, help="Share of the members to keep out of exports, to measure lift.")]
AudienceName = Annotated[str, typer.Argument(help="Small letters, digits, - and _.")]


@audience_app.command("preview")
def audience_preview(
    sentence: Sentence = None,
    name: Annotated[str | None, typer.Option(help="The audience it is for; alone, what that one would be now.")] = None,
    prompt: Prompt = None,
    phrase: Phrases = None,
    where: Where = None,
    mode: Annotated[ModeName, typer.Option(help="How to score.")] = ModeName.auto,
    horizon: Horizon = None,
    exclude: Exclude = None,
    without: Without = None,
    top: Top = None,
    level: SizeLevel = None,
    min_score: MinScore = None,
    holdout: Holdout = 0.0,
    plot: Annotated[Path | None, typer.Option(help="Draw scores and past precision into this PNG.")] = None,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Say what an audience would be, before it is saved."""
    from found_platform.audiences.lookup import Question
    from found_platform.cli import saved as command

    question = Question(sentence, prompt, tuple(phrase) if phrase else None, where, mode.value, horizon)
    wanted = command.Wanted(question, exclude or [], without or [], top, level, min_score, holdout)
    command.preview(wanted, name=name, plot=plot, home=home, as_json=format is Format.json)


@audience_app.command("save")
def audience_save(
    name: AudienceName,
    sentence: Sentence = None,
    prompt: Prompt = None,
    phrase: Phrases = None,
    where: Where = None,
    mode: Annotated[ModeName, typer.Option(help="How to score.")] = ModeName.auto,
    horizon: Horizon = None,
    exclude: Exclude = None,
    without: Without = None,
    top: Top = None,
    level: SizeLevel = None,
    min_score: MinScore = None,
    holdout: Holdout = 0.0,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Save an audience, or a new version of it, and find its members."""
    from found_platform.audiences.lookup import Question
    from found_platform.cli import saved as command

    question = Question(sentence, prompt, tuple(phrase) if phrase else None, where, mode.value, horizon)
    wanted = command.Wanted(question, exclude or [], without or [], top, level, min_score, holdout)
    command.save(name, wanted, home=home, as_json=format is Format.json)


@audience_app.command("refresh")
def audience_refresh(
    name: Annotated[str | None, typer.Argument(help="A saved audience.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every saved audience.")] = False,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Find the members of a saved audience anew."""
    from found_platform.cli import saved as command

    command.refresh(name, every=every, home=home, as_json=format is Format.json)


@audience_app.command("list")
def audience_list(home: Home = DEFAULT_HOME, format: Annotated[Format, typer.Option(help="table or json.")] = Format.table) -> None:
    """List the saved audiences."""
    from found_platform.cli import saved as command

    command.list_saved(home=home, as_json=format is Format.json)


@audience_app.command("show")
def audience_show(
    name: AudienceName, home: Home = DEFAULT_HOME, format: Annotated[Format, typer.Option(help="table or json.")] = Format.table
) -> None:
    """Show what a saved audience is, and its refreshes."""
    from found_platform.cli import saved as command

    command.show(name, home=home, as_json=format is Format.json)


@audience_app.command("export")
def audience_export(
    name: AudienceName,
    out: Annotated[Path, typer.Option(help="FILE.parquet or FILE.csv.")],
    holdout: Annotated[bool, typer.Option("--holdout", help="With the users of the holdout, marked.")] = False,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Write the members of a saved audience, by the ids of the source, and where they come from."""
    from found_platform.cli import saved as command

    command.export(name, out=out, with_holdout=holdout, home=home, as_json=format is Format.json)


@audience_app.command("lift")
def audience_lift(
    name: AudienceName,
    days: Annotated[int | None, typer.Option(min=1, help="Days after the refresh [default: the horizon].")] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="A text that counts; may be repeated. Default: what the demand matches.")
    ] = None,
    category: Annotated[list[str] | None, typer.Option(help="A category that counts; may be repeated.")] = None,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Compare the members of a past refresh with its holdout."""
    from found_platform.cli import saved as command

    command.lift(name, days=days, texts=text or [], categories=category or [], home=home, as_json=format is Format.json)


@audience_app.command("forget")
def audience_forget(name: AudienceName, home: Home = DEFAULT_HOME) -> None:
    """Remove a saved audience and its members."""
    from found_platform.cli import saved as command

    command.forget(name, home=home)


@audience_app.command("audit")
def audience_audit(
    home: Home = DEFAULT_HOME, format: Annotated[Format, typer.Option(help="table or json.")] = Format.table
) -> None:
    """Say who asked what, newest first."""
    from found_platform.cli import saved as command

    command.audit(home=home, as_json=format is Format.json)


@app.command()
def rewrite(
    sentence: Annotated[str, typer.Argument(help='Whom to reach, for example "people who will soon buy gold".')],
    llm: Annotated[str | None, typer.Option(help="A language model: a directory, or a hub name.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Address of one that speaks OpenAI's chat completions.")] = None,
    model: Annotated[str | None, typer.Option(help="Its name there.")] = None,
    allow_host: Annotated[str | None, typer.Option(help="Host of an endpoint on another machine.")] = None,
    cutoff: Annotated[str | None, typer.Option(help="Default: the cutoff of the published index.")] = None,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Say what a demand is about in this data: what it matches, and the sentences that are scored."""
    from found_platform.cli import rewriter as command

    command.rewrite(
        sentence,
        llm=llm,
        endpoint=endpoint,
        model=model,
        allow_host=allow_host,
        cutoff=cutoff,
        home=home,
        as_json=format is Format.json,
    )


@rewriter_app.command("train")
def rewriter_train(
    base: Annotated[str, typer.Option(help="The language model: a directory, or a hub name.")],
    out: Annotated[Path, typer.Option(help="Folder for the adapter.")],
    cutoff: Annotated[str | None, typer.Option(help="Default: the cutoff of the published index.")] = None,
    examples: Annotated[int, typer.Option(min=10, help="Lessons of each stage.")] = 1000,
    epochs: Annotated[int, typer.Option(min=1, help="Times each lesson is taught.")] = 1,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Fine-tune a language model in two stages: what is in the data, then how demands are said."""
    from found_platform.cli import rewriter as command

    command.train(base=base, out=out, cutoff=cutoff, examples=examples, epochs=epochs, home=home, as_json=format is Format.json)


@benchmark_app.command("run")
def benchmark_run(
    labels: Annotated[Path | None, typer.Option(help="Labels: user_id, scenario, cutoff, label (Parquet or CSV).")] = None,
    scenarios: Annotated[Path | None, typer.Option(help="Scenarios: JSON or YAML.")] = None,
    cutoff: Annotated[str | None, typer.Option(help="Default: the cutoff of the published index.")] = None,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Run every method on every scenario and print one table."""
    from found_platform.cli import benchmark as command

    command.run(labels=labels, scenarios=scenarios, cutoff=cutoff, home=home, as_json=format is Format.json)


UsersFile = Annotated[Path, typer.Argument(help="Users: Parquet or CSV with a column user_id, or one id a line.")]
Reason = Annotated[str, typer.Option(help="Why, for the history.")]


@suppress_app.command("add")
def suppress_add(file: UsersFile, reason: Reason = "", home: Home = DEFAULT_HOME) -> None:
    """Suppress users: no audience holds them from now on. A column `reason` of the file outranks --reason."""
    from found_platform.cli import suppression as command

    command.add(file, reason=reason, home=home)


@suppress_app.command("lift")
def suppress_lift(file: UsersFile, reason: Reason = "", home: Home = DEFAULT_HOME) -> None:
    """Lift the suppression of users."""
    from found_platform.cli import suppression as command

    command.lift(file, reason=reason, home=home)


@suppress_app.command("list")
def suppress_list(home: Home = DEFAULT_HOME, format: Annotated[Format, typer.Option(help="table or json.")] = Format.table) -> None:
    """Say who is suppressed, by pseudonym, why and since when."""
    from found_platform.cli import suppression as command

    command.show(home=home, as_json=format is Format.json)


@app.command()
def publish(
    cutoff: Annotated[str, typer.Option(help="Day (YYYY-MM-DD) of the model and of the states.")],
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Build the index of a cutoff anew and let look-ups ask it."""
    from found_platform.cli import service as command

    command.publish(cutoff, home=home, as_json=format is Format.json)


@app.command()
def promote(
    version: Annotated[str | None, typer.Option(help="A model version. Default: the candidate.")] = None,
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Make a model version that passed the gate the champion, and publish its users."""
    from found_platform.cli import service as command

    command.promote(version, home=home, as_json=format is Format.json)


@rollback_app.command("model")
def rollback_model(
    home: Home = DEFAULT_HOME, format: Annotated[Format, typer.Option(help="table or json.")] = Format.table
) -> None:
    """Make the champion before this one serve again, with its index."""
    from found_platform.cli import service as command

    command.rollback_model(home=home, as_json=format is Format.json)


@rollback_app.command("index")
def rollback_index(
    home: Home = DEFAULT_HOME, format: Annotated[Format, typer.Option(help="table or json.")] = Format.table
) -> None:
    """Go back to the index published before this one; the champion stays."""
    from found_platform.cli import service as command

    command.rollback_index(home=home, as_json=format is Format.json)


@model_app.command("list")
def model_list(home: Home = DEFAULT_HOME, format: Annotated[Format, typer.Option(help="table or json.")] = Format.table) -> None:
    """List the model versions, newest first."""
    from found_platform.cli import model as command

    command.list_versions(home=home, as_json=format is Format.json)


@model_app.command("show")
def model_show(
    version: Annotated[str, typer.Argument(help="A version's number, or an alias such as champion.")] = "champion",
    home: Home = DEFAULT_HOME,
    format: Annotated[Format, typer.Option(help="table or json.")] = Format.table,
) -> None:
    """Show a model version: its card, its verdict, what it was made from."""
    from found_platform.cli import model as command

    command.show(version, home=home, as_json=format is Format.json)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    json.dump(document, sys.stdout, indent=1, default=str)
    print()


def parse_cutoff(value: str | None, default: dt.date, end: dt.date) -> dt.date:
    """A day, `latest` for the data's end, or the default."""
    from found_platform.contract import parse_day

    if value is None:
        return default
    return end if value == "latest" else parse_day(value, "--cutoff")


def existing_home(home: Path) -> Path:
    """The home, where something has run in it. Raises BadInput otherwise."""
    if not (home / "source.yaml").exists():
        raise BadInput(f"Nothing has run in {home} yet: start with `found demo --home {home}`.")
    return home
