"""Who is erased: raw ids and user keys, and which cells and bytes of a home would name them.

What belongs here: what counts as a hit. An id of fewer than `SHORT` characters, such as "1", is in every file: it counts where a
column holds ids, and nowhere else. Longer ids count everywhere, user keys always.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from found_platform.erasure.needles import Needles
from found_platform.privacy import keys, tombstones, user_files
from found_platform.privacy.free_texts import SHORT
from found_platform.privacy.keys import Users
from found_platform.settings import Settings

ID_COLUMNS = ("user_id", "user_key", "without_users")
"""Columns that hold ids or keys in every home; those that its source maps come to them."""

SMALLEST = 8
"""Characters of Base64 from which on they are searched for: random ones of six would be met in any picture."""


@dataclass(frozen=True)
class Persons:
    """The persons of one erasure. `id_columns` are the names of columns that hold ids in this home and its source."""

    ids: frozenset[str]
    keys: frozenset[str]
    marks: tuple[str, ...]
    id_columns: frozenset[str]

    @classmethod
    def of(cls, settings: Settings, users: Users, id_columns: Iterable[str]) -> "Persons":
        """The persons of a file or of raw ids. Raises BadInput that names the file and the row."""
        secret = keys.home_secret(settings)
        ids = frozenset(users if isinstance(users, tuple) else (row.user_id for row in user_files.read(users)))
        by_id = {user: keys.user_key(secret, user) for user in ids}
        marks = tuple(sorted(tombstones.mark(secret, key) for key in by_id.values()))
        return cls(ids, frozenset(by_id.values()), marks, frozenset(name.lower() for name in id_columns))

    @property
    def number(self) -> str:
        """The name of their erasure, by which a rerun goes on: it says nothing of them to who has not the secret."""
        return hashlib.sha256("".join(self.marks).encode()).hexdigest()[:16]

    @cached_property
    def _long(self) -> frozenset[str]:
        return frozenset(user for user in self.ids if len(user) >= SHORT) | self.keys

    @cached_property
    def _all(self) -> frozenset[str]:
        return self.ids | self.keys

    def cells(self, column: str) -> frozenset[str]:
        """The cells of a column that are one of them."""
        return self._all if column.lower() in self.id_columns else self._long

    @cached_property
    def needles(self) -> Needles:
        """Their ids and keys as bytes: UTF-8, UTF-16, hex and Base64; keys also as the 16 bytes that they are."""
        plain = {text.encode() for text in self._long - self.keys}
        encoded: set[bytes] = {bytes.fromhex(key) for key in self.keys} | {key.encode() for key in self.keys}
        for text in self._long:
            data = text.encode()
            encoded |= {text.encode("utf-16-le"), text.encode("utf-16-be"), data.hex().encode(), data.hex().upper().encode()}
            encoded |= {part for part in map(_base64_at, [data] * 3, range(3)) if len(part) >= SMALLEST}
        encoded |= {key.upper().encode() for key in self.keys}
        return Needles(plain, encoded - plain)


def _base64_at(data: bytes, offset: int) -> bytes:
    """What stands for some bytes in the Base64 of a longer text, `offset` (0 to 2) bytes after a multiple of three."""
    first, last = -(-offset * 8 // 6), (offset + len(data)) * 8 // 6
    return base64.b64encode(bytes(offset) + data + b"\0\0")[first:last]
