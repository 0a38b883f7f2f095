"""Pseudonymous user keys and the vault.

A raw id becomes `user_key` = HMAC-SHA256 under the home's secret, cut to 128 bits and written as hex; `fold` = sha256 of the raw
id mod 5. Only look-up results and exports go back through the vault; people's files of users are hashed forward as they are
read.
"""

import csv
import gzip
import hashlib
import hmac
import itertools
import os
import secrets
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from found_platform import lake
from found_platform.contract import FOLDS
from found_platform.errors import BadInput
from found_platform.privacy import vault
from found_platform.settings import Settings


def home_secret(settings: Settings) -> bytes:
    """The secret of a home: the setting if given, else `HOME/secret`, made at the first call with file mode 0600.

    Raises BadInput when it is not the secret that this home's keys were made with.
    """
    path, check = settings.home / "secret", settings.home / "secret.sha256"
    if settings.secret is not None:
        try:
            secret = bytes.fromhex(settings.secret)
        except ValueError:
            raise BadInput("FOUND_SECRET is not hexadecimal: give an even number of digits 0-9 and a-f.") from None
    elif path.exists():
        secret = bytes.fromhex(path.read_text())
    elif check.exists():
        raise BadInput(f"The keys of {settings.home} were made with FOUND_SECRET: set it to the same value again.")
    else:
        secret = secrets.token_bytes(32)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secret.hex())
    digest = hashlib.sha256(secret).hexdigest()
    if not check.exists():
        check.write_text(digest)
    elif check.read_text() != digest:
        raise BadInput(f"FOUND_SECRET is not the secret that the keys of {settings.home} were made with: unset or correct it.")
    return secret


def user_key(secret: bytes, user_id: str) -> str:
    """128 bits of HMAC-SHA256 of the raw id, as 32 hex digits."""
    return hmac.new(secret, user_id.encode(), hashlib.sha256).hexdigest()[:32]


def fold(user_id: str) -> int:
    """sha256(raw id) mod 5."""
    return int.from_bytes(hashlib.sha256(user_id.encode()).digest()) % FOLDS


def key_table(secret: bytes, user_ids: Sequence[str]) -> pa.Table:
    """Columns user_id, user_key, fold for distinct raw ids."""
    return pa.table(
        {
            "user_id": pa.array(user_ids, pa.string()),
            "user_key": pa.array([user_key(secret, u) for u in user_ids], pa.string()),
            "fold": pa.array([fold(u) for u in user_ids], pa.int8()),
        }
    )


def remember(settings: Settings, keys: pa.Table) -> None:
    """Adds users to the vault; users already there stay."""
    vault.add(settings, keys)


def user_ids(settings: Settings, user_keys: Sequence[str]) -> dict[str, str]:
    """Raw ids of these keys, of those that the vault has. For look-up results and exports alone."""
    return vault.user_ids(settings, user_keys)


def known(settings: Settings, user_keys: Sequence[str]) -> int:
    """How many of these keys are users of this home."""
    return vault.count(settings, user_keys)


def read_users(settings: Settings, path: Path) -> set[str]:
    """The keys of the users in a person's file: seeds, exclusions. Users that this home has never seen are among them.

    The file is Parquet, CSV (also .gz) or plain text, with a column `user_id`, or with nothing but ids, one a line. Ids are taken
    as they are, spaces and leading zeros included, as in a source. Raises BadInput that names the file and the row.
    """
    return {key for key, _ in read_user_rows(settings, path)}


def read_user_rows(settings: Settings, path: Path, beside: str | None = None) -> list[tuple[str, str | None]]:
    """As `read_users`, in the file's order: a key and the text of the column `beside`, None where there is none."""
    secret = home_secret(settings)
    if not path.is_file():
        raise BadInput(f"The file of users {path} does not exist.")
    found = []
    for number, user_id, value in (_of_parquet if path.suffix == ".parquet" else _of_text)(path, beside):
        if not user_id or user_id.isspace():
            raise BadInput(f"{path}, row {number:,}: there is no user id.")
        if "\n" in user_id or "\r" in user_id:
            raise BadInput(f"{path}, row {number:,}: the user id holds a line break: does a double quote open and not close?")
        found.append((user_key(secret, user_id), value or None))
    return found


Row = tuple[int, str | None, str | None]
"""Its number from 1 below the header, the raw id, the text beside it."""


def _of_parquet(path: Path, beside: str | None) -> Iterator[Row]:
    try:
        names = pq.read_schema(path).names
        if names.count("user_id") != 1 and len(names) != 1:
            raise _no_column(path, f"; it has {', '.join(names)}")
        wanted = ["user_id" if "user_id" in names else names[0], *([beside] if beside in names else [])]
        rows = pq.read_table(path, columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from None
    con = lake.connect()
    con.register("file_rows", rows)
    texts = ", ".join(f"CAST({lake.quote(name)} AS VARCHAR)" for name in wanted)  # a number as the scan of a source writes it
    for number, (user_id, *others) in enumerate(con.execute(f"SELECT {texts} FROM file_rows").fetchall(), 1):
        yield number, user_id, others[0] if others else None


def _of_text(path: Path, beside: str | None) -> Iterator[Row]:
    records = _records(path)
    header = next(records, [])
    named = header.count("user_id") == 1
    if not named:
        if len(header) != 1 or any(sign in header[0] for sign in ";\t"):
            raise _no_column(path, "")  # what is there may be ids
        header, records = ["user_id"], itertools.chain([header], records)
    for number, record in enumerate(records, 1):
        if record and len(record) != len(header):
            raise BadInput(f"{path}, row {number:,}: {len(record)} values where there should be {len(header)}.")
        if record:  # an empty line is none
            row = dict(zip(header, record, strict=True))
            yield number, row["user_id"], row.get(beside or "")


def _records(path: Path) -> Iterator[list[str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    records = None
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            records = csv.reader(file, strict=True)
            yield from records
    except csv.Error as error:
        raise BadInput(f"{path}, line {records.line_num if records else 1:,} cannot be read as CSV: {error}.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text: save it as UTF-8, or as Parquet with the suffix .parquet.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} cannot be read: {error}.") from None


def _no_column(path: Path, there: str) -> BadInput:
    return BadInput(
        f"{path} has no column user_id{there}: give it a header with user_id and commas between columns, or nothing but ids, one a "
        "line."
    )
