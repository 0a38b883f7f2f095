"""Pseudonymous user keys and the vault.

A raw id becomes `user_key` = HMAC-SHA256 under the home's secret, cut to 128 bits and written as hex; `fold` = sha256 of the raw
id mod 5. Only look-up results and exports go back through the vault table.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from found_platform import lake
from found_platform.contract import FOLDS
from found_platform.errors import BadInput
from found_platform.settings import Settings

VAULT = "vault"
VAULT_SCHEMA = pa.schema([pa.field("user_key", pa.string(), nullable=False), pa.field("user_id", pa.string(), nullable=False)])


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
    new = keys.select(["user_key", "user_id"])
    if lake.exists(settings.lake, VAULT):
        old = lake.read(settings.lake, VAULT)
        new = new.filter(pc.invert(pc.is_in(new["user_key"], old["user_key"])))
        if not new.num_rows:
            return
    lake.append(settings.lake, VAULT, new, schema=VAULT_SCHEMA)


def user_ids(settings: Settings, user_keys: Sequence[str]) -> dict[str, str]:
    """Raw ids of these keys. For look-up results and exports alone."""
    vault = lake.read(settings.lake, VAULT)
    vault = vault.filter(pc.is_in(vault["user_key"], pa.array(user_keys, pa.string())))
    return dict(zip(vault["user_key"].to_pylist(), vault["user_id"].to_pylist(), strict=True))
