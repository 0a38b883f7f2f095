"""A store of objects that speaks as much of Azure's and of Google's protocol as a file in parts needs, on loopback.

What belongs here: what their clients ask for when a file is written. What does not: whether a name or a key is right: no account of
either is at hand, and none is asked here.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

STARTED = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
ENDED = '<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>'


class Store(ThreadingHTTPServer):
    """Objects by their path, once they are whole."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[str, bytes]] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Store  # pyright: ignore[reportIncompatibleVariableOverride]

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

    def _end(self, path: str) -> None:
        parts = self.server.parts.pop(path, {})
        self.server.objects[path] = b"".join(parts[name] for name in sorted(parts))

    def do_PUT(self) -> None:
        """A whole object, a part of one (Azure: a block; Google: a part), or the list of blocks that ends one."""
        path, query, body = self._asked()
        if query.get("comp") == ["blocklist"]:
            self._end(path)
        elif query.get("comp") == ["block"] or "partNumber" in query:
            self.server.parts.setdefault(path, {})[(query.get("blockid") or query["partNumber"])[0]] = body
        else:
            self.server.objects[path] = body
        self._answer(201)

    def do_POST(self) -> None:
        """The beginning and the end of an object in parts, as Google has them."""
        path, query, _ = self._asked()
        if "uploads" in query:
            self._answer(200, STARTED)
        else:
            self._end(path)
            self._answer(200, ENDED)


@contextmanager
def running() -> Iterator[Store]:
    """A store that answers."""
    store = Store()
    threading.Thread(target=store.serve_forever, daemon=True).start()
    try:
        yield store
    finally:
        store.shutdown()
        store.server_close()
