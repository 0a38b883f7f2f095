"""SFTP: files put into a folder of another machine, whose key has to be known."""

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from found_platform.audiences.receivers import Place
from found_platform.errors import BadInput

if TYPE_CHECKING:
    import paramiko

OPTIONS = ("password", "key_file", "known_hosts")
"""A password (named as `${NAME}`) or a file with a private key, and the file of known hosts (`~/.ssh/known_hosts`)."""
SECONDS = 30.0


def check(place: Place) -> None:
    """An address with a user, a host and a folder."""
    parts = urlsplit(place.store)
    if not parts.hostname or not parts.username or parts.password:
        raise BadInput(f"{place.address!r}: write csv+sftp://user@host/folder; a password is an option, named as ${{NAME}}.")


def _key(path: str) -> "paramiko.PKey":
    """The private key in a file. Raises OSError, or ValueError for a file that holds none, or one that asks for a passphrase.

    The client would try the file as each kind of key, and say of the last kind that the file holds another one.
    """
    import paramiko
    from paramiko.pkey import UnknownKeyType

    try:
        return paramiko.PKey.from_path(Path(path).expanduser())
    except (paramiko.PasswordRequiredException, TypeError):
        raise ValueError(f"The key in {path} is encrypted, and nobody is asked for its passphrase: name one without") from None
    except (paramiko.SSHException, UnknownKeyType, ValueError):
        raise ValueError(f"{path} holds no private key that can be read") from None


def write(place: Place, files: dict[str, bytes], options: dict[str, str]) -> None:
    """Puts the files into the folder, each under another name until it is whole. Raises OSError or ValueError."""
    import paramiko

    parts = urlsplit(place.store)
    hosts = Path(options.get("known_hosts", "~/.ssh/known_hosts")).expanduser()
    with paramiko.SSHClient() as client:
        try:
            if hosts.is_file():
                client.load_host_keys(str(hosts))
            client.set_missing_host_key_policy(paramiko.RejectPolicy())
            client.connect(
                parts.hostname or "",
                parts.port or 22,
                unquote(parts.username or ""),
                options.get("password"),
                pkey=_key(options["key_file"]) if "key_file" in options else None,
                timeout=SECONDS,
                look_for_keys="password" not in options and "key_file" not in options,
                allow_agent="password" not in options and "key_file" not in options,
            )
            with client.open_sftp() as remote:
                for name, content in files.items():
                    path = posixpath.join(unquote(parts.path) or ".", name)
                    with remote.open(f"{path}.partial", "wb") as file:
                        file.write(content)
                    remote.posix_rename(f"{path}.partial", path)
        except paramiko.SSHException as problem:
            raise ValueError(
                f"{problem}; its key has to be in {hosts}" if "not found in known_hosts" in str(problem) else str(problem)
            ) from None
