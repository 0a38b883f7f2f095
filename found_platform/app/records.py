"""The record of processing (GDPR, article 30): what a home holds of persons, what for, who gets it, how long it stays."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.errors import BadInput

if TYPE_CHECKING:
    from found_platform.housekeeping.records import Records


@dataclass(frozen=True)
class Page:
    """Where the page is written (.html), if anywhere; one that exists is replaced with `overwrite` alone."""

    path: Path | None = None
    overwrite: bool = False


@use_case(Effect.READS)
def records(context: Context, request: Page) -> "Records":
    """The record as the home knows it now. No person is in it. Raises BadInput for a page that cannot be written."""
    from found_platform.audiences.export import place, refuse_existing
    from found_platform.housekeeping import records as recording

    if request.path is not None and request.path.suffix != ".html":
        raise BadInput(f"{request.path} is no .html file: the record is a page.")
    if request.path is not None and not request.overwrite:
        refuse_existing(request.path)
    record = recording.of(context.settings)
    if request.path is not None:
        place(request.path, recording.as_html(record).encode())
    return record
