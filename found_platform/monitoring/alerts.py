"""Alerts: findings sent to people, each once by each channel, with the next step.

What belongs here: the channels that settings name, and what was sent already (`HOME/alerts.db`). What does not: looking for what is
wrong. What a channel did not take is sent again at the next look.
"""

import contextlib
import datetime as dt
import hashlib
import json
import smtplib
import sqlite3
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from email.message import EmailMessage

from found_platform import webhook
from found_platform.errors import BadInput
from found_platform.home import database, lock
from found_platform.monitoring.finding import Finding
from found_platform.settings import Settings

DATABASE = "alerts.db"
STATEMENT = "CREATE TABLE IF NOT EXISTS sent (channel TEXT, key TEXT, at REAL NOT NULL, PRIMARY KEY (channel, key)) WITHOUT ROWID"

SMTP_SECONDS = 30.0
LEAVES = "alerts say what went wrong, in sentences that may name files and values of the data"


@dataclass(frozen=True)
class Sent:
    """One alert by one channel; `error` says why it was not taken, and is empty where it was."""

    channel: str
    finding: Finding
    error: str = ""


Send = Callable[[Settings, Sequence[Finding]], None]
"""Sends findings. Raises OSError, ValueError or SMTPException where they were not taken."""


def _to_webhook(settings: Settings, findings: Sequence[Finding]) -> None:
    """A POST for each, as signed as a delivery."""
    assert settings.alert_webhook
    webhook.check_address(settings.alert_webhook, LEAVES)
    for finding in findings:
        now = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
        body = json.dumps({"at": now, "home": settings.home.name, **asdict(finding)}).encode()
        number = hashlib.sha256(finding.key.encode()).hexdigest()[:20]
        webhook.post(settings.alert_webhook, _secret(settings), body, {"Found-Alert": number})


def _secret(settings: Settings) -> str:
    secret = settings.alert_secret
    if secret is None or len(secret) < 32 or set(secret.lower()) - set("0123456789abcdef") or len(secret) % 2:
        raise BadInput("FOUND_ALERT_SECRET signs what goes to FOUND_ALERT_WEBHOOK: set it to what `openssl rand -hex 32` makes.")
    return secret


def _by_mail(settings: Settings, findings: Sequence[Finding]) -> None:
    """One letter for all of them."""
    host, _, port = (settings.alert_smtp or "127.0.0.1:25").rpartition(":")
    if not host or not port.isdigit():
        raise BadInput(f"FOUND_ALERT_SMTP is {settings.alert_smtp!r}: write host:port.")
    letter = EmailMessage()
    more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
    letter["Subject"] = f"FOUND ({settings.home.name}): {findings[0].problem}"[:150].replace("\n", " ") + more
    letter["To"], letter["From"] = settings.alert_mail_to, settings.alert_mail_from or settings.alert_mail_to
    letter.set_content("\n\n".join(f"{f.check}: {f.problem}.\nNext: {f.fix}." for f in findings) + "\n")
    with smtplib.SMTP(host, int(port), timeout=SMTP_SECONDS) as server:
        if host not in webhook.LOCAL:
            server.starttls(context=ssl.create_default_context())
        if settings.alert_smtp_user:
            server.login(settings.alert_smtp_user, settings.alert_smtp_password or "")
        server.send_message(letter)


CHANNELS: dict[str, tuple[str, Send]] = {"webhook": ("alert_webhook", _to_webhook), "mail": ("alert_mail_to", _by_mail)}
"""By name: the setting that switches it on, and how it sends."""


def channels(settings: Settings) -> list[str]:
    """The channels that the settings name."""
    return [name for name, (setting, _) in CHANNELS.items() if getattr(settings, setting)]


def send(settings: Settings, findings: Sequence[Finding]) -> list[Sent]:
    """Sends what each channel has not sent yet, and returns what was sent and what was not taken.

    A finding whose key has no blank is of a state, not of a moment: once it is no longer found it counts as new.
    Raises BadInput where no channel is set, or one is set wrongly.
    """
    if not channels(settings):
        raise BadInput(
            "No channel for alerts is set: set FOUND_ALERT_WEBHOOK and FOUND_ALERT_SECRET, or FOUND_ALERT_MAIL_TO and "
            "FOUND_ALERT_SMTP."
        )
    worth, alerts = [finding for finding in findings if finding.key], []
    with lock(settings.home, "alerts"):  # two who watch would both send
        for channel in channels(settings):
            before = _sent(settings, channel, {finding.key for finding in worth})
            new = [finding for finding in worth if finding.key not in before]
            if not new:
                continue
            error = ""
            try:
                CHANNELS[channel][1](settings, new)
            except BadInput:  # the channel is set wrongly
                raise
            except (OSError, ValueError, smtplib.SMTPException) as problem:
                error = _why(problem)
            else:
                _note(settings, channel, new)
            alerts += [Sent(channel, finding, error) for finding in new]
    return alerts


def _why(problem: Exception) -> str:
    if isinstance(problem, smtplib.SMTPResponseException):
        words = problem.smtp_error.decode(errors="replace") if isinstance(problem.smtp_error, bytes) else problem.smtp_error
        return f"it answered {problem.smtp_code} {words}"
    return webhook.why(problem)


def _sent(settings: Settings, channel: str, current: set[str]) -> set[str]:
    """The keys that a channel has sent; states that have gone are forgotten."""
    with _opened(settings) as con:
        keys = {key for (key,) in con.execute("SELECT key FROM sent WHERE channel = ?", (channel,))}
        gone = {key for key in keys - current if " " not in key}
        con.executemany("DELETE FROM sent WHERE channel = ? AND key = ?", [(channel, key) for key in gone])
    return keys - gone


def _note(settings: Settings, channel: str, findings: Sequence[Finding]) -> None:
    with _opened(settings) as con:
        rows = [(channel, finding.key, time.time()) for finding in findings]
        con.executemany("INSERT OR REPLACE INTO sent VALUES (?, ?, ?)", rows)


def _opened(settings: Settings) -> "contextlib.AbstractContextManager[sqlite3.Connection]":
    return database(settings.home / DATABASE, (STATEMENT,))
