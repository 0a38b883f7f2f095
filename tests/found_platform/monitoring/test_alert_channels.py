"""Channels of alerts: signed, once, with the next step; again where one was not taken, which the doctor sees."""

import hashlib
import hmac
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alert_receivers import Hook, Mail, listening

from found_platform.app import figures, operations
from found_platform.app.context import Actor, Context
from found_platform.cli import alerts as command
from found_platform.cli.options import Place
from found_platform.errors import BadInput, JobFailed
from found_platform.housekeeping import condition
from found_platform.monitoring import alerts
from found_platform.monitoring.finding import Finding
from found_platform.settings import Settings

SECRET = "ab" * 32
DISK = Finding("disk", "0.1 GB are free", "`found gc --dry-run` says what may go", key="disk")
TICK = Finding("ticks", "a tick of daily failed", "its page has the trace", key="tick daily 1")


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening(Hook()) as server:
        yield server


@pytest.fixture
def mail() -> Iterator[Mail]:
    with listening(Mail()) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, hook: Hook, mail: Mail, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A new home, whose settings name both channels."""
    monkeypatch.setenv("FOUND_ALERT_WEBHOOK", f"http://127.0.0.1:{hook.server_port}/alerts")
    monkeypatch.setenv("FOUND_ALERT_SECRET", SECRET)
    monkeypatch.setenv("FOUND_ALERT_MAIL_TO", "ops@example.org")
    monkeypatch.setenv("FOUND_ALERT_SMTP", f"127.0.0.1:{mail.server_address[1]}")
    settings = Settings.load(tmp_path / "found", profile="tiny")
    settings.home.mkdir()
    (settings.home / "source.yaml").write_text("name: ours\n")
    settings.keep()
    return settings


def test_an_alert_is_signed_and_says_the_next_step(home: Settings, hook: Hook, mail: Mail) -> None:
    sent = alerts.send(home, [DISK, TICK])
    assert [(alert.channel, alert.error) for alert in sent] == [("webhook", ""), ("webhook", ""), ("mail", ""), ("mail", "")]
    headers, body = hook.got[0]
    at, _, digest = headers["Found-Signature"].partition(",v1=")
    expected = hmac.new(bytes.fromhex(SECRET), at.removeprefix("t=").encode() + b"." + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(digest, expected)
    assert json.loads(body)["fix"] == DISK.fix
    (letter,) = mail.letters
    assert "Subject: FOUND (found): 0.1 GB are free and 1 more" in letter
    assert "Next: its page has the trace." in letter


def test_each_is_sent_once_and_a_state_again_once_it_had_gone(home: Settings, hook: Hook) -> None:
    alerts.send(home, [DISK, TICK])
    assert not alerts.send(home, [DISK, TICK])
    assert not alerts.send(home, [])
    assert {alert.finding for alert in alerts.send(home, [DISK, TICK])} == {DISK}
    assert len(hook.got) == 3


def test_what_a_receiver_does_not_take_is_sent_again(home: Settings, hook: Hook, mail: Mail) -> None:
    hook.status = 503
    first = alerts.send(home, [TICK])
    assert {(alert.channel, alert.error) for alert in first} == {("webhook", "it answered 503"), ("mail", "")}
    hook.status = 200
    assert [alert.channel for alert in alerts.send(home, [TICK])] == ["webhook"]
    assert len(mail.letters) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alert_webhook": "http://example.org/hook"}, "example.org is not on this machine: use https"),
        ({"alert_secret": "short"}, "FOUND_ALERT_SECRET signs what goes to FOUND_ALERT_WEBHOOK"),
        ({"alert_webhook": None, "alert_smtp": "mail"}, "FOUND_ALERT_SMTP is 'mail': write host:port"),
        ({"alert_webhook": None, "alert_mail_to": None}, "No channel for alerts is set"),
    ],
)
def test_a_channel_that_is_set_wrongly_is_said(home: Settings, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        alerts.send(home.model_copy(update=changes), [TICK])


def test_secrets_of_channels_are_not_written_into_the_home(home: Settings) -> None:
    assert SECRET not in (home.home / "settings.yaml").read_text()


def test_of_several_the_one_that_is_not_taken_alone_is_sent_again(home: Settings, hook: Hook) -> None:
    hook.statuses = [200, 503, 200]
    other = Finding("runs", "the run of ingest failed", "`found status` says what to run", key="run 1")
    errors = [alert.error for alert in alerts.send(home, [DISK, TICK, other]) if alert.channel == "webhook"]
    assert errors == ["", "it answered 503", ""]
    (again,) = alerts.send(home, [DISK, TICK, other])
    assert (again.channel, again.finding, again.error) == ("webhook", TICK, "")
    assert not alerts.send(home, [DISK, TICK, other])
    assert len(hook.got) == 4


def test_what_is_not_taken_is_seen_by_the_doctor_until_it_is(home: Settings, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not [*condition.untold(home)], "nothing was ever sent"
    hook.status = 500
    for _ in range(2):
        alerts.send(home, [DISK, TICK])
    (finding,) = condition.untold(home)
    assert finding.problem.startswith("webhook has not taken 2 of the alerts since 20")
    assert finding.problem.endswith(" UTC: it answered 500")
    assert "found alerts --trial" in finding.fix
    assert not [*condition.untold(home.model_copy(update={"alert_webhook": None}))], "it is switched off"
    assert refused_figures(home) == {"webhook": 2, "mail": 0}
    hook.status = 200
    alerts.send(home, [DISK, TICK])
    assert not [*condition.untold(home)]
    assert refused_figures(home) == {"webhook": 0, "mail": 0}


def refused_figures(home: Settings) -> dict[str, float]:
    """By channel, as `/metrics` has it."""
    return {figure.labels[0][1]: figure.value for figure in figures._of_alerts(home)}


def test_a_receiver_that_is_gone_is_asked_once_a_look(home: Settings, hook: Hook) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    unreachable = home.model_copy(update={"alert_webhook": f"http://127.0.0.1:{port}/", "alert_mail_to": None})
    assert {alert.error for alert in alerts.send(unreachable, [DISK, TICK])} == {"Connection refused"}
    assert {alert.error for alert in alerts.send(home.model_copy(update={"alert_mail_to": None}), [DISK, TICK])} == {""}


def test_a_channel_that_is_set_wrongly_is_not_in_the_way_of_another(home: Settings, mail: Mail) -> None:
    wrong = home.model_copy(update={"alert_secret": "short"})
    with pytest.raises(BadInput, match="FOUND_ALERT_SECRET"):
        alerts.send(wrong, [TICK])
    assert len(mail.letters) == 1
    assert "FOUND_ALERT_SECRET" in next(condition.untold(wrong)).problem


def test_a_trial_makes_no_alert_a_new_one(home: Settings, hook: Hook) -> None:
    alerts.send(home, [DISK])
    operations.try_channels(Context(home.home, Actor("ann", "test")))
    assert not alerts.send(home, [DISK])
    assert [json.loads(body)["check"] for _, body in hook.got] == ["disk", "trial"]


def test_a_watch_goes_on_after_a_look_that_fails(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes: list[Any] = [
        [],
        JobFailed("The database is written at this moment."),
        [alerts.Sent("mail", TICK)],
        KeyboardInterrupt(),
    ]

    def look(_: Context) -> list[alerts.Sent]:
        outcome = outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(operations, "alert", look)
    monkeypatch.setattr(command.time, "sleep", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        command.alerts(Place(home.home), watch=True)
    printed = capsys.readouterr()
    assert printed.err == "found: looking for what is worth an alert failed: The database is written at this moment.\n"
    assert "ticks: a tick of daily failed: sent by mail." in printed.out
