"""The console in a real browser: the whole way with scripts, by keyboard, and nothing asked of anybody else.

It needs Playwright, a Chromium and axe-core, which are no dependency of the platform: `make browser` gets them, by the extra
`browser` and `tests/browser.sh`. AXE_CORE names another place of axe-core's `axe.min.js`.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from identity_provider import IdentityProvider
from served_home import listening

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make browser")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: make browser, or apt-get install chromium")
AXE = Path(os.environ.get("AXE_CORE", Path(__file__).parents[3] / ".venv" / "axe-core" / "axe.min.js"))
PAGES = (
    "/",
    "/?sentence=people+who+will+soon+buy+gold",
    "/?audience=by-outcome",
    "/audiences",
    "/audiences/by-browser",
    "/models",
    "/models/champion",
    "/data",
    "/audit",
    "/sign-in",
    "/api/v1/docs",
)
OUTCOME = "will:\n  do: {about: [gold ring], channels: [pay_bill]}\nwithin_days: 7\n"


@pytest.fixture(scope="module")
def address(served: tuple[Path, dict[str, str]]) -> Iterator[str]:
    """Where a server of the home listens."""
    with listening(served[0]) as place:
        yield place


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, address: str, served: tuple[Path, dict[str, str]]) -> Iterator[Any]:
    """A page of an admin who has signed in. Whatever is asked of anybody else, or refused by the policy, fails the test."""
    context = chromium.new_context(base_url=address)
    faults: list[str] = []
    opened = context.new_page()
    opened.set_default_timeout(120_000)  # a machine may be busy
    opened.on("request", lambda r: None if r.url.startswith((address, "data:")) else faults.append(r.url))
    opened.on("console", lambda m: faults.append(m.text) if m.type == "error" and "Content Security" in m.text else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto("/sign-in")
    opened.fill("#token", served[1]["admin"])
    opened.click("button.primary")
    opened.wait_for_url(re.compile(r"/$"))
    yield opened
    context.close()
    assert not faults


def test_from_a_sentence_to_an_export_and_why_somebody_is_in_it(page: Any) -> None:
    page.wait_for_selector(".demands li")
    page.fill("#sentence", "people who will soon buy gold")
    page.wait_for_selector(".count b")
    first = page.inner_text(".count b")
    page.select_option("select[name=column]", "events_28d")
    page.wait_for_selector("input[name=value][type=number]")
    page.fill("input[name=value][type=number]", "5")
    page.wait_for_selector("table.waterfall tr.filter")
    assert page.inner_text("table.waterfall tr.history .n") != page.inner_text("table.waterfall tr.filter .n")
    page.click("text=Give a number instead")
    page.fill("input[name=top]", "9")
    playwright.expect(page.locator(".count b")).to_have_text("9", timeout=20_000)
    assert first != "9"
    page.fill("#name", "by-browser")
    page.click("button[formaction='/build/save']")
    page.wait_for_url("**/audiences/by-browser", timeout=60_000)
    assert page.inner_text(".tiles dd").startswith("9")
    with page.expect_download() as download:
        page.click("button[value=csv]")
    assert Path(download.value.path()).read_text().count("\n") == 10
    user = page.inner_text("table .user >> nth=0")
    page.fill("#user", user)
    page.click(".why button")
    page.wait_for_selector("#standing .verdict")
    assert "A member" in page.inner_text("#standing")
    page.click("text=Refresh")
    page.wait_for_url("**/audiences/by-browser", timeout=60_000)


def test_the_whole_way_without_scripts(chromium: Any, address: str, served: tuple[Path, dict[str, str]]) -> None:
    context = chromium.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto("/sign-in")
    page.fill("#token", served[1]["marketer"])
    page.click("button.primary")
    page.fill("#sentence", "people who will soon buy gold")
    page.click("button:has-text('Preview')")
    assert int(page.inner_text(".count b").replace(",", "")) > 0
    page.fill("#name", "without-scripts")
    page.click("button[formaction='/build/save']")
    page.wait_for_url("**/audiences/without-scripts", timeout=120_000)
    user = page.inner_text("table .user >> nth=0")
    page.fill("#user", user)
    page.click(".why button")
    assert "A member" in page.inner_text("#standing")
    assert "Your role, marketer, does not export" in page.inner_text("main")
    page.goto("/")
    page.fill("#sentence", "")
    page.click("button:has-text('Preview')")
    assert page.locator("[role=alert]").count() or page.locator("main").inner_text().strip()
    context.close()


def test_an_outcome_is_saved_and_edited_as_data(page: Any) -> None:
    page.click("text=Write it as data")
    page.fill("#outcome", OUTCOME)
    page.wait_for_selector(".count b")
    assert "in the next 7 days" in page.inner_text("#answer .asked")
    page.fill("#name", "by-outcome")
    page.click("button[formaction='/build/save']")
    page.wait_for_url("**/audiences/by-outcome", timeout=60_000)
    page.click("a:has-text('Edit')")
    page.wait_for_selector("#outcome")
    edited = page.input_value("#outcome").replace("within_days: 7", "within_days: 14")
    page.fill("#outcome", edited)
    playwright.expect(page.locator("#answer .asked")).to_contain_text("in the next 14 days", timeout=20_000)
    page.click("text=Save version 2")
    page.wait_for_url("**/audiences/by-outcome", timeout=60_000)
    assert "in the next 14 days" in page.inner_text(".lead")
    assert "version 2" in page.inner_text(".versions")


def test_what_was_read_of_one_sentence_is_not_asked_for_the_next(page: Any) -> None:
    page.wait_for_selector("#sentence")
    page.fill("#sentence", "people who will soon buy gold")
    page.wait_for_selector("input[name=phrases_of][value='people who will soon buy gold']", state="attached")
    first = page.input_value("#phrases")
    page.fill("#sentence", "customers who will buy again")
    page.wait_for_selector("input[name=phrases_of][value='customers who will buy again']", state="attached")
    assert page.input_value("#phrases") != first


def test_somebody_signs_in_by_the_identity_provider_and_out_again(
    chromium: Any, address: str, identity_provider: IdentityProvider
) -> None:
    identity_provider.callbacks = [f"{address}/sign-in/callback"]
    context = chromium.new_context(base_url=address)
    opened, faults = context.new_page(), []
    opened.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    opened.goto("/sign-in")
    opened.click("text=Sign in with")
    opened.wait_for_url(f"{address}/")
    assert opened.inner_text(".me").startswith("oidc:ann@example.com")
    opened.click("button[aria-label='Sign out']")
    opened.wait_for_url("**/sign-in?left=yes")
    opened.click("text=Sign out at")  # a link: a form may not lead to another site
    opened.wait_for_url("**/sign-in")
    assert identity_provider.person is None
    opened.goto("/audiences")
    assert opened.url.endswith("/sign-in")
    context.close()
    assert not faults


def test_nothing_scrolls_sideways_on_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for path in PAGES:
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390, path


def test_the_slider_says_which_share_it_is_at(page: Any) -> None:
    page.click("text=Give a number instead")
    page.eval_on_selector("input[name=reach]", "e => { e.value = 40; e.dispatchEvent(new Event('input', {bubbles: true})); }")
    assert page.inner_text("label.line output") == "100%"
    playwright.expect(page.locator("input[value=reach]")).to_be_checked()


def test_a_late_answer_never_overwrites_a_newer_question(page: Any) -> None:
    delayed = []

    def hold_first(route: Any) -> None:
        if not delayed:
            delayed.append(route)  # it is answered only after the second one
            return
        route.continue_()

    page.route("**/build", hold_first)
    page.fill("#sentence", "people who will buy a phone")
    page.wait_for_timeout(700)
    assert delayed
    page.fill("#sentence", "people who will soon buy gold")
    page.wait_for_selector(".count b")
    page.eval_on_selector("#answer", "element => element.dataset.seen = 'newer'")
    answer = page.inner_html("#answer")
    try:
        delayed[0].continue_()
    except playwright.Error:
        return  # the browser has given the first question up
    page.wait_for_timeout(1500)
    assert page.inner_html("#answer") == answer


def test_the_keyboard_is_enough(page: Any) -> None:
    page.wait_for_selector("#sentence")
    page.keyboard.type("people who will soon buy gold")  # the field has the focus at once
    page.wait_for_selector(".count b")
    for _ in ("write it as data", "add a condition", "type a filter", "how many"):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")  # from balanced to broad
    playwright.expect(page.locator("input[value=broad]")).to_be_checked()


@pytest.mark.skipif(not AXE.exists(), reason="there is no axe-core: make browser, or AXE_CORE names its axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_accessible_in_light_and_dark(page: Any, path: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(path)
    page.wait_for_load_state("networkidle")
    for group in page.query_selector_all("details:not(.menu)"):
        group.evaluate("element => element.open = true")
    page.evaluate(AXE.read_text())
    result = page.evaluate("() => axe.run()")
    faults = {v["id"]: [f"{n['html'][:120]} {n['failureSummary'][:200]}" for n in v["nodes"][:3]] for v in result["violations"]}
    assert faults == {}
