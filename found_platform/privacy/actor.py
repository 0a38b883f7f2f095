"""Who asks. The application layer says it once for all that a request does; the audit and whatever names a person read it here."""

import contextlib
import getpass
import os
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Actor:
    """A name, and the way in that it came by (`cli`, `api`, `schedule`); no way in where code calls the platform itself."""

    name: str
    way_in: str = ""

    def __str__(self) -> str:
        """As rows of the audit have it: `cli:ann`."""
        return f"{self.way_in}:{self.name}" if self.way_in else self.name

    @classmethod
    def parse(cls, text: str) -> Self:
        """An actor as it was written."""
        way_in, colon, name = text.partition(":")
        return cls(name, way_in) if colon else cls(text)


_current: ContextVar[Actor | None] = ContextVar("actor", default=None)


def account() -> str:
    """The account of the machine that this process runs under."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return str(os.getuid())


def current() -> Actor:
    """Who asks now: whoever `acting` names, else the account of the machine."""
    return _current.get() or Actor(account())


@contextlib.contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Whatever is done inside is done for this actor. It holds for this thread or task alone."""
    token = _current.set(actor)
    try:
        yield
    finally:
        _current.reset(token)
