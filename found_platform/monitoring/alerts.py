"""Alerts: findings sent to people, each once by each channel, with the next step.

What belongs here: the channels that settings name, what was sent already and what a channel does not take (`HOME/alerts.db`). What
does not: looking for what is wrong. What a channel did not take is sent again at the next look.
"""

import contextlib
import datetime as dt
import hashlib
import json
import smtplib
import sqlite3
import ssl
import time
import urllib.error
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from email.message import EmailMessage

from found_platform import webhook
from found_platform.errors import BadInput
from found_platform.home import DATABASE_SECONDS, database, lock
from found_platform.monitoring.finding import Finding
from found_platform.settings import Settings

DATABASE = "alerts.db"
STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS sent (channel TEXT, key TEXT, at REAL NOT NULL, PRIMARY KEY (channel, key)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS refused "
    "(channel TEXT PRIMARY KEY, since REAL NOT NULL, alerts INTEGER NOT NULL, error TEXT NOT NULL) WITHOUT ROWID",
)

SMTP_SECONDS = 30.0
LEAVES = "alerts say what went wrong, in sentences that may name files and values of the data"


@dataclass(frozen=True)
class Sent:
    """One alert by one channel; `error` says why it was not taken, and is empty where it was."""

    channel: str
    finding: Finding
    error: str = ""


@dataclass(frozen=True)
class Refused:
    """What a channel does not take: how many alerts, since when (POSIX seconds), and why not."""

    channel: str
    since: float
    alerts: int
    error: str


Send = Callable[[Settings, Sequence[Finding]], Iterator[Sent]]
"""Sends findings, and says of each whether it was taken."""


def _to_webhook(settings: Settings, findings: Sequence[Finding]) -> Iterator[Sent]:
    """A POST for each, as signed as a delivery. A receiver that answers may take the next one; one that does not is left alone."""
    assert settings.alert_webhook
    webhook.check_address(settings.alert_webhook, LEAVES)
    secret, unreachable = _secret(settings), ""
    for finding in findings:
        if unreachable:
            yield Sent("webhook", finding, unreachable)
            continue
        now = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
        body = json.dumps({"at": now, "home": settings.home.name, **asdict(finding)}).encode()
        number = hashlib.sha256(finding.key.encode()).hexdigest()[:20]
        try:
            webhook.post(settings.alert_webhook, secret, body, {"Found-Alert": number})
        except (OSError, ValueError) as problem:
            unreachable = "" if isinstance(problem, urllib.error.HTTPError) else webhook.why(problem)
            yield Sent("webhook", finding, webhook.why(problem))
        else:
            yield Sent("webhook", finding)


def _secret(settings: Settings) -> str:
    secret = settings.alert_secret
    if secret is None or len(secret) < 32 or set(secret.lower()) - set("0123456789abcdef") or len(secret) % 2:
        raise BadInput("FOUND_ALERT_SECRET signs what goes to FOUND_ALERT_WEBHOOK: set it to what `openssl rand -hex 32` makes.")
    return secret


def _by_mail(settings: Settings, findings: Sequence[Finding]) -> Iterator[Sent]:
    """One letter for all of them."""
    error = ""
    try:
        _mail(settings, findings)
    except BadInput:  # a ValueError too, and a person's to mend
        raise
    except (OSError, ValueError, smtplib.SMTPException) as problem:
        error = _why(problem)
    for finding in findings:
        yield Sent("mail", finding, error)


def _mail(settings: Settings, findings: Sequence[Finding]) -> None:
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


def send(settings: Settings, findings: Sequence[Finding], *, trial: bool = False) -> list[Sent]:
    """Sends what each channel has not sent yet, and returns what was sent and what was not taken.

    A finding whose key has no blank is of a state, not of a moment: once it is no longer found it counts as new. A trial is not all
    that is found: it says nothing of other findings.
    Raises BadInput where no channel is set, or one is set wrongly; the others have sent theirs by then.
    """
    if not channels(settings):
        raise BadInput(
            "No channel for alerts is set: set FOUND_ALERT_WEBHOOK and FOUND_ALERT_SECRET, or FOUND_ALERT_MAIL_TO and "
            "FOUND_ALERT_SMTP."
        )
    worth = [finding for finding in findings if finding.key]
    alerts: list[Sent] = []
    wrong: BadInput | None = None
    with lock(settings.home, "alerts"):  # two who watch would both send
        for channel in channels(settings):
            before = _sent(settings, channel)
            if not trial:
                before -= _forget(settings, channel, before - {finding.key for finding in worth})
            new = [finding for finding in worth if finding.key not in before]
            errors: list[str] = []
            try:
                for sent in CHANNELS[channel][1](settings, new) if new else ():
                    if not sent.error:  # at once: who is killed here must not send it again
                        _note(settings, channel, sent.finding)
                    alerts.append(sent)
                    errors += [sent.error] if sent.error else []
            except BadInput as problem:
                wrong, errors = problem, [str(problem).rstrip(".")] * len(new)
            if not trial:
                _note_refused(settings, channel, errors)
    if wrong:
        raise wrong
    return alerts


def refused(settings: Settings) -> list[Refused]:
    """What the channels that are set do not take at the moment. It changes nothing."""
    path = settings.home / DATABASE
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=DATABASE_SECONDS)) as con:
        if not con.execute("SELECT 1 FROM sqlite_master WHERE name = 'refused'").fetchone():
            return []  # written before this was
        rows = [Refused(*row) for row in con.execute("SELECT channel, since, alerts, error FROM refused ORDER BY channel")]
    return [row for row in rows if row.channel in channels(settings)]


def _why(problem: Exception) -> str:
    if isinstance(problem, smtplib.SMTPResponseException):
        words = problem.smtp_error.decode(errors="replace") if isinstance(problem.smtp_error, bytes) else problem.smtp_error
        return f"it answered {problem.smtp_code} {words}"
    return webhook.why(problem)


def _sent(settings: Settings, channel: str) -> set[str]:
    """The keys that a channel has sent."""
    with _opened(settings) as con:
        return {key for (key,) in con.execute("SELECT key FROM sent WHERE channel = ?", (channel,))}


def _forget(settings: Settings, channel: str, missing: set[str]) -> set[str]:
    """Forgets states that are no longer found; returns their keys."""
    gone = {key for key in missing if " " not in key}
    with _opened(settings) as con:
        con.executemany("DELETE FROM sent WHERE channel = ? AND key = ?", [(channel, key) for key in gone])
    return gone


def _note(settings: Settings, channel: str, finding: Finding) -> None:
    with _opened(settings) as con:
        con.execute("INSERT OR REPLACE INTO sent VALUES (?, ?, ?)", (channel, finding.key, time.time()))


def _note_refused(settings: Settings, channel: str, errors: Sequence[str]) -> None:
    """Notes what a channel has not taken now, and since when it takes not everything; nothing where it took all."""
    with _opened(settings) as con:
        if not errors:
            con.execute("DELETE FROM refused WHERE channel = ?", (channel,))
            return
        statement = "INSERT INTO refused VALUES (?, ?, ?, ?) ON CONFLICT (channel) DO UPDATE SET alerts = ?, error = ?"
        con.execute(statement, (channel, time.time(), len(errors), errors[-1], len(errors), errors[-1]))


def _opened(settings: Settings) -> "contextlib.AbstractContextManager[sqlite3.Connection]":
    return database(settings.home / DATABASE, STATEMENTS)
