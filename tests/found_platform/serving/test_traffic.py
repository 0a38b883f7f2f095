"""While people ask, the platform works: an index is published, taken back, audiences are refreshed, a person is erased. No request
fails, and no answer is made of two publications."""

import datetime as dt
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from served_home import listening

from found_platform.app import access, audit
from found_platform.app.context import Actor, Context
from found_platform.settings import Settings

THREADS = 8
QUESTION = {"sentence": "people who will soon buy gold", "mode": "aligned"}
DRAFT = {"question": QUESTION, "size": {"top": 25}, "holdout": 0.2}
PATIENCE = 300.0


@dataclass
class Answers:
    """What eight who ask were told. `scores` are those of each user by index version: they are the same in every answer."""

    failures: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    naming: list[tuple[float, set[str]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, kind: str, begun: float, body: dict[str, Any], users: dict[str, float]) -> None:
        name = body["index_version"]
        with self.lock:
            self.kinds[kind] += 1
            self.naming.append((begun, set(users)))
            if not name.startswith(f"v{body['model_version']}-{body['as_of']}-"):
                self.failures.append(f"{kind}: {name} is not of model {body['model_version']}, {body['as_of']}")
            of_this = self.scores.setdefault(name, {})
            for user, score in users.items():
                if abs(of_this.setdefault(user, score) - score) > 1e-4:
                    self.failures.append(f"{kind}: {user} scores {score} and {of_this[user]} in {name}")


def look_up(client: httpx2.Client, answers: Answers, *, exact: bool) -> None:
    begun = time.monotonic()
    body = ok(client.post("/api/v1/look-ups", json={"question": QUESTION, "size": {"top": 20}, "exact": exact})).json()
    scores = [user["score"] for user in body["users"]]
    assert scores == sorted(scores, reverse=True)
    answers.take(f"look-up, exact: {exact}", begun, body, {user["user_id"]: user["score"] for user in body["users"]})


def preview(client: httpx2.Client, answers: Answers) -> None:
    begun = time.monotonic()
    body = ok(client.post("/api/v1/previews", json={"draft": DRAFT})).json()
    steps = {step["gate"]: step["kept"] for step in body["waterfall"]}
    assert body["size"] == steps["level"] == 25
    assert sum(body["histogram"]["counts"]) == body["eligible"]
    answers.take("preview", begun, body, {user["user_id"]: user["score"] for user in body["sample"]})


def members(client: httpx2.Client, answers: Answers) -> None:
    """Two pages that belong together, whatever is refreshed between them."""
    begun = time.monotonic()
    first = ok(client.get("/api/v1/audiences/gold/members?limit=15")).json()
    second = ok(client.get(f"/api/v1/audiences/gold/members?limit=15&cursor={first['next']}")).json()
    assert (first["refresh"], first["index_version"]) == (second["refresh"], second["index_version"])
    users = [member["user"] for member in [*first["members"], *second["members"]]]
    assert len(users) == len(set(users)) >= 24  # of 25, one is erased
    answers.take("members", begun, first, {})


def published(client: httpx2.Client, answers: Answers) -> None:
    answers.take("published", time.monotonic(), ok(client.get("/api/v1/published")).json(), {})


def pages(client: httpx2.Client, answers: Answers) -> None:
    for path in ("/audiences/gold", "/audiences", "/?sentence=people+who+will+soon+buy+gold", "/models"):
        assert "</html>" in ok(client.get(path)).text
        with answers.lock:
            answers.kinds["page"] += 1


ASKED: tuple[Callable[[httpx2.Client, Answers], None], ...] = (
    lambda client, answers: look_up(client, answers, exact=False),
    lambda client, answers: look_up(client, answers, exact=True),
    preview,
    members,
    published,
    pages,
)


def ok(answer: httpx2.Response) -> httpx2.Response:
    assert answer.status_code == 200, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}"
    return answer


def ask_on(address: str, token: str, number: int, answers: Answers, stopping: threading.Event) -> None:
    headers = {"authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=address, headers=headers, timeout=PATIENCE, trust_env=False) as client:
        place = number
        while not stopping.is_set():
            try:
                ASKED[place % len(ASKED)](client, answers)
            except Exception as error:
                with answers.lock:
                    answers.failures.append(f"{type(error).__name__}: {error}")
            place += 1


def refresh_on(address: str, token: str, answers: Answers, stopping: threading.Event) -> None:
    """Refreshes the audience again and again, so that two runs are in the process at a time."""
    headers = {"authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=address, headers=headers, timeout=PATIENCE, trust_env=False) as client:
        while not stopping.wait(1.0):
            try:
                result_of(client, "POST", "/audiences/gold/refresh")
                with answers.lock:
                    answers.kinds["refresh"] += 1
            except Exception as error:
                with answers.lock:
                    answers.failures.append(f"refresh: {error}")


def result_of(client: httpx2.Client, method: str, path: str, **body: Any) -> dict[str, Any]:
    """The result of a change, which is followed to its end."""
    answer = client.request(method, f"/api/v1{path}", json=body or None)
    end = time.monotonic() + PATIENCE
    while answer.status_code == 202 or (answer.is_success and answer.json().get("state") in ("waiting", "running")):
        assert time.monotonic() < end
        time.sleep(0.2)
        answer = client.get(answer.headers.get("location") or str(answer.request.url))
    assert answer.is_success, answer.text
    document = answer.json()
    assert document.get("problem") is None, document["problem"]
    return document.get("result") or document


@pytest.fixture
def home(overtaken: Settings, tmp_path: Path) -> Path:
    """A home in which one model version has taken over from another: both are published."""
    return Path(shutil.copytree(overtaken.home, tmp_path / "found"))


@pytest.mark.slow
@pytest.mark.long
def test_nothing_fails_and_nothing_is_mixed_while_indexes_come_and_go_and_a_person_is_erased(home: Path, cutoff: dt.date) -> None:
    context = Context(home, Actor("ann", "test"))
    token = access.create_token(context, access.NewToken("everybody", "admin")).secret
    answers, stopping = Answers(), threading.Event()
    with (
        listening(home, rate=1_000_000, answer_seconds=PATIENCE) as address,
        httpx2.Client(base_url=address, headers={"authorization": f"Bearer {token}"}, timeout=PATIENCE, trust_env=False) as admin,
    ):
        ok(admin.put("/api/v1/audiences/gold", json=DRAFT, headers={"if-none-match": "*"}))
        before = audit.entries(context, audit.Part(action="find")).count
        who = ok(admin.post("/api/v1/look-ups", json={"question": QUESTION, "size": {"top": 20}})).json()["users"][3]["user_id"]
        asking = [threading.Thread(target=ask_on, args=(address, token, i, answers, stopping)) for i in range(THREADS)]
        asking.append(threading.Thread(target=refresh_on, args=(address, token, answers, stopping)))
        for thread in asking:
            thread.start()
        try:
            taken_back = result_of(admin, "POST", "/rollbacks", what="index")
            result_of(admin, "POST", "/publications", cutoff=str(cutoff))
            result_of(admin, "POST", "/erasures", users=[who], reason="asked by letter")
            erased = time.monotonic()
            result_of(admin, "POST", "/publications", cutoff=str(cutoff))
            result_of(admin, "POST", "/rollbacks", what="index")
        finally:
            stopping.set()
            for thread in asking:
                thread.join(PATIENCE)
    assert answers.failures == []
    assert taken_back["before"]["index"]["model_version"] != taken_back["after"]["index"]["model_version"]
    assert len(answers.scores) >= 4, "each publication has answered"
    assert min(n for kind, n in answers.kinds.items() if kind != "refresh") >= THREADS
    assert answers.kinds["refresh"] >= 2
    by_model: dict[str, dict[str, float]] = {}
    for name, scores in answers.scores.items():
        by_model.setdefault(name.split("-")[0], {}).update(scores)
    (one, other) = by_model.values()
    assert any(abs(one[user] - other[user]) > 1e-3 for user in one.keys() & other.keys()), "a mixture would show"
    assert not [begun for begun, users in answers.naming if begun > erased and who in users]
    finds = audit.entries(context, audit.Part(action="find")).count - before
    assert finds == 1 + sum(n for kind, n in answers.kinds.items() if kind.startswith("look-up")), "each look-up has its row"
