"""The app factory: every part put together for one home. Nothing is opened before the server starts."""

import contextlib
import logging
import re
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio.to_thread
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from found_platform import logs
from found_platform.app import access, figures, offers
from found_platform.app.context import Actor, Context, account
from found_platform.errors import BadInput, JobFailed
from found_platform.serving import api, console, following, health, problems, watch
from found_platform.serving.api import described
from found_platform.serving.jobs import Jobs
from found_platform.serving.limits import RateLimit
from found_platform.serving.metrics import Metrics
from found_platform.serving.options import Options
from found_platform.serving.problems import Refused, Rejected
from found_platform.serving.protection import Protection
from found_platform.serving.state import SIGN_INS, Server, server_of

DOOR_THREADS = 16
"""Of short work: who asks, pages that read a file."""

NUMBER = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = logging.getLogger("found.requests")


def create_app(options: Options, *, warm: bool = True) -> FastAPI:
    """A server over one home. `warm` loads what look-ups need while it starts, so that the first one does not wait for it."""
    metrics = Metrics(lambda: figures.figures(Context(options.home, Actor(account(), "server"))))
    server = Server(options, RateLimit(options.rate), RateLimit(SIGN_INS), metrics, Jobs(options.threads, metrics))

    stopping = threading.Event()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = DOOR_THREADS
        if warm:
            threading.Thread(target=_load, args=(server, app), name="found-load", daemon=True).start()
            threading.Thread(target=watch.until, args=(server, stopping), name="found-alerts", daemon=True).start()
        if options.webserver:
            follow = (options.home.resolve(), options.webserver, stopping)
            threading.Thread(target=following.watch, args=follow, name="found-days", daemon=True).start()
        yield
        stopping.set()
        await run_in_threadpool(server.jobs.close)

    app = FastAPI(
        title="FOUND Platform",
        version="1",
        description="Audiences for a sentence: look-ups, previews, reasons, saved audiences, models and data of one home.",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        lifespan=lifespan,
    )
    app.state.server = server
    app.add_middleware(Protection, options=options)
    app.middleware("http")(_measured)
    for error in (BadInput, JobFailed, Refused, Rejected, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(error, _answer_error)
    app.include_router(health.router)
    app.include_router(api.router)
    app.openapi = described.document(app)
    console.mount(app)
    return app


def _load(server: Server, app: FastAPI) -> None:
    """Loads what look-ups need, by asking what can be asked; then makes the document, which reads the classes of all results."""
    try:
        offers.warm(Context(server.options.home, Actor(account(), "server")))
    except (BadInput, JobFailed) as error:
        server.broken = str(error)
    except Exception as error:  # said in /readyz; look-ups say it too
        server.broken = problems.of(error).detail
    server.waits_for = ""
    app.openapi()


async def _measured(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    begun, number = time.perf_counter(), _number(request)
    with logs.bound(request=number):
        response = await call_next(request)
        route = request.scope.get("route")
        path = getattr(route, "path", "other")
        seconds = time.perf_counter() - begun
        server_of(request).metrics.observe(request.method, path, response.status_code, seconds)
        about = {"method": request.method, "route": path, "status": response.status_code, "seconds": round(seconds, 4)}
        log.info("%s %s: %d", request.method, path, response.status_code, extra={"fields": about})
    response.headers["x-request-id"] = number
    return response


def _number(request: Request) -> str:
    """What tells a request apart in the logs: the number that a proxy gave it, or a new one."""
    number = request.headers.get("x-request-id", "")
    return number if NUMBER.fullmatch(number) else uuid.uuid4().hex


async def _answer_error(request: Request, error: Exception) -> Response:
    problem = problems.of(error)
    if isinstance(error, Refused):
        context = Context(server_of(request).options.home, Actor(error.actor, "api" if _is_api(request) else "console"))
        refusal = access.Refusal(request.method, request.url.path[:200], problem.detail)
        await run_in_threadpool(access.refuse, context, refusal)
    headers = {"www-authenticate": "Bearer"} if problem.status == 401 else {}
    if problem.status == 429:
        headers["retry-after"] = str(max(1, round(dict(problem.extra).get("retry_after", 1))))
    if _is_api(request):
        return problem.as_response(headers)
    return console.problem_page(request, problem)


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/healthz", "/readyz", "/operates", "/metrics"))
