"""`found publish`, `found promote`, `found rollback`: what serves, changed by a person, with a line for everything that changed."""

from typing import TYPE_CHECKING, Annotated

import typer

from found_platform.cli.asking import ask, home_option
from found_platform.cli.options import Place
from found_platform.cli.tables import print_json, terminal

if TYPE_CHECKING:
    from found_platform.app.models import Moved, Publication


def publish(place: Place, cutoff: Annotated[str, typer.Option(help="Day (YYYY-MM-DD) of the model and of the states.")]) -> None:
    """Build the index of a cutoff anew and let look-ups ask it."""
    from found_platform.app import models

    _show(ask(models.publish, place.home, cutoff), place)


def promote(
    place: Place, version: Annotated[str | None, typer.Option(help="A model version. Default: the candidate.")] = None
) -> None:
    """Make a model version that passed the gate the champion, and publish its users."""
    from found_platform.app import models

    _show(ask(models.promote, place.home, version), place)


def rollback_model(place: Place) -> None:
    """Make the champion before this one serve again, with its index."""
    from found_platform.app import models

    moved = ask(models.roll_back_model, place.home)
    _show(moved, place)
    if not place.as_json:
        bad = moved.before.champion
        again = f"found promote --version {bad}{home_option(place.home)}"
        print(f"Version {bad} stays back until `{again}`; a newer one may take over by itself.")


def rollback_index(place: Place) -> None:
    """Go back to the index published before this one; the champion stays."""
    from found_platform.app import models

    moved = ask(models.roll_back_index, place.home)
    _show(moved, place)
    live = moved.after.index
    if not place.as_json and live and moved.after.champion != live.model_version:
        print(f"Look-ups are by version {live.model_version} now.")
        print(f"To take the champion back too: found rollback model{home_option(place.home)}")


def _show(moved: "Moved", place: Place) -> None:
    """A line for the champion, one for the index and one a prompt: from what to what, or that it stays."""
    if place.as_json:
        print_json(moved)
        return
    console = terminal()
    old, new = moved.before, moved.after
    console.print(f"champion  {_change(old.champion and f'version {old.champion}', f'version {new.champion}')}", soft_wrap=True)
    console.print(f"index     {_change(_described(old.index), _described(new.index))}", soft_wrap=True)
    for name, how in moved.prompts.items():
        console.print(f"prompt    {name}: {how}", soft_wrap=True)


def _change(old: str | None, new: str | None) -> str:
    return f"{new} (unchanged)" if old == new else f"{old or 'none'} -> {new}"


def _described(live: "Publication | None") -> str | None:
    return live and f"{live.name.removesuffix('.db')} ({live.rows:,} users as of {live.as_of}, version {live.model_version})"
