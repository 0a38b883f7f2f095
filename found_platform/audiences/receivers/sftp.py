"""SFTP: files put into a folder of another machine, whose key has to be known."""

import posixpath
from pathlib import Path
from urllib.parse import unquote, urlsplit

from found_platform.audiences.receivers import Place
from found_platform.errors import BadInput

OPTIONS = ("password", "key_file", "known_hosts")
"""A password (named as `${NAME}`) or a file with a private key, and the file of known hosts (`~/.ssh/known_hosts`)."""
SECONDS = 30.0


def check(place: Place) -> None:
    """An address with a user, a host and a folder."""
    parts = urlsplit(place.store)
    if not parts.hostname or not parts.username or parts.password:
        raise BadInput(f"{place.address!r}: write csv+sftp://user@host/folder; a password is an option, named as ${{NAME}}.")


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
                key_filename=options.get("key_file"),
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
