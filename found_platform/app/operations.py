"""What a person who runs a home has to know: what is wrong, with its fix; who is told of it; the figures of its pulse."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from found_platform import damage
from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.errors import BadInput, JobFailed

if TYPE_CHECKING:
    from dagster_defs.pulse import Pulse
    from found_platform.monitoring.alerts import Sent
    from found_platform.monitoring.finding import Finding

log = logging.getLogger(__name__)

A = TypeVar("A")


@dataclass(frozen=True)
class Diagnosis:
    """What was looked at, in order, and what was found. Nothing found is a home in order."""

    looked_at: tuple[str, ...]
    findings: "tuple[Finding, ...]"


@use_case(Effect.READS)
def diagnose(context: Context) -> Diagnosis:
    """Looks at the machine, the files, the names and the Dagster instance of a home, and changes nothing."""
    from dagster_defs import pulse as pulses
    from found_platform.housekeeping import condition

    settings = context.settings
    findings = [*_findings(context, condition.LOOKS, settings), *_findings_of_pulse(context, pulses.LOOKS)]
    return Diagnosis((*condition.LOOKS, *pulses.LOOKS), tuple(findings))


@use_case(Effect.READS)
def channels(context: Context) -> list[str]:
    """By which channels alerts are sent, as the settings say."""
    from found_platform.monitoring import alerts

    return alerts.channels(context.settings)


@use_case(Effect.READS)
def alert(context: Context) -> "list[Sent]":
    """Looks for what is worth an alert, and sends what was not sent yet. Of the home it changes nothing but what was sent."""
    from dagster_defs import pulse as pulses
    from found_platform.housekeeping import condition
    from found_platform.monitoring import alerts

    settings = context.settings
    findings = [*_findings(context, condition.EVENTS, settings), *_findings_of_pulse(context, pulses.EVENTS)]
    return alerts.send(settings, findings)


def _findings(context: Context, looks: "Mapping[str, Callable[[A], Iterable[Finding]]]", about: A) -> "Iterator[Finding]":
    """What each look finds. One that cannot read a file has found that, and the others look on."""
    for name, look in looks.items():
        try:
            yield from look(about)
        except Exception as error:
            yield _damaged(context, name, error)


def _findings_of_pulse(context: Context, looks: "Mapping[str, Callable[[Pulse], Iterable[Finding]]]") -> "list[Finding]":
    try:
        with pulse_of(context) as pulse:
            return list(_findings(context, looks, pulse))
    except Exception as error:
        return [_damaged(context, "runs", error)]


def _damaged(context: Context, name: str, error: Exception) -> "Finding":
    """The finding that an error of a look is, whatever it comes from: a doctor who falls silent helps nobody."""
    from found_platform.monitoring.finding import Finding

    key = f"{name} not looked at"
    if isinstance(error, BadInput | JobFailed):
        return Finding(name, str(error).rstrip("."), "do what that says, then look again", key)
    if (harm := damage.of(error, context.home)) is not None:
        return Finding(name, harm.problem, harm.fix, key)
    log.info("the look %s failed", name, exc_info=error)
    return Finding(name, "this could not be looked at", "report it, with the log of FOUND_LOG_FORMAT=json", key)


@use_case(Effect.READS)
def try_channels(context: Context) -> "list[Sent]":
    """Sends an alert that says it is a trial, by every channel."""
    from found_platform.monitoring import alerts
    from found_platform.monitoring.finding import Finding

    trial = Finding("trial", "this is a trial, and nothing is wrong", "nothing is to be done", key=f"trial {time.time()}")
    return alerts.send(context.settings, [trial], trial=True)


@contextmanager
def pulse_of(context: Context) -> "Iterator[Pulse]":
    """The pulse of the home's Dagster instance, while it is open."""
    from dagster_defs import pulse
    from dagster_defs.execution import open_instance
    from dagster_defs.graph import AssetGraph
    from found_platform.housekeeping import condition

    with open_instance(context.settings) as instance:
        yield pulse.of(AssetGraph(context.settings), instance, condition.RECENT)
