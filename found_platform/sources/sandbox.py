"""The sandbox: a connection that evaluates what somebody wrote opens the files of the source and nothing else, for good.

What belongs here: which files and folders a connection may open, and locking it. What does not: which expressions are allowed at
all (`expressions`, whose list holds before the engine sees one). Either would do alone; a hole in one is none in both.
"""

from collections.abc import Iterable
from pathlib import Path

import duckdb

from found_platform.lake import literal
from found_platform.sources import copies
from found_platform.sources.config import SourceConfig


def lock_source(con: duckdb.DuckDBPyConnection, source: SourceConfig, folders: Iterable[Path] = ()) -> None:
    """Leaves the files of a source, the process's copies of them, and `folders` of ours readable. What spills and a database file
    that is open already stay within reach. A connection that is locked stays as it is.

    Raises BadInput where the source has no file at a path.
    """
    if not is_locked(con):
        con.execute("SET force_compression = 'uncompressed'")  # of tables that are read twice and thrown away
        lock(con, {file for _, origin in source.origins() for file in origin.files()}, [copies.folder(), *folders])


def lock(con: duckdb.DuckDBPyConnection, files: Iterable[Path], folders: Iterable[Path] = ()) -> None:
    """Leaves these files and folders readable and closes everything else: other files, addresses, extensions, settings."""
    con.execute("SET python_enable_replacements=false")
    con.execute(f"SET allowed_paths=[{', '.join(literal(str(file)) for file in sorted(files))}]")
    con.execute(f"SET allowed_directories=[{', '.join(literal(str(folder)) for folder in folders)}]")
    con.execute("SET enable_external_access=false")
    con.execute("SET lock_configuration=true")


def is_locked(con: duckdb.DuckDBPyConnection) -> bool:
    row = con.execute("SELECT current_setting('lock_configuration')").fetchone()
    return row is not None and bool(row[0])
