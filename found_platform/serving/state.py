"""What one server holds while it runs. It is made by the app factory and hangs on the app: nothing is global."""

from dataclasses import dataclass, field

import anyio
from starlette.requests import Request

from found_platform.serving.jobs import Jobs
from found_platform.serving.limits import RateLimit
from found_platform.serving.metrics import Metrics
from found_platform.serving.options import Options
from found_platform.serving.repeats import Repeats

SIGN_INS = 20
"""Attempts to sign in a minute, of one address."""

PROVIDER_CALLS = 4
"""Conversations with the identity provider at a time: where it is slow, it does not hold the threads that every page needs."""


@dataclass
class Server:
    """`waits_for` says what look-ups still wait for; empty once the models are loaded. `broken` says why they cannot be."""

    options: Options
    rate: RateLimit
    sign_ins: RateLimit
    metrics: Metrics
    jobs: Jobs
    repeats: Repeats = field(default_factory=Repeats)
    provider_calls: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(PROVIDER_CALLS))
    waits_for: str = "the models to be loaded"
    broken: str = field(default="")


def server_of(request: Request) -> Server:
    return request.app.state.server
