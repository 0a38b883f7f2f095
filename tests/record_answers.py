"""Writes the examples of the API's document: what each operation answers of a home, lists cut to their first.

python tests/record_answers.py HOME asks a copy of a home that `found demo` made. To be run after answers changed:
`test_api` holds every example against its schema.
"""

import datetime as dt
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from api_document import Document
from served_home import ADDRESS, Api
from starlette.testclient import TestClient

from found_platform.app import access
from found_platform.app.context import Actor, Context
from found_platform.serving.application import create_app
from found_platform.serving.options import Options

PLACE = Path(__file__).parents[1] / "found_platform" / "serving" / "api" / "examples.json"
NEW = {"if-none-match": "*"}
QUESTION = {"sentence": "people who will soon buy gold"}
DRAFT = {"question": QUESTION, "size": {"top": 20}, "holdout": 0.2}
MOST_KEYS = 30


def main(original: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(shutil.copytree(original, Path(folder) / "found"))
        context = Context(home, Actor("ann", "cli"))
        tokens = {role: access.create_token(context, access.NewToken(role.value, role)).secret for role in access.Role}
        app = create_app(Options(home, rate=100_000), warm=False)
        with TestClient(app, base_url=ADDRESS) as client:
            api = Api(client, tokens, home, Document(client.get("/api/v1/openapi.json").json()))
            answers = record(api, Path(folder))
    lines = [f"{json.dumps(name)}: {json.dumps(answer, ensure_ascii=False)}" for name, answer in answers.items()]
    PLACE.write_text("{\n" + ",\n".join(lines).replace(str(home), "found").replace(folder, "/srv") + "\n}\n")


def record(api: Api, folder: Path) -> dict[str, Any]:
    """By operation, its answer."""
    answers: dict[str, Any] = {}

    def ask(method: str, path: str, role: str = "admin", body: Any = None, headers: dict[str, str] | None = None) -> Any:
        options: dict[str, Any] = {"headers": headers or {}}
        answer = api(method, path, role, **options, **({} if body is None else {"json": body}))
        print(answer.status_code, method, path, "" if answer.is_success else answer.text)
        hit = api.document.operation(method, f"/api/v1{path}")
        if answer.is_success and hit is not None and answer.headers["content-type"] == "application/json":
            answers.setdefault(hit[0], cut(answer.json()))
        return answer.json() if answer.headers["content-type"].endswith("json") else None

    lookup = ask("POST", "/look-ups", "exporter", {"question": QUESTION, "size": {"top": 20}, "explain": True})
    ids = [user["user_id"] for user in lookup["users"]]
    ask("POST", "/previews", "marketer", {"draft": DRAFT})
    ask("POST", "/why", "marketer", {"draft": DRAFT, "user": ids[3]})
    ask("POST", "/rewritings", "marketer", {"sentence": QUESTION["sentence"]})
    for path in ("/published", "/demands", "/models", "/models/champion", "/status", "/drift", "/me"):
        ask("GET", path, "viewer")
    ask("PUT", "/prompts/like-our-best", "marketer", {"demand": QUESTION["sentence"], "seeds": ids[:8]}, NEW)
    ask("GET", "/prompts/like-our-best", "viewer")
    ask("POST", "/users", "exporter", {"user": ids[0]})
    ask("POST", "/users/consent", "exporter", {"user": ids[0]})
    ask("PUT", "/audiences/gold", "marketer", DRAFT, NEW)
    ask("GET", "/audiences", "viewer")
    ask("GET", "/audiences/gold", "viewer")
    ask("PUT", "/audiences/gold/upkeep", "marketer", {"every": "week"})
    ask("POST", "/audiences/gold/refresh", "marketer")
    ask("GET", "/audiences/gold/members?limit=2", "marketer")
    ask("GET", "/audiences/gold/moves?limit=2", "marketer")
    ask("GET", "/audiences/gold/lift", "viewer")
    (folder / "files").mkdir()
    ask("PUT", "/destinations/crm", "admin", {"address": f"csv+file://{folder}/files"}, NEW)
    ask("GET", "/destinations", "admin")
    ask("GET", "/destinations/crm", "admin")
    ask("POST", "/audiences/gold/deliveries", "exporter", {"to": "crm"})
    ask("GET", "/audiences/gold/deliveries", "viewer")
    ask("DELETE", "/destinations/crm", "admin")
    ask("POST", "/suppressions", "operator", {"users": ids[:2], "reason": "asked by letter"})
    ask("GET", "/suppressions", "operator")
    ask("POST", "/suppressions/lifted", "operator", {"users": ids[:2]})
    ask("PUT", "/holds/case-12", "admin", {"users": ids[:1], "reason": "asked by court"})
    ask("GET", "/holds", "admin")
    ask("DELETE", "/holds/case-12", "admin")
    ask("POST", "/expirations", "admin", {"dry_run": True})
    ask("POST", "/tokens", "admin", {"name": "crm", "role": "exporter", "days": 90})
    ask("GET", "/tokens", "admin")
    ask("DELETE", "/tokens/crm", "admin")
    cutoff = dt.date.fromisoformat(lookup["as_of"])
    ask("POST", "/publications", "operator", {"cutoff": str(cutoff)})
    ask("POST", "/promotions", "admin", {"version": lookup["model_version"]})
    ask("POST", "/rollbacks", "admin", {"what": "index"})
    ask("POST", "/backfills", "operator", {"first": str(cutoff - dt.timedelta(1)), "last": str(cutoff - dt.timedelta(1))})
    ask("DELETE", "/audiences/gold", "marketer")
    ask("POST", "/erasures", "admin", {"users": [ids[0]], "reason": "asked by letter"})
    ask("GET", "/audit?limit=1", "operator")
    return answers


def cut(value: Any, name: str = "") -> Any:
    """An answer as an example: lists are their first, long texts their beginning, secrets are none."""
    if isinstance(value, dict):
        return {key: cut(each, key) for key, each in list(value.items())[:MOST_KEYS]}
    if isinstance(value, list):
        return [cut(each) for each in (value if name == "changes" else value[:1])]
    if isinstance(value, str):
        return "fnd_…" if name == "secret" and value else value if len(value) < 300 else f"{value[:200]}…"
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main(Path(sys.argv[1]))
