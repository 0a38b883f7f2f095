"""Pseudonymous user keys and the vault.

A raw id becomes `user_key` = HMAC-SHA256 under the home's secret, cut to 128 bits and written as hex; `fold` = sha256 of the raw
id mod 5. Only look-up results and exports go back through the vault; people's files of users are hashed forward as they are
read.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from found_platform.contract import FOLDS
from found_platform.errors import BadInput
from found_platform.home import write_once
from found_platform.privacy import tombstones, user_files, vault
from found_platform.settings import Settings

MIN_SECRET = 16
"""Bytes of a secret: as many as a key has, so that guessing the secret is no shorter a way than guessing a key."""


def home_secret(settings: Settings) -> bytes:
    """The secret of a home: the setting if given, else `HOME/secret`, made at the first call and readable by its owner alone.

    Raises BadInput when it is no secret, or not the one that this home's keys were made with.
    """
    path, check = settings.home / "secret", settings.home / "secret.sha256"
    if settings.secret is not None:
        secret = _secret(settings.secret, f"FOUND_SECRET (or `secret` in {settings.home / 'settings.yaml'})")
    else:
        if check.exists() and not path.exists():  # in this order: another process writes the secret, then the check
            raise BadInput(f"The keys of {settings.home} were made with FOUND_SECRET: set it to the same value again.")
        write_once(settings.home, path, secrets.token_hex(32))
        try:
            secret = _secret(path.read_text(), f"The file {path}")
        except (OSError, UnicodeDecodeError):
            raise BadInput(f"The file {path} cannot be read: restore it, the keys of this home were made with it.") from None
    digest = hashlib.sha256(secret).hexdigest()
    write_once(settings.home, check, digest)
    if check.read_text().strip() != digest:
        raise BadInput(
            f"FOUND_SECRET, or the file {path}, is not the secret that the keys of {settings.home} were made with: "
            "unset or correct it."
        )
    return secret


def _secret(text: str, where: str) -> bytes:
    """A secret as it is written. Raises BadInput that never shows it."""
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        raise BadInput(f"{where} is not hexadecimal: it must be an even number of digits 0-9 and a-f.") from None
    if len(secret) < MIN_SECRET:
        raise BadInput(
            f"{where} is a secret of {len(secret)} bytes and must have at least {MIN_SECRET}: {2 * MIN_SECRET} hexadecimal digits. "
            "`openssl rand -hex 32` makes one; for a home that has keys, restore the one that they were made with."
        )
    return secret


def user_key(secret: bytes, user_id: str) -> str:
    """128 bits of HMAC-SHA256 of the raw id, as 32 hex digits. Raises BadInput for an id that is no text."""
    try:
        data = user_id.encode()
    except UnicodeEncodeError:
        raise BadInput(f"The user id {user_id!r} is no text: give it in UTF-8.") from None
    return hmac.new(secret, data, hashlib.sha256).hexdigest()[:32]


KEY = re.compile(rb"[0-9a-f]{32}")


def key_in(data: bytes) -> str | None:
    """The user key that stands in some bytes, as those that name a row of another store; None where there is none."""
    match = KEY.search(data)
    return match.group().decode() if match else None


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


def count_known(settings: Settings, user_keys: Sequence[str]) -> int:
    """How many of these keys are users of this home."""
    return vault.count(settings, user_keys)


Users = Path | tuple[str, ...]
"""Users as a person names them: a file, or raw ids."""


def read_users(settings: Settings, users: Users) -> set[str]:
    """The keys of the users that a person names: seeds, exclusions. Users that this home has never seen are among them.

    A file is Parquet, CSV (also .gz) or plain text, with a column `user_id`, or with nothing but ids, one a line. Ids are taken
    as they are, spaces and leading zeros included, as in a source. Users who were erased are left out: nothing may be kept of them
    again. Raises BadInput that names the file and the row.
    """
    return {key for key, _ in read_user_rows(settings, users)}


def read_user_rows(settings: Settings, users: Users, beside: str | None = None) -> list[tuple[str, str | None]]:
    """As `read_users`, in the order given: a key and the text of the column `beside`, None where there is none."""
    secret = home_secret(settings)
    if not isinstance(users, Path):
        for number, user_id in enumerate(users, 1):
            if not user_id.strip():
                raise BadInput(f"Number {number:,} of the user ids is empty: leave it out.")
        rows = [(user_key(secret, user_id), None) for user_id in users]
    else:
        read = user_files.read(users, [beside] if beside else [])
        rows = [(user_key(secret, row.user_id), (row.values[0] if beside else None) or None) for row in read]
    out = tombstones.erased(settings, secret, (key for key, _ in rows))
    return [row for row in rows if row[0] not in out]


def check_not_erased(settings: Settings, key: str) -> None:
    """Raises BadInput where somebody asks for a user who was erased."""
    if tombstones.erased(settings, home_secret(settings), [key]):
        raise BadInput("This user was erased: nothing is kept of them, and nothing will be. `found erase` wrote a certificate.")
