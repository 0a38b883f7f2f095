"""The console as a browser without scripts sees it: real forms, whole pages."""

import html
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml
from starlette.testclient import TestClient

from found_platform.app import access, audiences
from found_platform.app.context import Actor, Context
from found_platform.audiences import specification
from found_platform.serving.doors import COOKIE

SAME = {"origin": "http://127.0.0.1:8321", "sec-fetch-site": "same-origin"}
FORM = {"sentence": "people who will soon buy gold", "mode": "aligned", "size_level": "top", "top": "25", "holdout": "20"}


@pytest.fixture
def browser(api) -> Iterator[TestClient]:
    """Somebody with the role marketer, signed in."""
    api.client.cookies.clear()
    answer = api.client.post("/sign-in", data={"token": api.tokens["marketer"]}, headers=SAME, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    yield api.client
    api.client.cookies.clear()


def test_who_is_not_signed_in_is_led_to_where_one_signs_in(api) -> None:
    api.client.cookies.clear()
    answer = api.client.get("/audiences", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    refused = api.client.post("/sign-in", data={"token": "fnd_made_up"}, headers=SAME)
    assert refused.status_code == 401
    assert "This token is unknown, expired or revoked" in refused.text


def test_a_link_signs_in_once(api) -> None:
    link = access.new_link(Context(api.home, Actor("ann", "cli")))
    api.client.cookies.clear()
    first = api.client.get(f"/sign-in?link={link}", follow_redirects=False)
    api.client.cookies.clear()
    second = api.client.get(f"/sign-in?link={link}", follow_redirects=False)
    assert (first.status_code, second.status_code) == (303, 401)
    assert COOKIE in first.headers["set-cookie"]
    assert "used already" in second.text


def test_a_session_ends_with_its_token_and_when_one_signs_out(api) -> None:
    context = Context(api.home, Actor("ann", "test"))
    secret = access.create_token(context, access.NewToken("short", "viewer")).secret
    for end in (lambda: api.client.post("/sign-out", headers=SAME), lambda: access.revoke_token(context, "short")):
        api.client.cookies.clear()
        api.client.post("/sign-in", data={"token": secret}, headers=SAME, follow_redirects=False)
        cookie = api.client.cookies[COOKIE]
        assert access.grant_of_session(context, cookie) is not None
        end()
        assert access.grant_of_session(context, cookie) is None
    api.client.cookies.clear()


def test_the_whole_way_works_with_forms_alone(api, browser: TestClient) -> None:
    start = browser.get("/?demands=yes").text
    assert len(re.findall('class="demand"', start)) >= 3
    seen = browser.post("/build", data=FORM, headers=SAME).text
    assert "<b>25</b>" in seen
    assert "score high enough" in seen
    assert seen.count("<title") >= 3  # of the page and of its charts
    assert "user-0-" not in seen, "a marketer sees pseudonyms"
    columns = {"column": "events_28d", "operator": ">=", "value": "3"}
    filtered = browser.post("/build", data={**FORM, **columns}, headers=SAME).text
    assert "match the filter" in filtered
    saved = browser.post("/build/save", data={**FORM, "name": "by-form"}, headers=SAME)
    while "/jobs/" in str(saved.url):
        saved = browser.get(str(saved.url))
    assert "by-form" in saved.text
    page = browser.get("/audiences/by-form").text
    assert "25" in page
    assert "does not export" in page
    user = re.search(r'class="user pseudonym" title="([0-9a-f]{32})"', page)
    assert user is not None
    why = browser.post("/audiences/by-form/why", data={"user": user[1]}, headers=SAME).text
    assert "A member" in why
    assert "by-form" in browser.get("/audiences").text
    wrong = browser.post("/audiences/by-form/forget", data={"confirm": "no"}, headers=SAME)
    assert (wrong.status_code, "Nothing was removed" in wrong.text) == (422, True)


def test_the_second_of_two_editors_keeps_the_form_and_is_told(api, browser: TestClient) -> None:
    context = Context(api.home, Actor("bob", "test"))
    draft = audiences.Draft(audiences.Question("people who will soon buy gold", mode="aligned"), audiences.Size(top=5))
    audiences.save(context, audiences.Save("shared", draft))
    edited = browser.get("/?audience=shared").text
    assert 'name="after" value="1"' in edited
    audiences.save(context, audiences.Save("shared", replace(draft, size=audiences.Size(top=6))))
    late = browser.post("/build/save", data={**FORM, "name": "shared", "after": "1"}, headers=SAME)
    assert late.status_code == 422
    assert "test:bob saved version 2" in late.text
    assert "people who will soon buy gold" in late.text


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"where": "nope = 1"}, "which is not there"),
        ({"top": "many"}, "The number of people is"),
        ({"horizon_days": "-1"}, "Days ahead is"),
        ({"column": "made_up", "operator": "=", "value": "1"}, "There is no column"),
        ({"column": "age_band", "operator": "=", "value": "' OR 1=1 --"}, "<b>0</b>"),
    ],
)
def test_what_cannot_be_asked_is_said_in_the_page(browser: TestClient, sent: dict[str, str], sentence: str) -> None:
    answer = browser.post("/build", data={**FORM, **sent}, headers={**SAME, "hx-request": "true"})
    assert answer.status_code == 200
    assert sentence in answer.text
    assert "<script>" not in answer.text


def test_what_a_person_writes_is_text_and_never_part_of_a_page(browser: TestClient) -> None:
    page = browser.post("/build", data={**FORM, "sentence": "<script>alert(1)</script>", "where": '"><b>'}, headers=SAME).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>" not in page
    assert '"><b>' not in page


def test_a_file_of_ids_is_left_out(api, browser: TestClient) -> None:
    lookup = api(
        "POST", "/look-ups", "exporter", json={"question": {k: FORM[k] for k in ("sentence", "mode")}, "size": {"top": 3}}
    ).json()
    ids = "user_id\n" + "\n".join(user["user_id"] for user in lookup["users"])
    files = {"exclude_file": ("ids.csv", ids.encode(), "text/csv")}
    seen = browser.post("/build", data=FORM, files=files, headers={**SAME, "hx-request": "true"}).text
    assert re.search(r"are not excluded.*?−3", seen, re.S)


@pytest.mark.parametrize("path", ["/models", "/models/champion", "/data", "/api/v1/docs", "/audiences"])
def test_pages_of_the_platform_open(browser: TestClient, path: str) -> None:
    assert browser.get(path).status_code == 200


def test_pages_lead_to_dagster_and_mlflow_where_those_run_beside_it(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    server = browser.app.state.server
    assert "http://127.0.0.1:3000" not in browser.get("/data").text
    beside = replace(server.options, dagster="http://127.0.0.1:3000", mlflow="http://127.0.0.1:5000")
    monkeypatch.setattr(server, "options", beside)
    assert 'href="http://127.0.0.1:3000/assets/user_tabular"' in browser.get("/data").text
    assert re.search(r'href="http://127.0.0.1:5000/#/models/found/versions/\d+"', browser.get("/models/champion").text)


def test_an_audience_is_kept_as_a_form_says(api, browser: TestClient) -> None:
    context = Context(api.home, Actor("bob", "test"))
    draft = audiences.Draft(audiences.Question("people who will soon buy gold", mode="aligned"), audiences.Size(top=5))
    audiences.save(context, audiences.Save("kept", draft))
    answer = browser.post("/audiences/kept/keep", data={"every": "never"}, headers=SAME, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/audiences/kept")
    page = browser.get("/audiences/kept").text
    assert "frozen" in page
    assert "/audiences/kept/refresh" not in page
    refused = api("POST", "/audiences/kept/refresh", "marketer")
    assert (refused.status_code, "is frozen" in refused.json()["detail"]) == (412, True)
    sends = api("PUT", "/audiences/kept/upkeep", "marketer", json={"every": "day", "deliver_to": []})
    assert (sends.status_code, "takes the scope export" in sends.json()["detail"]) == (403, True)
    assert api("PUT", "/audiences/kept/upkeep", "marketer", json={"every": "day"}).status_code == 200


def test_a_page_that_the_role_may_not_see_says_so(browser: TestClient) -> None:
    answer = browser.get("/audit")
    assert answer.status_code == 403
    assert "takes the scope audit" in answer.text


def test_a_page_that_says_what_was_wrong_leads_to_the_others(browser: TestClient) -> None:
    for path in ("/audit", "/audiences/made-up"):
        assert 'aria-label="Pages"' in browser.get(path).text


@pytest.mark.parametrize("path", ["/build", "/build/save", "/build/why", "/build/tune"])
def test_the_address_of_a_form_that_was_sent_leads_to_the_form(browser: TestClient, path: str) -> None:
    answer = browser.get(path, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    answer = browser.get("/audiences/gold/refresh", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/audiences/gold")
    assert browser.get("/audiences/gold/made-up", follow_redirects=False).status_code == 404


def test_people_who_are_known_make_a_prompt_that_finds_people_like_them(api, browser: TestClient) -> None:
    question = {"sentence": FORM["sentence"], "mode": "aligned"}
    lookup = api("POST", "/look-ups", "exporter", json={"question": question, "size": {"top": 4}}).json()
    seeds = [user["user_id"] for user in lookup["users"]]
    sent = {"sentence": FORM["sentence"], "size_level": "top", "top": "9", "prompt_name": "like-them"}
    few = browser.post("/build/tune", data={**sent, "seeds": seeds[0]}, headers=SAME)
    assert (few.status_code, "3 at least are needed" in few.text, seeds[0] in few.text) == (422, True, True)
    none = browser.post("/build/tune", data=sent, headers=SAME)
    assert (none.status_code, "three at least" in none.text) == (422, True)
    file = {"seeds_file": ("seeds.csv", ("user_id\n" + "\n".join([*seeds, "made-up"])).encode(), "text/csv")}
    tuned = browser.post("/build/tune", data=sent, files=file, headers=SAME)
    assert tuned.status_code == 200
    assert "The prompt like-them was made of 4 wanted and 0 unwanted people" in tuned.text
    assert "1 of the wanted ids have no history here (line 5)" in tuned.text
    assert "<option selected>like-them</option>" in tuned.text
    assert "<b>9</b>" in tuned.text
    assert "<b>" in browser.get("/?prompt=like-them").text


def test_an_audience_says_what_breaks_when_it_goes_and_why_its_refresh_failed(
    api, browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context(api.home, Actor("bob", "test"))
    question = audiences.Question("people who will soon buy gold", mode="aligned")
    audiences.save(context, audiences.Save("inner", audiences.Draft(question, audiences.Size(top=5))))
    audiences.save(context, audiences.Save("outer", audiences.Draft(question, audiences.Size(top=5), without=("inner",))))
    page = browser.get("/audiences/inner").text
    assert re.search(r'<a href="/audiences/outer">outer</a>\s+leaves its members out', page)
    assert 'id="confirm"' not in page
    monkeypatch.setattr("dagster_defs.failed_refresh.why", lambda *_: "The newest refresh was stopped.")
    assert "The newest refresh was stopped." in browser.get("/audiences/inner").text
    assert "The last refresh failed" in browser.get("/audiences").text


def test_members_of_a_version_before_are_said_to_be_so(api, browser: TestClient) -> None:
    """As after a process that was killed between a save and the end of its refresh."""
    context = Context(api.home, Actor("bob", "test"))
    question = audiences.Question("people who will soon buy gold", mode="aligned")
    audiences.save(context, audiences.Save("left-off", audiences.Draft(question, audiences.Size(top=5))))
    audiences.keep(context, audiences.Upkeep("left-off", every="week"))
    assert api("GET", "/audiences/left-off").json()["outdated"] is None
    wider = audiences.specified(context.settings, audiences.Draft(question, audiences.Size(top=6)), "left-off")
    specification.save(context.settings, wider)
    assert "The members here are those of version 1, and version 3 asks something else" in browser.get("/audiences/left-off").text
    audiences.refresh(context, "left-off")
    assert "asks something else" not in browser.get("/audiences/left-off").text


OUTCOME = "will:\n- do:\n    about:\n    - gold ring\n    channels:\n    - pay_bill\nwithin_days: 7\n"
BUILD = {"size_level": "top", "top": "25", "mode": "auto"}


def test_an_outcome_is_asked_and_saved_as_data(api, browser: TestClient) -> None:
    seen = browser.post("/build", data={**BUILD, "outcome": OUTCOME}, headers={**SAME, "hx-request": "true"}).text
    assert "<b>25</b>" in seen
    assert "Who will do something like “gold ring” as a purchase in the next 7 days" in seen
    saved = browser.post("/build/save", data={**BUILD, "outcome": OUTCOME, "name": "stated-by-form"}, headers=SAME)
    while "/jobs/" in str(saved.url):
        saved = browser.get(str(saved.url))
    assert "Who will do something like “gold ring” as a purchase in the next 7 days" in saved.text
    assert 'href="/?audience=stated-by-form"' in saved.text
    kept = api("GET", "/audiences/stated-by-form").json()["specification"]["outcome"]
    assert kept == {"will": [{"do": {"about": ["gold ring"], "channels": ["pay_bill"]}}], "within_days": 7}


def test_an_audience_of_an_outcome_is_edited_in_the_form_and_the_second_editor_is_told(api, browser: TestClient) -> None:
    body = {"question": {"outcome": yaml.safe_load(OUTCOME), "where": "events_28d >= 1"}, "size": {"top": 25}, "holdout": 0.2}
    assert api("PUT", "/audiences/stated", "marketer", json=body, headers={"if-none-match": "*"}).status_code == 200
    form = browser.get("/?audience=stated").text
    shown = re.search(r'<textarea id="outcome"[^>]*>(.*?)</textarea>', form, re.S)
    assert shown is not None
    text = html.unescape(shown[1])
    assert yaml.safe_load(text) == yaml.safe_load(OUTCOME)
    assert 'name="after" value="1"' in form
    assert 'name="name" value="stated"' in form
    assert "<b>25</b>" in form
    edited = {**BUILD, "name": "stated", "after": "1", "where": "events_28d >= 1", "holdout": "20"}
    edited["outcome"] = text.replace("within_days: 7", "within_days: 14")
    saved = browser.post("/build/save", data=edited, headers=SAME)
    while "/jobs/" in str(saved.url):
        saved = browser.get(str(saved.url))
    assert saved.status_code == 200
    answer = api("GET", "/audiences/stated")
    assert answer.headers["etag"] == '"v2"'
    kept = answer.json()["specification"]
    assert kept["outcome"]["within_days"] == 14
    assert (kept["where"], kept["holdout"], kept["top"]) == ("events_28d >= 1", 0.2, 25)
    versions = browser.get("/audiences/stated").text
    assert "<del>Who will do something like “gold ring” as a purchase in the next 7 days</del>" in versions
    assert "<ins>Who will do something like “gold ring” as a purchase in the next 14 days</ins>" in versions
    late = browser.post("/build/save", data={**edited, "outcome": text, "top": "9"}, headers=SAME)
    assert late.status_code == 422
    assert "saved version 2" in late.text
    assert "within_days: 7" in late.text, "what the second editor wrote is still there"


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"outcome": "will: [do"}, "the outcome, line 1 is not YAML"),
        ({"outcome": "gold"}, "the outcome holds no outcome"),
        ({"outcome": "will: {do: {chanels: [pay_bill]}}"}, "the outcome: will.0.do.chanels: there is no such key"),
        ({"outcome": OUTCOME, "sentence": "people who will soon buy gold"}, "There is a sentence and an outcome"),
        ({"outcome": "\n  will:\n    do: {about: [gold ring]}\n  within_days: 7\n"}, "<b>25</b>"),
        ({"outcome": '{"will": [{"do": {"about": ["gold ring"]}}], "within_days": 7}'}, "<b>25</b>"),
    ],
)
def test_an_outcome_is_yaml_or_json_and_a_slip_in_it_is_said(browser: TestClient, sent: dict[str, str], sentence: str) -> None:
    answer = browser.post("/build", data={**BUILD, **sent}, headers={**SAME, "hx-request": "true"})
    assert answer.status_code == 200
    assert sentence in html.unescape(answer.text)


def shown_fields(text: str) -> dict[str, str]:
    """The fields of the answer that the form sends with its own."""
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)" form="build">', text)
    areas = re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>(.*?)</textarea>', text, re.S)
    return {name: html.unescape(value) for name, value in [*hidden, *areas]}


def test_what_was_read_of_one_sentence_is_not_asked_for_the_next(browser: TestClient) -> None:
    headers = {**SAME, "hx-request": "true"}
    gold = {**BUILD, "sentence": "people who will soon buy gold", "name": "mine"}
    first = shown_fields(browser.post("/build", data=gold, headers=headers).text)
    assert first["phrases"]
    coffee = {**gold, "sentence": "people who will buy coffee"}
    anew = browser.post("/build", data=coffee, headers=headers).text
    assert browser.post("/build", data={**coffee, **first}, headers=headers).text == anew
    own = {**first, "phrases": "ring"}
    answer = browser.post("/build", data={**gold, **own}, headers=headers).text
    fields = shown_fields(answer)
    assert fields["phrases"] == "ring"
    assert "phrases_read" not in fields, "they are the person's own from now on"
    broken = shown_fields(browser.post("/build", data={**gold, **fields, "where": "events_28d >="}, headers=headers).text)
    assert (broken["phrases"], broken["name"]) == ("ring", "mine"), "a slip elsewhere takes nothing away"
    assert shown_fields(browser.post("/build", data={**gold, **broken}, headers=headers).text)["phrases"] == "ring"
