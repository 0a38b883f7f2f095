"""A model of cutoff D has seen nothing dated at or after D: everything later is changed, and nothing that it says changes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import at, call_found, write_source

from found_platform import feature_store, lake, registry
from found_platform.contract import midnight, parse_day
from found_platform.settings import Settings

CUTOFF, END = "2026-02-10", "2026-02-20"
GOODS = {"pets": ["dog food", "cat litter"], "coffee": ["coffee beans", "milk"], "travel": ["tent", "camping stove"]}
USERS, DAYS = 60, 40
QUESTIONS = (
    ["people who will buy dog food"],
    ["people who will buy a tent", "--exact"],
    ["customers who spend the most on coffee"],
)


def _before() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Events and profiles that are known before the cutoff."""
    rng = np.random.default_rng(3)
    events, profile = [], []
    for user in range(USERS):
        kind = list(GOODS)[user % 3]
        for day in range(DAYS):
            if rng.random() < 0.45:
                category = kind if rng.random() < 0.8 else str(rng.choice(list(GOODS)))
                event = {"user_id": f"u{user}", "event_time": at(_day(day), f"{int(rng.integers(24)):02d}:00:00")}
                text = str(rng.choice(GOODS[category]))
                events.append({**event, "text": text, "category": category, "amount": float(rng.integers(1, 90))})
                events.append({**event, "text": text, "channel": "search"})
        profile.append({"user_id": f"u{user}", "as_of": at("2026-01-01"), "city": ["Ulm", "Bonn"][user % 2], "age": 20 + user})
    return events, profile


def _day(day: int) -> str:
    return str(np.datetime64("2026-01-01") + day)


def _later(changed: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is dated at or after the cutoff: events, what arrives late, profiles. Changed, all of it is other."""
    users = [f"u{user}" for user in range(USERS)] if not changed else [f"new{i}" for i in range(80)] + ["u1", "u2"]
    text, amount, city = ("a yacht", 1e6, "Nowhere") if changed else ("milk", 2.0, "Ulm")
    events, profile = [], []
    for number, user in enumerate(users):
        day = _day(DAYS + number % 9)
        events.append({"user_id": user, "event_time": at(day), "text": text, "category": text, "amount": amount})
        events.append({"user_id": user, "event_time": at(day), "text": text, "channel": "search"})
        events.append(
            {"user_id": user, "event_time": at(_day(number % DAYS)), "text": text, "amount": amount, "arrived_at": at(day)}
        )
        profile.append({"user_id": user, "as_of": midnight(parse_day(CUTOFF, "")), "city": city, "age": 1 if changed else 50})
    # both logs end on the same day
    events.append({"user_id": "u0", "event_time": at("2026-02-19"), "text": text, "channel": "mini_program"})
    return events, profile


def _home(folder: Path, *, changed: bool) -> Settings:
    events, profile = (early + late for early, late in zip(_before(), _later(changed), strict=True))
    source = write_source(folder, events, profile)
    outcome = call_found(
        "demo", "--source", source, "--cutoff", CUTOFF, "--profile", "tiny", "--home", folder / "home", "--format", "json"
    )
    assert outcome.status == 0, outcome.err
    return Settings.load(folder / "home")


def _rows(settings: Settings, table: str, **equal: object) -> pa.Table:
    rows = lake.read(settings.lake, table)
    for column, value in equal.items():
        rows = rows.filter(pa.compute.equal(pa.compute.cast(rows[column], pa.string()), str(value)))
    return rows.sort_by([(name, "ascending") for name in rows.column_names if not pa.types.is_nested(rows[name].type)])


def _keys(settings: Settings) -> list[str]:
    from found_platform.privacy import keys

    secret = keys.home_secret(settings)
    return [keys.user_key(secret, f"u{user}") for user in range(USERS)]


def _weights(settings: Settings) -> dict[str, str]:
    """Hashes of everything that was learned, by the stage that learned it; a version's own is among its tags."""
    files = {"/".join(file.parts[-3:]): file for file in settings.home.glob("training/*/*/best.safetensors")}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}


@pytest.mark.slow
@pytest.mark.long
def test_nothing_dated_at_or_after_the_cutoff_changes_what_is_known_as_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUND_SECRET", "5e" * 16)  # so that both homes give a user the same key
    monkeypatch.setenv("FOUND_HORIZON_DAYS", "7")
    one, other = _home(tmp_path / "one", changed=False), _home(tmp_path / "other", changed=True)

    moment = midnight(parse_day(CUTOFF, "--cutoff"))
    history = [feature_store.history(home, _keys(home), [moment] * USERS) for home in (one, other)]
    assert history[0].equals(history[1])
    for table in ("training_set", "user_text_pairs"):
        assert _rows(one, table, cutoff=CUTOFF).equals(_rows(other, table, cutoff=CUTOFF)), table
    assert len(_weights(one)) == 3
    assert _weights(one) == _weights(other)
    versions = [registry.versions(home) for home in (one, other)]
    assert len(versions[0]) >= 2
    for first, second in zip(*versions, strict=True):
        results = [
            {name: value for name, value in v.tags.items() if name.startswith(("gate", "sha256", "kind"))} for v in (first, second)
        ]
        assert len(results[0]) > 3
        assert results[0] == results[1]
    vectors = [_rows(home, "user_embeddings") for home in (one, other)]
    assert vectors[0].num_rows
    assert vectors[0].equals(vectors[1])
    assert registry.champion(one).version == registry.champion(other).version
    for question in QUESTIONS:
        answers = [call_found("audience", "find", *question, "--home", home.home, "--format", "json") for home in (one, other)]
        assert answers[0].status == 0, answers[0].err
        assert json.loads(answers[0].out)["users"]
        assert _said(answers[0].out) == _said(answers[1].out)
    pages = [call_found("user", "show", "u1", "--as-of", CUTOFF, "--home", home.home, "--format", "json") for home in (one, other)]
    assert json.loads(pages[0].out) == json.loads(pages[1].out)


def _said(out: str) -> dict[str, Any]:
    """An answer without the name of its index, which holds a number drawn at its publication."""
    answer = json.loads(out)
    answer.pop("index_version")
    return answer
