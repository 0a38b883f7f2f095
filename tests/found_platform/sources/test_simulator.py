"""The simulator: repeatable whatever the shards, a day at a time, lifelike in its tails, with an oracle that is calibrated."""

import datetime as dt
import hashlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from found_platform.contract import midnight
from found_platform.settings import Settings
from found_platform.sources.config import Simulation, SourceConfig
from found_platform.sources.simulator import drifts, scenarios, world, write
from found_platform.sources.simulator.days import alive, campaign, wishes
from found_platform.sources.simulator.events import day_of_block
from found_platform.sources.simulator.people import BLOCK, people

START = dt.date(2026, 1, 1)
ASKED = Simulation(users=3 * BLOCK, days=100, seed=7)
CUTOFF = START + dt.timedelta(days=72)


@pytest.fixture(scope="module")
def history() -> tuple[pa.Table, pa.Table]:
    """Events and outcomes of 3,072 users over 100 days."""
    days = [day_of_block(7, block, START, day, ASKED.users) for block in range(3) for day in range(100)]
    events, outcomes = (pa.concat_tables(tables) for tables in zip(*days, strict=True))
    return events, outcomes


def test_the_world_is_frozen() -> None:
    """A change of a parameter or of what is drawn is a new version, with a table of its own in docs/simulator.md."""
    events, outcomes = day_of_block(7, 1, START, 30, 3 * BLOCK)
    rows = json.dumps([events.to_pydict(), outcomes.to_pydict()], default=str)
    drawn = hashlib.sha256(rows.encode()).hexdigest()[:16]
    assert (write.VERSION, world().fingerprint, drawn) == (1, "83fd9622fa4c5ced", "c4d80c1812e5127a")
    assert world().fingerprint in (Path(__file__).parents[3] / "docs" / "simulator.md").read_text()


def test_a_day_can_be_drawn_alone_and_a_user_does_not_depend_on_how_many_there_are() -> None:
    events, outcomes = day_of_block(7, 1, START, 30, 3 * BLOCK)
    for d in (31, 29, 5):
        day_of_block(7, 0, START, d, 3 * BLOCK)
    again, outcomes_again = day_of_block(7, 1, START, 30, 3 * BLOCK)
    assert events.equals(again)
    assert outcomes.equals(outcomes_again)
    fewer, _ = day_of_block(7, 1, START, 30, BLOCK + 100)
    few = {f"user-7-{BLOCK + i:06d}" for i in range(100)}
    columns = [c for c in events.column_names if c != "event_id"]
    assert events.filter(pc.is_in(events["user_id"], pa.array(sorted(few)))).select(columns).equals(fewer.select(columns))
    assert not day_of_block(8, 1, START, 30, 3 * BLOCK)[0].select(["text"]).equals(events.select(["text"]))


def files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*.parquet"))}


def generated(home: Path, **changes: int) -> dict[str, str]:
    settings = Settings.load(home)
    write.generate(settings, SourceConfig.model_validate({"name": "simulated", "simulator": {"seed": 7, **changes}}))
    return files(home / "simulated") | files(settings.truth)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_whatever_the_processes_and_the_days_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine blocks are two shards: on two processes, and on one with more days to come."""
    users = 9 * BLOCK
    two = generated(tmp_path / "two", users=users, days=14)
    assert len(two) == 2 * 2 * 14 + 1
    monkeypatch.setattr(write.os, "cpu_count", lambda: 1)
    longer = generated(tmp_path / "longer", users=users, days=15)
    assert {name: longer[name] for name in two} == two
    assert len(longer) > len(two)


def test_what_is_drawn_before_there_is_a_home_is_written_to_it_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = Simulation(users=300, days=14, seed=5, drifts={"dead_channel": START + dt.timedelta(days=7)})
    source = write.discover(SourceConfig(name="s", simulator=simulation))

    def files(folder: str) -> dict[Path, bytes]:
        settings = Settings.load(tmp_path / folder)
        write.generate(settings, source)
        return {p.relative_to(settings.home): p.read_bytes() for p in sorted(settings.home.rglob("*.parquet"))}

    alone = files("alone")
    write.draw_ahead(Simulation(users=300, days=14, seed=6))
    assert files("another's") == alone
    write.draw_ahead(simulation.model_copy())
    monkeypatch.setattr(write, "_days", None)  # nothing is drawn again
    assert files("ahead") == alone
    assert len(alone) == 2 * 14 + 1
    assert not write._drawn
    write.draw_ahead(Simulation(users=20_000, days=14))
    assert not write._drawn, "several processes draw those"


@pytest.mark.slow
def test_the_week_is_common_and_bills_come_once_a_month(history: tuple[pa.Table, pa.Table]) -> None:
    events, _ = history
    weekday = np.bincount(pc.day_of_week(events["event_time"]).to_numpy(), minlength=7)[:7]
    days = np.bincount([(START + dt.timedelta(days=d)).weekday() for d in range(100)])
    rate = weekday / days
    assert rate[5] > 1.1 * rate[:4].mean()
    bills = events.filter(pc.and_(pc.equal(events["channel"], "pay_bill"), pc.match_substring(events["text"], "electricity bill")))
    by_user: dict[str, set[int]] = {}
    for user, time in zip(bills["user_id"].to_pylist(), bills["event_time"].to_pylist(), strict=True):
        by_user.setdefault(user, set()).add(time.day)
    assert len(by_user) > 500
    # official names carry a product's loyal payers; strays and synonyms aside, a bill has its day of the month
    assert np.mean([len(days) == 1 for days in by_user.values()]) > 0.95


def test_some_campaigns_work_and_some_do_not() -> None:
    """Exposure is by chance, so those exposed against those not show a campaign's effect, and no effect where it has none."""
    rates = {strength: np.zeros(4) for strength in world().raw["campaign"]["strength"]}
    for block in range(4):
        for week in range(12):
            first = 3 + 7 * week  # campaigns change on Sundays
            ad = campaign(START, first)
            exposed, bought = np.zeros(BLOCK, bool), np.zeros(BLOCK, bool)
            for day in range(first, first + 7):
                assert campaign(START, day) == ad
                of_day, reached = wishes(7, block, START, day)
                exposed[reached] = True
                bought[of_day.user[(of_day.leaf == ad.leaf) & (of_day.pays_after >= 0)]] = True
            here = alive(people(7, block), first)
            for side, who in enumerate((exposed & here, ~exposed & here)):
                rates[ad.strength][2 * side : 2 * side + 2] += (who & bought).sum(), who.sum()
    strong, none = rates[0.6], rates[0.0]
    assert strong[0] / strong[1] > 1.5 * strong[2] / strong[3]
    spread = np.sqrt(none[0]) / none[1]
    assert abs(none[0] / none[1] - none[2] / none[3]) < 3 * spread


def test_every_channel_is_there_with_long_tails(history: tuple[pa.Table, pa.Table]) -> None:
    events, outcomes = history
    assert set(events["channel"].unique().to_pylist()) == {"pay_bill", "spm", "mini_program", "search"}
    per_user = np.sort(pc.value_counts(events["user_id"]).field("counts").to_numpy())[::-1]
    assert per_user[: len(per_user) // 10].sum() > 0.3 * per_user.sum()
    texts = np.sort(pc.value_counts(events["text"]).field("counts").to_numpy())[::-1]
    assert len(texts) > 5000
    assert texts[: len(texts) // 20].sum() > 0.25 * texts.sum()
    assert set(outcomes["scenario"].unique().to_pylist()) == {s["scenario"] for s in scenarios()}
    channels = events.group_by("user_id").aggregate([("channel", "distinct")])["channel_distinct"].to_pylist()
    assert {len(c) for c in channels} == {1, 2, 3, 4}  # some only pay, some only click
    exposed = events.filter(events["exposure"])
    assert exposed["amount"].null_count == exposed.num_rows > 100
    assert pc.value_counts(events["event_id"]).field("counts").to_numpy().max() == 1


def test_scenarios_are_thirteen_in_three_domains_with_three_paraphrases() -> None:
    assert len(scenarios()) == 13
    assert {s["domain"] for s in scenarios()} == {"security and risk control", "marketing", "recommendation"}
    assert all(len(s["paraphrases"]) == 3 and set(s["leaves"]) <= set(world().leaves) for s in scenarios())


def test_the_oracle_is_calibrated(history: tuple[pa.Table, pa.Table]) -> None:
    """Over all scenarios, in each band of the true probability as many do it as it says, within four standard errors."""
    _, outcomes = history
    truth = write.oracle(ASKED, CUTOFF, 28)
    start, end = midnight(CUTOFF), midnight(CUTOFF + dt.timedelta(days=28))
    inside = outcomes.filter(pc.and_(pc.greater_equal(outcomes["event_time"], start), pc.less(outcomes["event_time"], end)))
    did = set(zip(inside["user_id"].to_pylist(), inside["scenario"].to_pylist(), strict=True))
    chance = truth["probability"].to_numpy()
    label = np.array([pair in did for pair in zip(truth["user_id"].to_pylist(), truth["scenario"].to_pylist(), strict=True)])
    assert not label[chance == 0].any()
    assert 0 < np.isnan(chance).mean() < 0.2
    edges = [0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]
    for low, high in pairwise(edges):
        band = (chance > low) & (chance <= high)
        error = np.sqrt((chance[band] * (1 - chance[band])).sum()) / band.sum()
        assert abs(label[band].mean() - chance[band].mean()) < 4 * error, (low, high)


def test_hard_negatives_behave_alike_and_will_not_do_it(history: tuple[pa.Table, pa.Table]) -> None:
    """They show as much of a scenario before the cutoff as those who will do it, and hardly any of them does."""
    events, outcomes = history
    oracle = write.oracle(ASKED, CUTOFF, 28)
    after = outcomes.filter(pc.greater_equal(outcomes["event_time"], midnight(CUTOFF)))
    before = events.filter(pc.less(events["event_time"], midnight(CUTOFF)))
    for spec in scenarios():
        mine = oracle.filter(pc.equal(oracle["scenario"], spec["scenario"]))
        hard = set(mine.filter(mine["hard_negative"])["user_id"].to_pylist())
        doers = set(after.filter(pc.equal(after["scenario"], spec["scenario"]))["user_id"].to_pylist())
        everybody = set(before["user_id"].to_pylist())
        assert 0.01 < len(hard) / ASKED.users < 0.2, spec["scenario"]
        assert len(hard & doers) / len(hard) < 0.5 * len(doers) / len(everybody), spec["scenario"]
    names = [n for leaf in ("new_phone", "phone_repair") for names in world().raw["leaves"][leaf]["products"] for n in names]
    about = before.filter(pc.match_substring_regex(before["text"], "|".join(names)))
    shown = pc.value_counts(about["user_id"]).to_pylist()
    seen = {row["values"]: row["counts"] for row in shown}
    phones = oracle.filter(pc.equal(oracle["scenario"], "phone_buyers"))
    hard = phones.filter(phones["hard_negative"])["user_id"].to_pylist()
    doers = after.filter(pc.equal(after["scenario"], "phone_buyers"))["user_id"].unique().to_pylist()
    alike, all_users = np.mean([seen.get(u, 0) for u in hard]), np.mean([seen.get(u, 0) for u in everybody])
    assert alike > 1.5 * all_users
    assert alike > 0.6 * np.mean([seen.get(u, 0) for u in doers])


@pytest.mark.parametrize("name", list(drifts.DRIFTS))
def test_a_drift_changes_its_days_and_no_other(name: str) -> None:
    drifting = ASKED.model_copy(update={"drifts": {name: START + dt.timedelta(days=20)}})
    events, _ = day_of_block(7, 0, START, 20, BLOCK)
    assert write.drifted(events, drifting, 19).equals(events)
    changed = write.drifted(events, drifting, 20)
    assert not changed.equals(events)
    assert changed.schema.equals(events.schema)
    marks = {
        "new_product_line": lambda t: sum("Zephyra" in x for x in t["text"].to_pylist()) > 0.3 * t.num_rows,
        "dead_channel": lambda t: "search" not in t["channel"].to_pylist(),
        "shifted_population": lambda t: len(t["user_id"].unique()) < 0.7 * len(events["user_id"].unique()),
        "broken_units": lambda t: pc.sum(t["amount"]).as_py() == pytest.approx(100 * pc.sum(events["amount"]).as_py()),
        "changed_prices": lambda t: pc.sum(t["amount"]).as_py() == pytest.approx(1.35 * pc.sum(events["amount"]).as_py(), rel=1e-3),
        "bot_traffic": lambda t: t.num_rows > 1.1 * events.num_rows,
    }
    assert marks[name](changed)
