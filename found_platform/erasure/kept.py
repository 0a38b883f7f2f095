"""What a home keeps on one person: every row of every table of users, and every file that names them.

What belongs here: the copy that a person may ask for (GDPR, article 15). It is complete by what proves an erasure: the list of
tables that hold users, and the search of every byte.
"""

import datetime as dt
import html
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from found_platform import lake
from found_platform.erasure import servers
from found_platform.erasure.persons import ID_COLUMNS, Persons
from found_platform.errors import BadInput
from found_platform.privacy import keys, vault
from found_platform.privacy.user_tables import USER_TABLES
from found_platform.settings import Settings

STYLE = (
    "body{font:15px sans-serif;margin:2rem}table{border-collapse:collapse;margin-bottom:2rem}"
    "td,th{border:1px solid #ccc;padding:4px 8px;text-align:left;vertical-align:top}"
)


@dataclass(frozen=True)
class Kept:
    """Rows by table, as the tables have them, and the files below the home, and places on servers, that name the person."""

    user_id: str
    user_key: str
    at: dt.datetime
    tables: dict[str, list[dict[str, Any]]]
    files: list[str]

    @property
    def rows(self) -> int:
        return sum(map(len, self.tables.values()))

    def as_json(self) -> str:
        """One document; times are ISO."""
        return json.dumps(vars(self), default=str, ensure_ascii=False, indent=1)

    def as_html(self) -> str:
        """One page, without scripts, that reads by itself."""
        parts = [
            f"<!doctype html><html lang='en'><meta charset='utf-8'><title>What is kept on {_cell(self.user_id)}</title>",
            f"<style>{STYLE}</style><h1>What is kept on {_cell(self.user_id)}</h1>",
            f"<p>As of {self.at:%Y-%m-%d %H:%M} UTC, under the pseudonym {_cell(self.user_key)}.</p>",
        ]
        for name, rows in self.tables.items():
            columns = list(rows[0])
            head = "".join(f"<th scope='col'>{_cell(column)}</th>" for column in columns)
            lines = "".join("<tr>" + "".join(f"<td>{_cell(row[c])}</td>" for c in columns) + "</tr>" for row in rows)
            parts.append(f"<h2>{_cell(name)}: {len(rows):,} rows</h2><table><tr>{head}</tr>{lines}</table>")
        files = "".join(f"<li>{_cell(name)}</li>" for name in self.files)
        return "".join([*parts, f"<h2>Files that hold or name them</h2><ul>{files}</ul></html>"])


def _cell(value: Any) -> str:
    return "" if value is None else html.escape(str(value))


def kept(settings: Settings, user_id: str) -> Kept:
    """Everything on a person, by the id of the source. Raises BadInput for one who was erased, or whom the home does not know."""
    key = keys.user_key(keys.home_secret(settings), user_id)
    keys.check_not_erased(settings, key)
    tables: dict[str, list[dict[str, Any]]] = {}
    with lake.connect(settings.duckdb_memory) as con:
        for table in USER_TABLES:
            if not lake.exists(settings.lake, table.name):
                continue
            lake.view(con, "t", settings.lake, table.name)
            column = lake.quote(table.key)
            where = f"list_contains({column}, ?)" if table.list_of_keys else f"{column} = ?"
            rows: pa.Table = con.execute(f"SELECT * FROM t WHERE {where}", [key]).to_arrow_table()
            if table.list_of_keys:  # the other users of the list are no business of this one
                rows = rows.drop_columns([table.key])
            if rows.num_rows:
                tables[table.name] = rows.to_pylist()
    person = Persons.of(settings, (user_id,), ID_COLUMNS)
    servers.check_all_reached(settings)
    files = servers.search(settings, person).hits
    if not tables and not vault.count(settings, [key]):
        raise BadInput(f"Nothing is kept of a user {user_id!r}: check the id, spaces and leading zeros count.")
    return Kept(user_id, key, dt.datetime.now(dt.UTC), tables, files)
