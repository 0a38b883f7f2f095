"""How a server is started: of which home, where it listens, and its limits."""

from dataclasses import dataclass
from pathlib import Path

from found_platform.errors import BadInput

PORT = 8321
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Options:
    """What a server is started with.

    Attributes:
        names: further names that a browser may know this server by, as behind a proxy.
        rate: requests a minute of one token or session; what was saved up allows as many at once.
        threads: look-ups and previews that are worked on at a time; more wait.
        most_bytes: of a request's body: a list of some hundred thousand users.
        body_seconds: within which a body has to arrive.
        answer_seconds: after which an answer becomes a job that is followed.
        dagster, mlflow: addresses of their pages, which the console links to; empty where it does not know them.
        webserver: where this process reaches Dagster's webserver, which it tells of new days; empty where somebody else does.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int = PORT
    allow_remote: bool = False
    names: tuple[str, ...] = ()
    rate: int = 1200
    threads: int = 4
    most_bytes: int = 8 * 1024 * 1024
    body_seconds: float = 30.0
    answer_seconds: float = 2.0
    dagster: str = ""
    mlflow: str = ""
    webserver: str = ""

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK

    @property
    def hosts(self) -> frozenset[str]:
        """Names that a request may call this server by. A page of another name that leads here (DNS rebinding) is refused."""
        return frozenset({*LOOPBACK, self.host, *self.names})

    @property
    def address(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def check(self, lets_in: bool) -> None:
        """Raises BadInput for an address that others could reach, unless that is wanted and somebody can sign in."""
        if self.is_loopback:
            return
        if not self.allow_remote:
            raise BadInput(
                f"--host is {self.host}, which others may reach: add --allow-remote where that is wanted, and put a proxy with TLS "
                "before it. Without --host it listens on 127.0.0.1 alone."
            )
        if not lets_in:
            raise BadInput(
                f"--host is {self.host} and nobody has a token yet: make one first with `found token create NAME --role ROLE`, or "
                "name an identity provider (docs/console.md)."
            )
