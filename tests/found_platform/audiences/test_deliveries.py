"""Members sent to a webhook: signed, once, without the holdout, and whoever may not be targeted any more taken out."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from found_platform.app import audiences, deliveries, users
from found_platform.app.context import Actor, Context
from found_platform.app.lookups import Question, Size
from found_platform.audiences.receivers import webhook
from found_platform.errors import BadInput, JobFailed, NotFound
from found_platform.settings import Settings

GOLD = Question("people who will soon buy gold", mode="aligned")


class Receiver(HTTPServer):
    """Keeps what it is sent, and answers with `status`."""

    def __init__(self) -> None:
        self.status, self.got = 200, []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.headers, body))
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def ann(apart: Settings) -> Context:
    context = Context(apart.home, Actor("ann", "test"))
    audiences.save(context, audiences.Save("gold", audiences.Draft(GOLD, Size(top=20), holdout=0.3)))
    return context


def test_members_are_signed_and_sent_once_and_later_the_changes_alone(
    ann: Context, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "PART", 8)
    secret = deliveries.add_destination(ann, deliveries.NewDestination("crm", receiver.address)).secret
    with pytest.raises(BadInput, match="deliver the whole first"):
        deliveries.deliver(ann, deliveries.Deliver("gold", "crm", changes=True))
    sent = deliveries.deliver(ann, deliveries.Deliver("gold", "crm"))
    assert deliveries.deliver(ann, deliveries.Deliver("gold", "crm")).repeated
    parts = [json.loads(body) for _, body in receiver.got]
    assert [part["parts"] for part in parts] == [len(parts)] * len(parts)
    ids = [user["user_id"] for part in parts for user in part["users"]]
    assert len(ids) == sent.users < 20  # the holdout stays
    for headers, body in receiver.got:
        moment, digest = headers["Found-Signature"].removeprefix("t=").split(",v1=")
        assert digest == hmac.new(bytes.fromhex(secret), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    users.suppress(ann, users.Suppress((ids[0],), "asked"))
    changes = deliveries.deliver(ann, deliveries.Deliver("gold", "crm", changes=True))
    last = json.loads(receiver.got[-1][1])
    assert (changes.users, last["users"], last["removed"]) == (0, [], [ids[0]])
    assert [d.status for d in deliveries.history(ann, "gold")] == ["delivered", "delivered"]


@pytest.mark.parametrize("status", [500, 302])
def test_what_the_receiver_does_not_take_is_a_row_and_is_tried_again(ann: Context, receiver: Receiver, status: int) -> None:
    deliveries.add_destination(ann, deliveries.NewDestination("crm", receiver.address))
    receiver.status = status
    with pytest.raises(JobFailed, match=f"it answered {status}. Nothing counts as delivered"):
        deliveries.deliver(ann, deliveries.Deliver("gold", "crm"))
    receiver.status = 200
    sent = deliveries.deliver(ann, deliveries.Deliver("gold", "crm"))
    rows = deliveries.history(ann, "gold")
    assert [(row.id, row.status) for row in rows] == [(sent.id, "delivered"), (sent.id, "failed")]


def test_where_members_may_not_go_is_said(ann: Context) -> None:
    for address, why in [
        ("http://crm.example/hook", "use https"),
        ("crm.example/hook", "is no address: write https"),
        ("https://ann:secret@crm.example", "holds a user or a password"),
    ]:
        with pytest.raises(BadInput, match=why):
            deliveries.add_destination(ann, deliveries.NewDestination("crm", address))
    with pytest.raises(NotFound, match="There is no destination 'crm'"):
        deliveries.deliver(ann, deliveries.Deliver("gold", "crm"))
