"""Load on a server of a home, on loopback: 50 clients ask look-ups and previews; latency, errors, and memory as requests add up.

    python benchmarks/serve.py --home .found [--clients 50] [--requests 10000] [--beside]

Each client is a thread with a token and a connection of its own, and sends its next request once the last one is answered. They go
round: a look-up in mode `aligned`, an exact one in mode `auto`, a preview with a filter, a page of the console. What becomes a job
(202) is followed until it is done. Memory is that of the server's process, after a thousand requests and at the end.

With --beside they go on while an admin publishes the index anew and erases three users, through the same server: take a copy of a
home.
"""

import argparse
import http.client
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from found_platform.app import access
from found_platform.app.context import Actor, Context

DEMAND = "people who will soon buy gold"


def questions(demand: str) -> dict[str, tuple[str, str, object]]:
    """What is asked: its name, the method, the path and the body."""
    question = {"sentence": demand}
    draft = {"question": {**question, "where": "events_28d >= 3"}, "size": {"level": "balanced"}}
    aligned = {**question, "mode": "aligned"}
    return {
        "look-up, aligned": ("POST", "/api/v1/look-ups", {"question": aligned, "size": {"top": 20}}),
        "look-up, exact": ("POST", "/api/v1/look-ups", {"question": question, "size": {"top": 20}, "exact": True}),
        "preview with a filter": ("POST", "/api/v1/previews", {"draft": draft}),
        "page of the console": ("GET", "/audiences", None),
    }


PORT, ACCEPTED = 8322, 202


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, default=Path(".found"))
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument(
        "--demand", nargs="+", default=[DEMAND], help="each is asked in turn; a home answers what its texts are about"
    )
    parser.add_argument("--beside", action="store_true", help="then while an index is published and three users are erased")
    options = parser.parse_args()
    context = Context(options.home, Actor("benchmark", "benchmark"))
    names = [f"benchmark-{time.time_ns()}-{i}" for i in range(options.clients)]
    tokens = [access.create_token(context, access.NewToken(name, "viewer")).secret for name in names]
    command = [sys.executable, "-m", "found_platform.cli", "serve", "--home", options.home, "--port", PORT, "--rate", 1_000_000]
    begun = time.perf_counter()
    server = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL)
    try:
        alive = until(lambda: ask(None, "GET", "/healthz", None) == 200) - begun
        ready = until(lambda: ask(None, "GET", "/readyz", None) == 200) - begun
        print(f"alive after {alive:.1f} s, ready after {ready:.1f} s")
        early = min(1000, options.requests)
        load(tokens, early, options.demand)
        before = memory(server.pid)
        seconds, statuses, wall = load(tokens, options.requests - early or early, options.demand)
        report(seconds, statuses, wall)
        if options.beside:
            beside(context, tokens, options.demand)
        after = memory(server.pid)
        grown = f"{before:,.0f} MiB, after {options.requests:,} {after:,.0f} MiB ({after / before - 1:+.1%})"
        print(f"memory after {early:,} requests {grown}")
    finally:
        server.terminate()
        server.wait(120)
        for name in names:
            access.revoke_token(context, name)


def beside(context: Context, tokens: list[str], demands: list[str]) -> None:
    """The load while the index is published anew and three users are erased."""
    name = f"benchmark-admin-{time.time_ns()}"
    secret = access.create_token(context, access.NewToken(name, "admin")).secret
    outcome: list[str] = []

    def work() -> None:
        look_up = {"question": {"sentence": demands[0], "mode": "aligned"}, "size": {"top": 3}}
        lookup = result("/api/v1/look-ups", look_up, secret)
        users = [user["user_id"] for user in lookup["users"]]
        for path, body in (("publications", {"cutoff": lookup["as_of"]}), ("erasures", {"users": users, "reason": "benchmark"})):
            begun = time.perf_counter()
            result(f"/api/v1/{path}", body, secret)
            outcome.append(f"{path} {time.perf_counter() - begun:.1f} s")

    worker = threading.Thread(target=work)
    worker.start()
    seconds, statuses, wall = load(tokens, 10**9, demands, worker.is_alive)
    worker.join()
    print(f"while they ran: {', '.join(outcome) if len(outcome) == 2 else 'one of them failed'}")
    report(seconds, statuses, wall)
    access.revoke_token(context, name)


def result(path: str, body: object, token: str) -> dict[str, Any]:
    """What a request is answered, also where it becomes a job. Raises RuntimeError where it is refused or fails."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=600)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    document = json.loads(answer.read())
    if answer.status == ACCEPTED:
        followed(connection, document["status"], headers)
        connection.request("GET", document["status"], headers=headers)
        job = json.loads(connection.getresponse().read())
        document = job["result"] or job["problem"]
    if "detail" in document:
        raise RuntimeError(document["detail"])
    return document


def load(
    tokens: list[str], requests: int, demands: list[str], goes_on: Callable[[], bool] = lambda: True
) -> tuple[dict[str, list[float]], dict[int, int], float]:
    """Seconds by what was asked, answers by status, and the seconds of it all: of so many requests, or while it `goes_on`."""
    turns, lock = itertools.count(), threading.Lock()
    of_demands = [questions(demand) for demand in demands]
    kinds = list(of_demands[0])
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    statuses: dict[int, int] = {}

    def client(token: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)
        while goes_on() and (turn := next(turns)) < requests:
            kind, of_demand = kinds[turn % len(kinds)], of_demands[turn // len(kinds) % len(of_demands)]
            begun = time.perf_counter()
            method, path, body = of_demand[kind]
            status = ask(connection, method, path, body, token)
            with lock:
                seconds[kind].append(time.perf_counter() - begun)
                statuses[status] = statuses.get(status, 0) + 1

    threads = [threading.Thread(target=client, args=(token,)) for token in tokens]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds, statuses, time.perf_counter() - begun


def ask(connection: http.client.HTTPConnection | None, method: str, path: str, body: object, token: str = "") -> int:
    """The status of an answer; 0 where there is none."""
    connection = connection or http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        document = answer.read()
        return followed(connection, json.loads(document)["status"], headers) if answer.status == ACCEPTED else answer.status
    except (OSError, http.client.HTTPException):
        connection.close()
        return 0


def followed(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> int:
    """The status of a request that became a job, once that is done; 0 where it failed."""
    while True:
        time.sleep(0.05)
        connection.request("GET", path, headers=headers)
        state = json.loads(connection.getresponse().read())["state"]
        if state not in ("waiting", "running"):
            return ACCEPTED if state == "done" else 0


def report(seconds: dict[str, list[float]], statuses: dict[int, int], wall: float) -> None:
    total = sum(statuses.values())
    errors = sum(count for status, count in statuses.items() if status not in (200, 202))
    print(f"{total:,} requests in {wall:.1f} s ({total / wall:.0f}/s), {errors} errors; by status {statuses}")
    for name, values in seconds.items():
        p50, p95, p99 = np.percentile(values, [50, 95, 99]) * 1000
        print(f"  {name:<24} {len(values):>6,}   p50 {p50:7.0f} ms   p95 {p95:7.0f} ms   p99 {p99:7.0f} ms")


def memory(pid: int) -> float:
    """MiB that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def until(condition, patience: float = 120) -> float:
    """When a condition came true."""
    end = time.perf_counter() + patience
    while not condition():
        if time.perf_counter() > end:
            raise SystemExit("The server did not come up.")
        time.sleep(0.05)
    return time.perf_counter()


if __name__ == "__main__":
    main()
