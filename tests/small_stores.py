"""A store of objects that speaks as much of Azure's and of Google's protocol as a file in parts needs, on loopback.

What belongs here: what their clients ask for when a file is written. What does not: whether a name or a key is right: no account of
either is at hand, and none is asked here. It is a process of its own: the client waits for it without letting others in its process
work.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

STARTED = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
ENDED = '<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>'


class Handler(BaseHTTPRequestHandler):
    """Writes objects below a folder once they are whole."""

    folder = Path()
    parts: ClassVar[dict[str, dict[str, bytes]]] = {}

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _answer(self, status: int, body: str = "") -> None:
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def _asked(self) -> tuple[str, dict[str, list[str]], bytes]:
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return unquote(address.path), parse_qs(address.query, keep_blank_values=True), body

    def _end(self, path: str, content: bytes) -> None:
        target = self.folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def _whole(self, path: str) -> bytes:
        parts = self.parts.pop(path, {})
        return b"".join(parts[name] for name in sorted(parts))

    def do_PUT(self) -> None:
        """A whole object, a part of one (Azure: a block; Google: a part), or the list of blocks that ends one."""
        path, query, body = self._asked()
        if query.get("comp") == ["blocklist"]:
            self._end(path, self._whole(path))
        elif query.get("comp") == ["block"] or "partNumber" in query:
            self.parts.setdefault(path, {})[(query.get("blockid") or query["partNumber"])[0]] = body
        else:
            self._end(path, body)
        self._answer(201)

    def do_POST(self) -> None:
        """The beginning and the end of an object in parts, as Google has them."""
        path, query, _ = self._asked()
        if "uploads" in query:
            self._answer(200, STARTED)
        else:
            self._end(path, self._whole(path))
            self._answer(200, ENDED)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a store that writes below a folder."""
    with subprocess.Popen([sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[1])
    http = HTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{http.server_address[1]}", flush=True)
    http.serve_forever()
