"""Descriptions of the future: what they say, and what they never see."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow.dataset as pad
import pytest
from conftest import at, lake_of, write_source
from safetensors.numpy import load_file

from found_platform import lake, row_hash
from found_platform.contract import HELD_OUT_FOLD
from found_platform.settings import Settings
from found_platform.training_data import export, pairs, row_files, text_vectors, training_set

CUTOFF = dt.date(2024, 1, 15)
T1 = dt.date(2024, 1, 8)


def event(user: str, day: str, text: str, time: str = "12:00:00", **more: object) -> dict:
    return {"user_id": user, "event_time": at(day, time), "text": text, **more}


def pairs_of(home: Path, events: list[dict]) -> list[dict]:
    settings = built(home, events)
    return lake.read(settings.lake, pairs.TABLE, pad.field("event_timestamp") == at(str(T1), "00:00:00")).to_pylist()


def built(home: Path, events: list[dict]) -> Settings:
    settings = lake_of(home / "home", write_source(home / "source", events), training_days=14)
    training_set.build(settings, CUTOFF)
    pairs.build(settings, CUTOFF)
    return settings


EVENTS = [
    event("u", "2024-01-01", "old tent"),
    event("v", "2024-01-01", "old book"),
    event("u", "2024-01-08", "gold ring", "00:00:00", amount=5.0),
    event("u", "2024-01-09", "gold coin", amount=90.0),
    event("u", "2024-01-10", "gold ring", amount=5.0),
    event("u", "2024-01-10", "ring size", channel="search"),
    event("u", "2024-01-11", "jewellery newsletter", channel="spm", exposure=True),
    event("u", "2024-01-14", "ring shop", "23:59:59", channel="spm"),
    event("w", "2024-01-16", "much later"),
]


def test_a_description_has_a_sentence_a_kind_with_items_from_most_to_least(tmp_path: Path) -> None:
    described = {len(p["item_text_ids"]): p for p in pairs_of(tmp_path, EVENTS)}
    assert described[4]["description"] == (
        "In the next 7 days this person pays for gold ring, gold coin. In the next 7 days this person looks at ring shop. "
        "In the next 7 days this person searches for ring size."
    )
    assert described[4]["item_counts"] == [2, 1, 1, 1]
    assert described[4]["until"] == at(str(CUTOFF), "00:00:00")
    assert described[0]["description"] == "In the next 7 days this person does nothing."


def test_items_of_equal_count_are_ordered_by_what_was_spent(tmp_path: Path) -> None:
    events = [
        event("u", "2024-01-01", "old"),
        event("u", "2024-01-08", "cheap", amount=1.0),
        event("u", "2024-01-09", "dear", amount=9.0),
    ]
    assert "pays for dear, cheap." in pairs_of(tmp_path, [*events, event("u", "2024-01-16", "later")])[0]["description"]


def test_what_is_brought_back_is_told_as_that_and_never_as_paid_for(tmp_path: Path) -> None:
    events = [
        event("u", "2024-01-01", "old"),
        event("u", "2024-01-08", "gold ring", amount=-5.0),
        event("u", "2024-01-09", "tea", amount=2.0),
        event("u", "2024-01-16", "later"),
    ]
    (pair,) = pairs_of(tmp_path, events)
    assert pair["description"] == (
        "In the next 7 days this person pays for tea. In the next 7 days this person brings back gold ring."
    )
    assert pair["item_counts"] == [1]


@pytest.mark.slow
def test_nothing_at_or_after_the_cutoff_nor_what_arrived_after_it_is_told(tmp_path: Path) -> None:
    plain = pairs_of(tmp_path / "a", EVENTS)
    changed = [
        *EVENTS,
        event("u", "2024-01-15", "after the cutoff", "00:00:00"),
        event("u", "2024-01-12", "known too late", arrived_at=at("2024-01-16")),
    ]
    told = [sorted(p["description"] for p in pairs) for pairs in (plain, pairs_of(tmp_path / "b", changed))]
    assert told[0] == told[1]


def test_every_row_of_the_training_set_has_its_pair(settings: Settings, cutoff: dt.date) -> None:
    rows = lake.read(settings.lake, "training_set", pad.field("cutoff") == cutoff, ["user_key", "event_timestamp", "fold"])
    described = lake.read(
        settings.lake, pairs.TABLE, pad.field("cutoff") == cutoff, ["user_key", "event_timestamp", "fold", "until"]
    )
    assert rows.sort_by(row_files.ORDER).to_pylist() == described.select(rows.column_names).sort_by(row_files.ORDER).to_pylist()
    assert max(described["until"].to_pylist()) == at(str(cutoff), "00:00:00")


def test_a_part_at_a_time_tells_the_same(settings: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch) -> None:
    before = row_hash.by_key(settings.lake, pairs.TABLE, "cutoff")
    assert before[str(cutoff)][0] > 100
    monkeypatch.setattr(pairs, "PART", 77)
    assert pairs.build(settings, cutoff).partitions == {str(cutoff): before[str(cutoff)]}


@pytest.mark.slow
def test_what_the_held_out_fold_did_changes_nothing_that_is_fitted(tmp_path: Path) -> None:
    """Counts of texts and codes of the table, from which centre, projection and embeddings follow."""
    users = [f"user-{i}" for i in range(12)]
    events = [event(u, "2024-01-02", f"text {i % 5}") for i, u in enumerate(users)]
    events += [event(u, "2024-01-09", "later") for u in users] + [event("x", "2024-01-16", "end")]
    profile = [{"user_id": u, "age": float(i)} for i, u in enumerate(users)]
    settings = lake_of(tmp_path / "home", write_source(tmp_path / "source", events, profile), training_days=14)
    training_set.build(settings, CUTOFF)
    held = lake.read(settings.lake, "training_set", pad.field("fold") == HELD_OUT_FOLD).num_rows
    assert held, "no user of these names is in the held-out fold"

    def fitted(changed: list[dict], people: list[dict], name: str) -> tuple[dict, str]:
        other = lake_of(
            tmp_path / name, write_source(tmp_path / f"{name}-source", changed, people), training_days=14, secret="ab" * 32
        )
        text_vectors.encode(other, CUTOFF)
        training_set.build(other, CUTOFF)
        pairs.build(other, CUTOFF)
        folder = export.write(other, CUTOFF)
        counts = load_file(folder / "texts.safetensors")["counts"]
        texts = json.loads((folder / "texts.json").read_text())
        about = json.loads((folder / "data.json").read_text())
        return {t: int(c) for t, c in zip(texts, counts, strict=True) if c}, str(about["columns"])

    from found_platform.privacy import keys

    out = {u for u in users if keys.fold(u) == HELD_OUT_FOLD}
    changed = [{**e, "text": "held-out taste"} if e["user_id"] in out and e["text"] != "later" else e for e in events]
    people = [{**p, "age": 1e6} if p["user_id"] in out else p for p in profile]
    assert fitted(events, profile, "one") == fitted(changed, people, "two")


def test_the_files_hold_what_the_training_set_holds(settings: Settings, cutoff: dt.date) -> None:
    from found_platform.training.data import TrainingData

    data = TrainingData(export.folder(settings, cutoff) / "data")
    rows = lake.read(settings.lake, "training_set", pad.field("cutoff") == cutoff).sort_by(row_files.ORDER)
    described = lake.read(settings.lake, pairs.TABLE, pad.field("cutoff") == cutoff).sort_by(row_files.ORDER)
    assert len(data) == rows.num_rows
    texts = text_vectors.texts_before(settings, cutoff)
    ids = texts["text_id"].to_numpy()
    some = np.random.default_rng(0).choice(len(data), 20, replace=False)
    import torch

    for i in some:
        histories, used = data.histories(torch.tensor([i]))
        row = {c: rows[c][int(i)].as_py() for c in ("text_ids", "times", "search_text_ids")}
        assert [ids[used[t]] for t in histories.event_text] == (row["text_ids"] or [])
        assert [ids[used[t]] for t in histories.search_text] == (row["search_text_ids"] or [])
        assert len(histories.event_age) == 0 or float(histories.event_age.min()) > 0
        weights, items = described["item_counts"][int(i)].as_py(), described["item_text_ids"][int(i)].as_py()
        if items:
            vectors = data.text_vectors.float().numpy()[np.searchsorted(ids, items)]
            expected = (vectors * np.array(weights)[:, None]).sum(0) / sum(weights)
            np.testing.assert_allclose(data.futures(torch.tensor([i]))[0].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["behavior", "tabular", "align"])
def test_a_stage_leaves_its_run_and_its_curves(settings: Settings, cutoff: dt.date, name: str) -> None:
    from found_platform.training_runs import stages

    stage = stages.finished(settings, cutoff, name)
    assert stage is not None
    assert stage.outcome["step"] > 0
    assert len(stage.curves["loss"]) >= 2
    assert stage.curves["held_out_score"][0][0] == 0
