"""Use cases: each that shows a person or changes a home leaves its rows in the audit, by the actor who asked, and no id in them."""

import contextlib
import datetime as dt
import importlib
import io
import pkgutil
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from campaign_times import dated, midnight

import found_platform.app
from found_platform import registry
from found_platform.app import (
    access,
    audiences,
    audit,
    benchmarks,
    deliveries,
    figures,
    graph,
    housekeeping,
    lookups,
    members,
    models,
    monitoring,
    offers,
    operations,
    prompts,
    records,
    retention,
    rewriting,
    sources,
    users,
)
from found_platform.app.context import Actor, Context
from found_platform.app.document import as_document
from found_platform.app.lookups import Question, Size
from found_platform.app.progress import AssetDone, DaysDone, Event, Expected, Opened, Working
from found_platform.app.use_case import USE_CASES, Effect
from found_platform.audiences import membership
from found_platform.errors import BadInput, JobFailed
from found_platform.settings import Settings

for module in pkgutil.iter_modules(found_platform.app.__path__):
    importlib.import_module(f"found_platform.app.{module.name}")

ANN = Actor("ann", "test")
NOWHERE = Path("nowhere") / "orders.csv"
GOLD = Question("people who will soon buy gold", mode="aligned")


@pytest.fixture(scope="module")
def context(overtaken: Settings, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Ann, who asks of a home in which a newer version has taken over."""
    return Context(Path(shutil.copytree(overtaken.home, tmp_path_factory.mktemp("app") / "found")), ANN)


@pytest.fixture(scope="module")
def ids(context: Context) -> list[str]:
    """Users of the home, by the ids of the source."""
    answer = lookups.find(context, lookups.Find(GOLD, Size(top=40)))
    return [user.user_id for user in answer.audience.users]


@pytest.fixture(scope="module")
def seeds(ids: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a few of them."""
    path = tmp_path_factory.mktemp("files") / "seeds.csv"
    path.write_text("user_id\n" + "".join(f"{name}\n" for name in ids[:10]))
    return path


Call = Callable[[Context, Path, str, Path], Any]
"""Over a context, a file of users, one user's id and a folder to write to."""

NEEDS_A_SERVER = {"database.move", "database.move_lake"}
"""Whose rows `test_postgres` and `test_lake_on_objects` ask for."""

CALLS: dict[str, Call] = {  # in this order: a later one needs what an earlier one leaves
    "lookups.find": lambda c, seeds, user, out: lookups.find(c, lookups.Find(GOLD, Size(top=3), exclude=seeds, explain=True)),
    "lookups.export": lambda c, seeds, user, out: lookups.export(
        c, lookups.Export(lookups.Find(GOLD, Size(top=3)), out / "found.csv")
    ),
    "users.show": lambda c, seeds, user, out: users.show(c, users.Show(user)),
    "users.consent": lambda c, seeds, user, out: users.consent(c, users.ConsentOf(user)),
    "users.export": lambda c, seeds, user, out: users.export(c, users.ExportOf(user, out / "user.json")),
    "users.suppress": lambda c, seeds, user, out: users.suppress(c, users.Suppress(seeds, "moved")),
    "users.list_suppressed": lambda c, seeds, user, out: users.list_suppressed(c),
    "users.lift_suppression": lambda c, seeds, user, out: users.lift_suppression(c, users.Suppress(seeds)),
    "prompts.tune": lambda c, seeds, user, out: prompts.tune(c, prompts.Tune("gold", "people who will buy gold", seeds)),
    "access.create_token": lambda c, seeds, user, out: _kept_secret(
        access.create_token(c, access.NewToken("ann", "viewer")).secret
    ),
    "access.new_link": lambda c, seeds, user, out: access.new_link(c),
    "access.sign_in": lambda c, seeds, user, out: access.sign_in(c, access.SignIn(token=SECRETS[-1])),
    "access.sign_in_by_provider": lambda c, seeds, user, out: _refused(
        lambda: access.sign_in_by_provider(c, access.arrival("http://127.0.0.1:8321/sign-in/callback", "", ""))
    ),
    "access.end_sessions": lambda c, seeds, user, out: access.end_sessions(c, "ann"),
    "access.sign_out": lambda c, seeds, user, out: access.sign_out(c, "nobody's session"),
    "access.revoke_token": lambda c, seeds, user, out: access.revoke_token(c, "ann"),
    "access.refuse": lambda c, seeds, user, out: access.refuse(c, access.Refusal("GET", "/api/v1/tokens", "no scope")),
    "audiences.preview": lambda c, seeds, user, out: audiences.preview(
        c, audiences.Previewing(audiences.Draft(GOLD, Size(top=9)), plot=out / "scores.png")
    ),
    "audiences.save": lambda c, seeds, user, out: audiences.save(
        c, audiences.Save("gold", audiences.Draft(GOLD, Size(top=20), (seeds,), holdout=0.5))
    ),
    "audiences.keep": lambda c, seeds, user, out: audiences.keep(c, audiences.Upkeep("gold", every="week")),
    "members.why": lambda c, seeds, user, out: members.why(c, members.Why(user, name="gold")),
    "members.page": lambda c, seeds, user, out: members.page(c, members.Page("gold")),
    "members.moves": lambda c, seeds, user, out: members.moves(c, members.MovesOf("gold")),
    "audiences.refresh": lambda c, seeds, user, out: audiences.refresh(c, "gold"),
    "audiences.lift": lambda c, seeds, user, out: _lift_of_a_past_refresh(c),
    "deliveries.add_destination": lambda c, seeds, user, out: deliveries.add_destination(
        c, deliveries.NewDestination("crm", "http://127.0.0.1:9/hook")
    ),
    "deliveries.deliver": lambda c, seeds, user, out: _failed(lambda: deliveries.deliver(c, deliveries.Deliver("gold", "crm"))),
    "deliveries.remove_destination": lambda c, seeds, user, out: deliveries.remove_destination(
        c, deliveries.RemoveDestination("crm")
    ),
    "audiences.export": lambda c, seeds, user, out: audiences.export(c, audiences.Export("gold", out / "gold.parquet")),
    "audiences.forget": lambda c, seeds, user, out: audiences.forget(c, "gold"),
    "models.roll_back_index": lambda c, seeds, user, out: models.roll_back_index(c),
    "models.roll_back_model": lambda c, seeds, user, out: models.roll_back_model(c),
    "models.promote": lambda c, seeds, user, out: models.promote(c, registry.versions(c.settings)[0].version),
    "graph.backfill": lambda c, seeds, user, out: graph.backfill(c, graph.Backfill("2026-01-02", "2026-01-02")),
    "graph.run": lambda c, seeds, user, out: graph.run(c, graph.Run()),
    "models.publish": lambda c, seeds, user, out: models.publish(c, registry.versions(c.settings)[0].tags["cutoff"]),
    "sources.pull": lambda c, seeds, user, out: sources.pull(c),
    "benchmarks.run": lambda c, seeds, user, out: _refused(lambda: benchmarks.run(c, benchmarks.Run(cutoff="1999-01-01"))),
    "rewriting.train": lambda c, seeds, user, out: _refused(
        lambda: rewriting.train(c, rewriting.Train(str(out / "no model"), out / "adapter"))
    ),
    "housekeeping.collect": lambda c, seeds, user, out: housekeeping.collect(c, housekeeping.Collect()),
    "housekeeping.back_up": lambda c, seeds, user, out: housekeeping.back_up(c, out / "backup"),
    "housekeeping.restore": lambda c, seeds, user, out: _lost_and_restored(c, out / "backup"),
    "retention.place_hold": lambda c, seeds, user, out: retention.place_hold(c, retention.PlaceHold("case-12", seeds)),
    "retention.remove_hold": lambda c, seeds, user, out: retention.remove_hold(c, "case-12"),
    "retention.expire": lambda c, seeds, user, out: retention.expire(c, retention.Expire()),
    "users.erase": lambda c, seeds, user, out: users.erase(
        c, users.Erase((user,), "asked by letter")
    ),  # no earlier index is left after it
}
"""A call of each use case that declares rows."""


SECRETS: list[str] = []


def _kept_secret(secret: str) -> None:
    SECRETS.append(secret)


def _lift_of_a_past_refresh(context: Context) -> None:
    refresh = membership.last(context.settings, "gold")
    assert refresh is not None
    dated(context.settings, refresh, midnight(refresh.as_of, -20))
    audiences.lift(context, audiences.Measure("gold", days=1, texts=("gold ring",)))


def _lost_and_restored(context: Context, backup: Path) -> None:
    context.home.rename(backup.with_name("lost"))
    housekeeping.restore(context, housekeeping.Restore(backup))


def _failed(call: Callable[[], Any]) -> None:
    """It is begun, and nobody takes it."""
    with pytest.raises(JobFailed):
        call()


def _refused(call: Callable[[], Any]) -> None:
    """It is asked for, and cannot be done."""
    with pytest.raises(BadInput):
        call()


def test_every_use_case_that_shows_somebody_or_changes_something_leaves_its_rows_and_no_id(
    context: Context, ids: list[str], seeds: Path, tmp_path: Path
) -> None:
    from found_platform.privacy import keys

    telling = {name: case for name, case in USE_CASES.items() if case.rows}
    assert all(case.rows for case in USE_CASES.values() if case.effect is not Effect.READS)
    assert {*CALLS, *NEEDS_A_SERVER} == set(telling), "a use case without a call here is not checked"
    secret = keys.home_secret(context.settings)
    unnamed = [*ids, *(keys.user_key(secret, user) for user in ids)]
    for name, call in CALLS.items():
        before = audit.entries(context).count
        call(context, seeds, ids[20], tmp_path)
        log = audit.entries(context)
        rows = log.entries[: log.count - before]
        assert [row.action for row in reversed(rows)] == list(telling[name].rows), name
        assert {row.who for row in rows} == {"test:ann"}, name
        written = " ".join(str(as_document(row)) for row in rows)
        assert not [user for user in unnamed if user in written], name


def test_every_other_use_case_only_reads_and_leaves_no_row(context: Context) -> None:
    reading = {
        "audit.entries": lambda: audit.entries(context),
        "audiences.list_saved": lambda: audiences.list_saved(context),
        "audiences.show": lambda: _refused(lambda: audiences.show(context, "nobody-saved-this")),
        "benchmarks.show": lambda: benchmarks.show(context, benchmarks.At()),
        "benchmarks.compare": lambda: benchmarks.compare(context, benchmarks.Compare()),
        "graph.status": lambda: graph.status(context),
        "operations.diagnose": lambda: operations.diagnose(context),
        "figures.figures": lambda: figures.figures(context),
        "operations.channels": lambda: operations.channels(context),
        "operations.alert": lambda: _refused(lambda: operations.alert(context)),
        "operations.try_channels": lambda: _refused(lambda: operations.try_channels(context)),
        "access.list_tokens": lambda: access.list_tokens(context),
        "access.has_tokens": lambda: access.has_tokens(context),
        "access.provider": lambda: access.provider(context),
        "access.depart": lambda: _refused(lambda: access.depart(context, "http://127.0.0.1:8321/sign-in/callback")),
        "access.leave": lambda: _refused(lambda: access.leave(context, "http://127.0.0.1:8321/sign-in")),
        "access.grant_of_token": lambda: access.grant_of_token(context, "fnd_0_0"),
        "access.grant_of_session": lambda: access.grant_of_session(context, "0"),
        "audiences.versions": lambda: _refused(lambda: audiences.versions(context, "nobody-saved-this")),
        "monitoring.drift": lambda: monitoring.drift(context),
        "monitoring.drift_page": lambda: _refused(lambda: monitoring.drift_page(context, dt.date(1999, 1, 1))),
        "deliveries.destination": lambda: _refused(lambda: deliveries.destination(context, "nobody-named-this")),
        "prompts.show": lambda: _refused(lambda: prompts.show(context, "nobody-tuned-this")),
        "deliveries.list_destinations": lambda: deliveries.list_destinations(context),
        "deliveries.history": lambda: deliveries.history(context, "nobody-saved-this"),
        "records.records": lambda: records.records(context, records.Page()),
        "retention.list_holds": lambda: retention.list_holds(context),
        "offers.serving": lambda: offers.serving(context),
        "offers.warm": lambda: offers.warm(context),
        "offers.published": lambda: offers.published(context),
        "offers.demands": lambda: offers.demands(context),
        "models.list_versions": lambda: models.list_versions(context),
        "models.show": lambda: models.show(context, "champion"),
        "rewriting.rewrite": lambda: rewriting.rewrite(context, rewriting.Rewrite("people who will soon buy gold")),
        "sources.init": lambda: _refused(lambda: sources.init(context, sources.Init((NOWHERE,), NOWHERE))),
        "sources.check": lambda: _refused(lambda: sources.check(context, context.home / "no.yaml")),
    }
    assert set(reading) == {name for name, case in USE_CASES.items() if not case.rows}
    before = audit.entries(context).count
    for call in reading.values():
        call()
    assert audit.entries(context).count == before


def test_whoever_asks_is_named_in_what_they_save_also_through_a_run(context: Context) -> None:
    draft = audiences.Draft(GOLD, Size(top=5))
    (row,) = audiences.save(Context(context.home, Actor("bob", "api")), audiences.Save("bobs", draft)).audiences
    assert row.specification.created_by == "api:bob"
    assert row.refresh is not None
    assert row.refresh.refreshed_by == "api:bob"
    assert audit.entries(context).entries[0].who == "api:bob"


def test_a_long_use_case_tells_how_far_it_is_and_prints_nothing(settings: Settings, tmp_path: Path) -> None:
    events: list[Event] = []
    home = Path(shutil.copytree(settings.home, tmp_path / "found"))
    listening = Context(home, ANN, events.append)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        ran = graph.run(listening, graph.Run())
        filled = graph.backfill(listening, graph.Backfill("2026-01-02", "2026-01-03", assets=("raw_events",)))
    assert printed.getvalue() == ""
    assert isinstance(events[0], Opened)
    assert events[0].cutoff == ran.cutoff
    assert {e.on for e in events if isinstance(e, Working)} >= set(ran.materialized)
    assert [e.asset for e in events if isinstance(e, AssetDone)] == list(ran.materialized)
    (expected,) = (e for e in events if isinstance(e, Expected))
    assert expected.days == {"raw_events": 0}, "the days are there: nothing is to be made"
    assert events[-1] == DaysDone("raw_events", filled.assets["raw_events"].materialized, filled.assets["raw_events"].materialized)
