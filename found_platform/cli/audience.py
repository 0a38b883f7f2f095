"""`found audience find`: look users up."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from found_platform.cli.asking import ask
from found_platform.cli.options import DEFAULT_HOME, Force, Home, QuestionOptions, UsersFormat
from found_platform.cli.tables import print_json, table, terminal, write_utf_8
from found_platform.errors import BadInput

if TYPE_CHECKING:
    from found_platform.app.lookups import Answer


def find(
    question: QuestionOptions,
    top: Annotated[int, typer.Option(help="How many users.")] = 20,
    min_score: Annotated[float | None, typer.Option(help="All users with this score at least, in place of --top.")] = None,
    exclude: Annotated[Path | None, typer.Option(help="Users to leave out: a column user_id, or one id a line.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Score everybody instead of asking the index.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say what carried each user's score.")] = False,
    home: Home = DEFAULT_HOME,
    format: Annotated[UsersFormat, typer.Option(help="table, json, csv or parquet.")] = UsersFormat.table,
    out: Annotated[Path | None, typer.Option(help="Write to this file (.parquet, .csv, .json).")] = None,
    force: Force = False,
) -> None:
    """Find the users for a demand."""
    from found_platform.app import lookups

    size = lookups.Size(top=top) if min_score is None else lookups.Size(min_score=min_score)
    request = lookups.Find(question.question(), size, exclude, exact, explain)
    if out is not None:
        written = ask(lookups.export, home, lookups.Export(request, out, force))
        print(written.note or f"{written.users} users written to {written.path}", file=sys.stderr)
        return
    if format is UsersFormat.parquet:
        raise BadInput("Parquet does not go to a terminal: add --out FILE.parquet.")
    answer = ask(lookups.find, home, request)
    if format is UsersFormat.table:
        show(terminal(), answer)
    elif format is UsersFormat.json:
        print_json(answer)
    else:
        for line in filter(None, (answer.audience.warning, answer.audience.note)):
            print(f"found: {line}", file=sys.stderr)
        write_utf_8(lookups.encode(answer, format.value))


def expectation(value: float | None, is_share: bool) -> str:
    """The expected share or amount, for a table; empty where there is none."""
    if value is None:
        return ""
    return f"{value:.1%}" if is_share else f"{value:,.2f}"


def show(console: Console, answer: "Answer") -> None:
    """The answer as a table for a terminal, with what answered and as of when."""
    from found_platform.app import lookups, rewriting

    audience = answer.audience
    console.print(f"“{audience.query}”", style="bold", soft_wrap=True)
    if audience.warning:
        console.print(f"Warning: {audience.warning}.", style="bold", soft_wrap=True)
    if audience.outcome_in_words:
        console.print(f"asked: {audience.outcome_in_words}", style="dim", soft_wrap=True)
    for line in rewriting.in_short(audience.rewriting) if audience.rewriting else ():
        console.print(line, style="dim", soft_wrap=True)
    if audience.note:
        console.print(audience.note, soft_wrap=True)
        console.print(f"As of {audience.as_of}, model version {audience.model_version}.", soft_wrap=True)
        return
    calibrated = any(u.probability is not None for u in audience.users)
    explained = any(u.evidence for u in audience.users)
    expected = next((u.expected for u in audience.users if u.expected is not None), None) is not None
    is_share = expected and audience.outcome is not None and audience.outcome.get("rank") == "affinity"
    measure = ["chance"] if calibrated else ["share"] if is_share else ["amount"] if expected else []
    columns = ["", "user", "score", *measure, *(["because of"] if explained else [])]
    users = table(*columns, left=("user", "because of"))
    for rank, user in enumerate(audience.users, 1):
        cells = [str(rank), user.user_id, f"{user.score:.3f}"]
        cells += [f"{user.probability:.0%}" if user.probability is not None else ""] if calibrated else []
        cells += [expectation(user.expected, is_share)] if expected else []
        cells += [lookups.because(user)] if explained else []
        users.add_row(*cells)
    console.print(users)
    how = "exact" if audience.exact else "approximate"
    console.print(
        f"{audience.count} users as of {audience.as_of}, model version {audience.model_version}, mode {audience.mode}, {how}: "
        f"{audience.reason}",
        soft_wrap=True,
    )
