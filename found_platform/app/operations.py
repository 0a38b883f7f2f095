"""What a person who runs a home has to know: what is wrong, with its fix; who is told of it; the figures of its pulse."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case

if TYPE_CHECKING:
    from dagster_defs.pulse import Pulse
    from found_platform.monitoring.alerts import Sent
    from found_platform.monitoring.finding import Finding


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
    findings = [finding for look in condition.LOOKS.values() for finding in look(settings)]
    with pulse_of(context) as pulse:
        findings += [finding for look in pulses.LOOKS.values() for finding in look(pulse)]
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
    findings = [finding for look in condition.EVENTS.values() for finding in look(settings)]
    with pulse_of(context) as pulse:
        findings += [finding for look in pulses.EVENTS.values() for finding in look(pulse)]
    return alerts.send(settings, findings)


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
