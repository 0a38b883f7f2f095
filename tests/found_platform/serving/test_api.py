"""What programs can ask, and how every answer is written."""

import hashlib
import json
import re
import time
from pathlib import Path

import pytest
from dagster._daemon.types import DaemonHeartbeat

from dagster_defs.execution import open_instance
from found_platform.app import audit
from found_platform.app.context import Actor, Context
from found_platform.privacy import keys
from found_platform.serving import metrics
from found_platform.settings import Settings

QUESTION = {"sentence": "people who will soon buy gold", "mode": "aligned"}
FIND = {"question": QUESTION, "size": {"top": 4}}
DRAFT = {"question": QUESTION, "size": {"top": 30}, "holdout": 0.2}
NEW = {"if-none-match": "*"}
VERSIONS = {"as_of", "model_version", "index_version", "exact"}


@pytest.fixture(scope="module")
def gold(api) -> str:
    """The ETag of an audience that is saved."""
    answer = api("PUT", "/audiences/gold", "marketer", json=DRAFT, headers={"if-none-match": "*"})
    assert answer.status_code == 200, answer.text
    return api("GET", "/audiences/gold").headers["etag"]


def test_users_are_pseudonyms_but_for_who_may_see_ids(api) -> None:
    hidden, shown = (api("POST", "/look-ups", role, json=FIND).json() for role in ("marketer", "exporter"))
    secret = keys.home_secret(Settings.load(api.home))
    ids = [user["user_id"] for user in shown["users"]]
    assert all(name.startswith("user-") for name in ids)
    assert [user["user_id"] for user in hidden["users"]] == [keys.user_key(secret, name) for name in ids]


@pytest.mark.parametrize("path", ["/audiences", "/published", "/demands", "/models", "/drift", "/status"])
def test_every_answer_says_as_of_when_and_by_which_versions(api, path: str) -> None:
    body = api("GET", path).json()
    assert body.keys() >= VERSIONS
    assert body["model_version"] == api("POST", "/look-ups", json=FIND).json()["model_version"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"question": {**QUESTION, "where": "nope = 1"}}, "The filter names the column 'nope', which is not there"),
        ({"question": {"sentence": ""}}, "The demand is empty"),
        ({"question": QUESTION, "size": {"top": 3, "min_score": 1}}, "An audience has one size"),
        ({"question": QUESTION, "colour": "red"}, "colour: there is no such field."),
        ({"question": QUESTION, "size": {"top": 0}}, "size.top: "),
        ([], "body"),
    ],
)
def test_a_wrong_request_is_one_sentence_as_the_command_line_prints_it(api, body: object, sentence: str) -> None:
    answer = api("POST", "/look-ups", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 422
    assert sentence.lower() in problem["detail"].lower() or sentence == "body"
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"user": "ann", "as_of": ' + b"9" * 6000 + b"}"])
def test_a_body_that_no_reader_takes_is_refused_in_a_sentence(opened, served, body: bytes) -> None:
    headers = {"authorization": f"Bearer {served[1]['marketer']}", "content-type": "application/json"}
    refused = opened().post("/api/v1/users", content=body, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("The body is no JSON object: send one")


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_day_on_which_nothing_can_have_happened_is_refused(api, day: str) -> None:
    refused = api("POST", "/users", "admin", json={"user": "ann", "as_of": day})
    assert (refused.status_code, "choose a day from 1700 to 2199" in refused.json()["detail"]) == (422, True)


def test_a_preview_counts_every_gate_and_why_names_the_one_that_is_closed(api) -> None:
    preview = api("POST", "/previews", json={"draft": DRAFT}).json()
    assert [step["gate"] for step in preview["waterfall"]] == ["history", "suppression", "level", "holdout"]
    assert preview["waterfall"][2]["kept"] == preview["size"] == 30
    member = preview["sample"][0]["user_id"]
    why = api("POST", "/why", json={"draft": DRAFT, "user": member}).json()
    assert (why["member"], why["rank"]) == (True, 1)
    assert api("POST", "/why", json={"draft": DRAFT, "user": "nobody"}).json()["gate"] == "unknown"


def test_the_second_of_two_editors_is_told_and_nothing_is_overwritten(api) -> None:
    def put(top: int = 30, **headers: str):
        return api("PUT", "/audiences/edited", "marketer", json={**DRAFT, "size": {"top": top}}, headers=headers)

    assert put(**{"if-none-match": "*"}).status_code == 200
    first = api("GET", "/audiences/edited").headers["etag"]
    assert put().status_code == 428
    assert put(**{"if-none-match": "*"}).status_code == 412
    assert put(**{"if-match": "v1"}).status_code == 412
    assert put(**{"if-match": first}).status_code == 200  # as it was: no version of its own
    assert put(31, **{"if-match": first}).status_code == 200
    second = put(**{"if-match": first})
    assert second.status_code == 412
    assert "api:marketer saved version 2 of 'edited'" in second.json()["detail"]
    assert api("GET", "/audiences/edited").headers["etag"] == '"v2"'
    kept = api("PUT", "/audiences/edited/upkeep", "marketer", json={"every": "day"}, headers={"if-match": first})
    assert (kept.status_code, "saved version 2" in kept.json()["detail"]) == (412, True)
    assert api("DELETE", "/audiences/edited", "marketer", headers={"if-match": first}).status_code == 412
    assert api("DELETE", "/audiences/edited", "marketer", headers={"if-match": '"v2"'}).is_success


def test_members_are_pages_that_fit_together(api, gold: str) -> None:
    whole = api("GET", "/audiences/gold/members?limit=30").json()
    first = api("GET", "/audiences/gold/members?limit=20").json()
    second = api("GET", f"/audiences/gold/members?limit=20&cursor={first['next']}").json()
    assert first["members"] + second["members"] == whole["members"]
    assert (len(second["members"]), second["next"]) == (10, None)
    assert api("GET", "/audiences/gold/members?cursor=made-up").status_code == 422


def test_an_export_is_a_file_with_its_hash_and_only_for_who_may(api, gold: str) -> None:
    assert api("POST", "/audiences/gold/exports", "marketer", json={}).status_code == 403
    answer = api("POST", "/audiences/gold/exports", "exporter", json={"format": "csv"})
    assert answer.headers["found-sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert len(answer.text.splitlines()) - 1 == int(answer.headers["found-users"]) == 30 - int(answer.headers["found-held-out"])
    assert "user-0-" in answer.text
    newest = audit.entries(Context(api.home, Actor("ann", "test"))).entries[0]
    assert (newest.who, newest.action, newest.audience) == ("api:exporter", "export", "gold")


def test_a_repeated_key_does_nothing_twice(api) -> None:
    headers = {"idempotency-key": "once"}
    answers = [api("POST", "/tokens", "admin", json={"name": "twice", "role": "viewer"}, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["secret"].startswith("fnd_")
    other = api("POST", "/tokens", "admin", json={"name": "other", "role": "viewer"}, headers=headers)
    assert (other.status_code, "another request" in other.json()["detail"]) == (422, True)
    names = [token["name"] for token in api("GET", "/tokens", "admin").json()["items"]]
    assert (names.count("twice"), names.count("other")) == (1, 0)
    assert api("DELETE", "/tokens/twice", "admin").status_code == 200
    gone = api.client.get("/api/v1/me", headers={"authorization": f"Bearer {answers[0].json()['secret']}"})
    assert gone.status_code == 401


def test_the_audit_is_pages_that_stay_as_they_were(api) -> None:
    first = api("GET", "/audit?limit=3", "operator").json()
    api("GET", "/me", role=None)  # a row more
    second = api("GET", f"/audit?limit=3&cursor={first['next']}", "operator").json()
    rows = audit.entries(Context(api.home, Actor("ann", "test"))).entries
    assert [row["at"] for row in first["entries"] + second["entries"]] == [str(row.at) for row in rows[1:7]]


def test_what_is_not_there_is_404_with_what_is(api, gold: str) -> None:
    answer = api("GET", "/audiences/nope")
    assert answer.status_code == 404
    assert re.search(r"there are .*\bgold\b", answer.json()["detail"])  # beside those of other files
    assert api("GET", "/models/77").status_code == 404
    assert api("GET", "/jobs/nope").status_code == 404


def test_only_who_operates_learns_where_the_home_is(api) -> None:
    for path in ("/audiences/nope", "/models/nope"):
        details = {role: api("GET", path, role).json()["detail"] for role in ("viewer", "operator")}
        assert (str(api.home) in details["viewer"], str(api.home) in details["operator"]) == (False, True)
        assert "this home" in details["viewer"]


def test_addresses_of_destinations_are_for_an_admin(api, tmp_path: Path) -> None:
    created = api("PUT", "/destinations/secret-place", "admin", json={"address": f"csv+file://{tmp_path}"}, headers=NEW)
    assert created.status_code == 200, created.text
    named, shown = (api("GET", "/destinations", role).json()["items"] for role in ("exporter", "admin"))
    assert named == [{"name": place["name"]} for place in shown]
    assert str(tmp_path) in str(shown)
    assert api("DELETE", "/destinations/secret-place", "admin").status_code == 200


def test_two_who_name_a_destination_overwrite_nothing_of_each_other(api, tmp_path: Path) -> None:
    def put(folder: str, **headers: str):
        (tmp_path / folder).mkdir(exist_ok=True)
        return api("PUT", "/destinations/shared", "admin", json={"address": f"csv+file://{tmp_path}/{folder}"}, headers=headers)

    assert put("a").status_code == 428
    assert put("a", **NEW).status_code == 200
    first = api("GET", "/destinations/shared").headers["etag"]
    assert api("GET", "/destinations/shared").json()["name"] == "shared"
    taken = put("b", **NEW)
    assert (taken.status_code, "so the name is taken" in taken.json()["detail"]) == (412, True)
    assert put("b", **{"if-match": first}).status_code == 200
    second = api("GET", "/destinations/shared").headers["etag"]
    late = put("c", **{"if-match": first})
    assert (late.status_code, "nothing is overwritten" in late.json()["detail"]) == (412, True)
    assert api("DELETE", "/destinations/shared", "admin", headers={"if-match": first}).status_code == 412
    assert api("GET", "/destinations/shared", "admin").json()["address"].endswith("/b")
    assert api("DELETE", "/destinations/shared", "admin", headers={"if-match": second}).status_code == 200
    gone = put("c", **{"if-match": first})
    assert (gone.status_code, "is gone" in gone.json()["detail"]) == (412, True)
    assert api("GET", "/destinations/shared").status_code == 404


def test_two_who_tune_a_prompt_overwrite_nothing_of_each_other(api) -> None:
    ids = [user["user_id"] for user in api("POST", "/look-ups", "exporter", json={**FIND, "size": {"top": 12}}).json()["users"]]

    def put(number: int, **headers: str):
        body = {"demand": "people who will buy gold", "seeds": ids[:number]}
        return api("PUT", "/prompts/shared", "marketer", json=body, headers=headers)

    assert put(6).status_code == 428
    created = put(6, **NEW)
    assert created.status_code == 200, created.text
    first = api("GET", "/prompts/shared").headers["etag"]
    assert created.json()["made_from"] in first
    assert put(7, **NEW).status_code == 412
    assert put(7, **{"if-match": first}).status_code == 200
    late = put(8, **{"if-match": first})
    assert (late.status_code, "nothing is overwritten" in late.json()["detail"]) == (412, True)
    assert api("GET", "/prompts/shared").json()["seeds"] == 7
    assert api("GET", "/prompts/nobody-tuned").status_code == 404


def test_moves_are_pages_that_fit_together(api, gold: str) -> None:
    whole = api("GET", "/audiences/gold/moves").json()
    first = api("GET", "/audiences/gold/moves?limit=20").json()
    second = api("GET", f"/audiences/gold/moves?limit=20&cursor={first['next']}").json()
    assert first["joined"] + second["joined"] == whole["joined"]
    assert (len(whole["joined"]), second["next"], whole["next"]) == (30, None, None)


def test_users_are_suppressed_by_id_and_left_out_from_then_on(api) -> None:
    best = api("POST", "/look-ups", "exporter", json=FIND).json()["users"][0]["user_id"]
    assert api("POST", "/suppressions", "operator", json={"users": [best], "reason": "asked"}).json()["changed"] == 1
    why = api("POST", "/why", json={"draft": DRAFT, "user": best}).json()
    assert why["gate"] == "suppression"
    assert api("POST", "/suppressions/lifted", "operator", json={"users": [best]}).json()["changed"] == 1


def test_only_an_admin_erases_and_the_reason_names_nobody(api) -> None:
    body = {"users": ["nobody-we-know"], "reason": "nobody-we-know wrote"}
    assert api("POST", "/erasures", "operator", json=body).status_code == 403
    refused = api("POST", "/erasures", "admin", json=body)
    assert refused.status_code == 422
    assert "names one of the persons" in refused.json()["detail"]


def test_the_document_names_every_operation_once(api) -> None:
    document = api.client.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operations = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert len(operations) == len(set(operations)) > 30
    assert not [path for path in document["paths"] if not path.startswith(("/api/v1", "/healthz", "/readyz", "/metrics"))]
    json.dumps(document)


def test_the_document_describes_every_answer_and_its_examples_fit(api) -> None:
    """A refusal is a problem everywhere; an answer has fields and an example, but for files, and for what needs weeks to pass."""
    without_example = set()
    for path, methods in api.document.content["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                content = response.get("content", {})
                assert content or status == "422", (method, path, status)
                if path.startswith("/api/v1") and status >= "400":
                    assert content["application/problem+json"]["schema"]["$ref"].endswith("/Problem"), (method, path, status)
                media = content.get("application/json")
                if media is None or not path.startswith("/api/v1") or response["description"] != "The answer":
                    continue
                assert media["schema"].get("properties"), (method, path)
                if "example" in media:
                    assert api.document.mismatch(media["schema"], media["example"]) is None, (method, path)
                else:
                    without_example.add(f"{method} {path}")
    assert without_example == {"get /api/v1/audiences/{name}/lift", "delete /api/v1/sessions/{name}"}


def test_health_needs_no_token_and_figures_do(api) -> None:
    assert api.client.get("/healthz").json() == {"status": "alive"}
    assert api.client.get("/readyz").status_code == 503  # this server was not warmed
    assert api.client.get("/metrics").status_code == 401
    text = api.client.get("/metrics", headers={"authorization": f"Bearer {api.tokens['viewer']}"}).text
    assert 'found_request_seconds_count{method="GET",route="/healthz"' in text


def test_the_figures_of_the_home_show_a_dead_daemon_and_what_is_behind(api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "FRESH_SECONDS", 0.0)
    with open_instance(Settings.load(api.home)) as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 600, "SCHEDULER", "1", []))
    text = api.client.get("/metrics", headers={"authorization": f"Bearer {api.tokens['viewer']}"}).text
    values = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")}
    assert values["found_home_readable"] == 1
    assert values['found_daemon_heartbeat_age_seconds{daemon="SCHEDULER"}'] >= 600
    assert values['found_partitions_missing{asset="user_tabular"}'] == 0
    for name in ("found_quarantined_rows", "found_newest_day_age_days", "found_disk_free_bytes", 'found_runs{state="queued"}'):
        assert name in values


def test_a_request_is_told_apart_by_its_number(api) -> None:
    assert api.client.get("/healthz", headers={"x-request-id": "from-the-proxy"}).headers["x-request-id"] == "from-the-proxy"
    assert api.client.get("/healthz", headers={"x-request-id": 'a b"c'}).headers["x-request-id"].isalnum()


def test_a_prompt_without_users_is_refused_in_a_sentence(api) -> None:
    answer = api("PUT", "/prompts/gold", "marketer", json={"demand": "people who will buy gold", "seeds": []}, headers=NEW)
    assert answer.status_code == 422
    assert "seed" in answer.json()["detail"]
