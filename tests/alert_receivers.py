"""Receivers of alerts on this machine: a webhook and a mail server that keep what they are sent."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TypeVar

S = TypeVar("S", bound=socketserver.BaseServer)


class Hook(HTTPServer):
    """Keeps what it is sent, and answers with the next of `statuses`, else with `status`."""

    def __init__(self) -> None:
        self.status, self.statuses, self.got = 200, [], []
        super().__init__(("127.0.0.1", 0), _HookHandler)


class _HookHandler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.got.append((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Mail(socketserver.ThreadingTCPServer):
    """A mail server that keeps letters."""

    def __init__(self) -> None:
        self.letters: list[str] = []
        super().__init__(("127.0.0.1", 0), _MailHandler)


class _MailHandler(socketserver.StreamRequestHandler):
    server: Mail

    def handle(self) -> None:
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            if line.upper() == "DATA":
                self.say("354 go on")
                letter = iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), ".")
                self.server.letters.append("\n".join(letter))
            self.say("221 bye" if line.upper() == "QUIT" else "250 fine")

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def listening(server: S) -> Iterator[S]:
    """A receiver that answers."""
    with server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
