"""A trial of a recipe on the sample: entries of which these files have nothing become comments.

What belongs here: copies of the sample, and what is empty in them. What does not: judging what is there, which is the check's work.
"""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.sources import config, init_recipes, pulls
from found_platform.sources.init_sample import Table, head, sampled_lines
from found_platform.sources.sandbox import lock

ABSENT = "# ? the sampled rows have nothing for this: take the signs before these lines away where your files have"


def without_empty_entries(text: str, recipe: init_recipes.Recipe, matches: Mapping[str, Table]) -> str:
    """The text of a filled recipe, with the entries that are empty in the sample as comments; one entry always stays."""
    for channel, number in reversed(empty_entries(recipe, matches)):
        text = _commented(text, channel, number)
    return text


def empty_entries(recipe: init_recipes.Recipe, matches: Mapping[str, Table]) -> list[tuple[str, int | None]]:
    """Channels, and the numbers of their entries where they have several, without a row in the sample.

    There are none where the trial itself fails, or where nothing would be left.
    """
    with tempfile.TemporaryDirectory(prefix="found-init-") as name:
        try:
            rows = rows_of_entries(recipe, matches, Path(name))
        except (BadInput, duckdb.Error):  # lines cut out of a file need not be whole rows: the check reads the files themselves
            return []
    if not any(rows.values()):
        return []
    empty: list[tuple[str, int | None]] = []
    for channel in dict.fromkeys(channel for channel, _ in rows):
        present = {n: has_rows for (c, n), has_rows in rows.items() if c == channel}
        empty += [(channel, n) for n, has_rows in present.items() if not has_rows] if any(present.values()) else [(channel, None)]
    return empty


def rows_of_entries(recipe: init_recipes.Recipe, matches: Mapping[str, Table], folder: Path) -> dict[tuple[str, int], bool]:
    """Whether each entry, by its channel and number, has a row in the sample, of which copies are made in `folder`.

    Nothing is told of a recipe whose entries are files themselves. Raises BadInput and duckdb.Error for an unreadable sample.
    """
    paths = {table: str(_copy(matches[table], folder / table)) for table in matches}
    source = config.parse_text(f"name: trial\n{init_recipes.filled(recipe, matches, paths)}", recipe.title)
    source = source.model_copy(update={"profile": None})
    if any(not entry.tables for entries in source.channels.values() for entry in entries):
        return {}
    channels = pulls.refresh(source, folder / "pulled")[0].channels
    return {(c, n): _has_rows(e) for c, entries in channels.items() for n, e in enumerate(entries)}


def _has_rows(entry: config.ChannelEntry) -> bool:
    sql = f"SELECT 1 FROM read_parquet(?) WHERE ({entry.where or 'true'}) LIMIT 1"
    files = entry.files()
    con = lake.connect()
    lock(con, files)  # a locked connection opens files by name, not by a pattern
    return con.execute(sql, [list(map(str, files))]).fetchone() is not None


def _copy(table: Table, target: Path) -> Path:
    """The sample of a table's first file as a file of its own."""
    if table.kind in ("parquet", "delta"):
        target = target.with_suffix(".parquet")
        pq.write_table(head(table.files[0], table.kind), target)
    else:
        target = target.with_suffix(".jsonl" if table.kind == "jsonl" else ".csv")
        target.write_bytes(sampled_lines(table.files[0]))
    return target


def _commented(text: str, channel: str, number: int | None) -> str:
    """The text with a channel, or one entry of its list, as comments beneath a question."""
    block = re.search(rf"^  {channel}:\n(?:   .*\n)*", text, re.MULTILINE)
    if block is None:
        return text
    start, end, indent = block.start(), block.end(), "  "
    if number is not None:
        items = [*re.finditer(r"^    - .*\n(?:      .*\n)*", block[0], re.MULTILINE)]
        start, end, indent = start + items[number].start(), start + items[number].end(), "    "
    lines = [line for line in text[start:end].splitlines() if "# ? " not in line]
    commented = [indent + ABSENT, *(f"{indent}# {line[len(indent) :]}" for line in lines)]
    return text[:start] + "\n".join(commented) + "\n" + text[end:]
