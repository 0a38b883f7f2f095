"""Where the rows of an entry are: files, a database, object storage, or several files that a query joins.

What belongs here: the options that say so, and their errors. What does not: reading any of it (`databases`, `joins`, `remote`).
"""

import os
import re
from pathlib import Path
from typing import Any, Self

from pydantic import AliasChoices, Field, PrivateAttr, field_validator, model_validator

from found_platform import credentials
from found_platform.sources.addresses import absolute, check_url, holds_secret, is_variable
from found_platform.sources.options import Location, named_key

LOOKED_UP = ("user_id", "text", "category")
"""The contract columns that a lookup table can hold."""
TABLE_NAME = re.compile(r"[A-Za-z_]\w*")


class Origin(Location):
    """An entry's rows: `path`; or `url` with `query` or `table`; or `tables` with `query`."""

    path: str = ""
    storage_options: dict[str, str] | None = None  # of a path such as s3://bucket/key, as delta-rs has them
    url: str | None = None  # of a database, as SQLAlchemy has it; ${NAME} is an environment variable
    table: str | None = None
    query: str | None = None
    cursor: str | None = None  # a column that only grows: a later run reads the rows behind its newest value
    tables: dict[str, Location] | None = None  # files by the names that `query` has for them

    @field_validator("url")
    @classmethod
    def _readable_url(cls, url: str | None) -> str | None:
        if url is not None:
            check_url(url)
        return url

    @field_validator("path")
    @classmethod
    def _no_login(cls, path: str) -> str:
        if "://" in path and (secret := credentials.kind(path)) is not None:
            raise ValueError(f"path holds {secret}: leave it out, and name the environment's variable in storage_options")
        return path

    @field_validator("storage_options", mode="before")
    @classmethod
    def _no_secrets(cls, options: Any) -> Any:
        if not isinstance(options, dict):
            return options
        options = {str(name): str(value).lower() if isinstance(value, bool) else str(value) for name, value in options.items()}
        for name, value in options.items():
            if holds_secret(name) and not is_variable(value):
                raise ValueError(
                    f"{name} holds a secret: put it into the environment and write its variable, for example ${{{name}}}"
                )
        return options

    @field_validator("tables", mode="before")
    @classmethod
    def _named_files(cls, tables: Any) -> Any:
        if not isinstance(tables, dict):
            return tables
        for name in tables:
            if not TABLE_NAME.fullmatch(str(name)):
                raise ValueError(f"{name!r} is no name of a table: use letters, digits and _, for example orders")
        return {name: {"path": table} if isinstance(table, str) else table for name, table in tables.items()}

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = [name for name in ("path", "url", "tables") if getattr(self, name)]
        if len(origins) != 1:
            have = " and ".join(origins) or "none of them"
            raise ValueError(f"an entry has `path`, or `url` of a database, or `tables` that a `query` joins; this one has {have}")
        if self.url and bool(self.query) == bool(self.table):
            raise ValueError("`url` goes with `query` or with `table`, one of them")
        if self.tables and not self.query:
            raise ValueError("`tables` goes with a `query` over them, for example SELECT … FROM orders JOIN items USING (order_id)")
        if self.path and (self.query or self.table):
            raise ValueError("`query` goes with `url` or `tables`, and `table` with `url`: leave it out beside `path`")
        if self.cursor and not self.url:
            raise ValueError("`cursor` goes with the `url` of a database")
        if self.storage_options and "://" not in self.path:
            raise ValueError("`storage_options` goes with a `path` such as s3://bucket/events/*.parquet")
        return self

    @property
    def is_elsewhere(self) -> bool:
        """Whether the rows have to be pulled before they can be scanned."""
        return bool(self.url or self.tables or "://" in self.path)

    def absolutes(self, folder: Path) -> dict[str, Any]:
        """What changes where relative paths start at `folder`."""
        if self.url:
            return {"url": absolute(self.url, folder)}
        if self.tables:
            return {"tables": {n: t.model_copy(update={"path": os.path.normpath(folder / t.path)}) for n, t in self.tables.items()}}
        return {} if "://" in self.path else {"path": os.path.normpath(folder / self.path)}


class Lookup(Origin):
    """A table that holds the user, text or category of a key: `{from: articles.csv, key: article_id, column: name}`.

    `from` is a path, or a mapping that says an origin: `{url: …, table: articles}`.
    """

    path: str = Field("", validation_alias=AliasChoices("from", "path"))
    key: str
    column: str
    on: str | None = None  # the column of the events that holds the key; left out: it is called like `key`
    _title: str = PrivateAttr("")

    @model_validator(mode="before")
    @classmethod
    def _unpacked(cls, raw: Any) -> Any:
        """The mapping `from` as options beside the others, and the key `on`, which YAML takes for `true`."""
        raw = named_key(raw, "on")
        if not isinstance(raw, dict) or not isinstance(raw.get("from"), dict):
            return raw
        place = raw["from"]
        if place.keys() & {"table", "query"} and not place.keys() & {"url", "tables"}:
            raise ValueError("`from` names a table or query, and neither it nor the entry has the `url` of a database: add one")
        return {**{key: value for key, value in raw.items() if key != "from"}, **place}

    @property
    def title(self) -> str:
        """What notes and reasons call the table: its file, or its name in a database."""
        return self._title or self.table or self.path.rsplit("/", 1)[-1] or "the query"

    def titled(self, title: str) -> "Lookup":
        """The same table under the name of its origin, once its rows are in files of ours."""
        copy = self.model_copy()
        copy._title = title
        return copy
