"""`found audience`: look users up."""

import contextlib
import csv
import io
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from found_platform.cli.app import existing_home, print_json
from found_platform.settings import Settings
from found_platform.targeting import lookup
from found_platform.targeting.lookup import Audience


def find(sentence: str, *, top: int, where: str | None, exact: bool, home: Path, format: str) -> None:
    """Prints the users for a demand."""
    lookup.check_demand(sentence)
    settings = Settings.load(existing_home(home))
    with contextlib.redirect_stdout(io.StringIO()):  # libraries may print while they load; stdout is for the answer
        audience = lookup.find(settings, sentence, top=top, where=where, exact=exact)
    if format == "json":
        print_json(audience.as_dict())
    elif format == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(["user_id", "score"])
        writer.writerows((u.user_id, u.score) for u in audience.users)
    else:
        show(Console(highlight=False, markup=False), audience)


def show(console: Console, audience: Audience) -> None:
    """The answer as a table for a terminal, with what answered and as of when."""
    console.print(f"“{audience.query}”", style="bold", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("user")
    table.add_column("score", justify="right")
    for rank, user in enumerate(audience.users, 1):
        table.add_row(str(rank), user.user_id, f"{user.score:.3f}")
    console.print(table)
    how = "exact" if audience.exact else "approximate"
    console.print(
        f"{audience.count} users as of {audience.as_of}, model version {audience.model_version}, {how}: {audience.reason}"
    )
