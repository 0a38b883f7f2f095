"""What is done for everybody is done a block at a time: with the bytes of the whole, in memory that does not grow with users."""

import contextlib
import datetime as dt
import json
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pad
import pytest
import torch
from conftest import at, lake_of, write_source
from safetensors.numpy import load_file, save_file

from found_platform import lake, mapped, registry, row_hash
from found_platform.contract import CHANNELS, HELD_OUT_FOLD, midnight
from found_platform.embedding import users
from found_platform.index import past, snapshot
from found_platform.index.states import LakeStates, attributes
from found_platform.privacy import keys, vault
from found_platform.settings import Settings
from found_platform.training.data import TrainingData
from found_platform.training_data import export, histories, pairs, row_files, text_vectors, training_set

if TYPE_CHECKING:
    import pandas as pd

pytestmark = pytest.mark.slow

AS_OF = dt.date(2026, 3, 1)
WIDTH = 16


@pytest.fixture(scope="module")
def published(bench: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str]:
    """A home of 1,000 made-up users and a version of a model. Tests must leave it as it is."""
    settings = bench.make_home(tmp_path_factory.mktemp("everybody") / "home", 1000, events=4)
    return settings, bench.add_version(settings, WIDTH, 1)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything takes many blocks."""
    monkeypatch.setattr(mapped, "ROWS", 70)
    monkeypatch.setattr(past, "BLOCK", 130)


def whole_states(settings: Settings, version: str) -> pa.Table:
    return lake.read(settings.lake, users.TABLE, users.where(version, AS_OF)).sort_by("user_key")


def test_states_of_everybody_are_those_that_the_lake_holds(published: tuple[Settings, str], small_blocks: None) -> None:
    settings, version = published
    rows = whole_states(settings, version)
    names, vectors, events = users.load(settings, version, AS_OF)
    assert list(names) == rows["user_key"].to_pylist()
    np.testing.assert_array_equal(vectors, np.array(rows["vector"].to_pylist(), np.float32))
    np.testing.assert_array_equal(events, rows["history_events"].to_numpy())
    held = rows.filter(pc.equal(rows["fold"], HELD_OUT_FOLD))
    assert list(users.load(settings, version, AS_OF, held_out=True)[0]) == held["user_key"].to_pylist()
    nobody = users.load(settings, "99", AS_OF)
    assert (len(nobody[0]), users.are_kept(settings, "99", AS_OF), users.are_kept(settings, version, AS_OF)) == (0, False, True)


def test_a_snapshot_has_the_bytes_of_arrays_and_tables_that_were_whole(
    published: tuple[Settings, str], small_blocks: None, tmp_path: Path
) -> None:
    settings, version = published
    rows = whole_states(settings, version)
    names = rows["user_key"].to_pylist()
    states = LakeStates(settings, registry.load(settings, version).model, version, AS_OF, users.load(settings, version, AS_OF)[0])
    states.check_attributes()
    folder = snapshot.write(settings, "made_up.db", states, *users.load(settings, version, AS_OF)[1:])

    def assert_saved(name: str, array: np.ndarray) -> None:
        np.save(tmp_path / "whole.npy", array)
        assert (folder / f"{name}.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes(), name

    assert_saved("keys", np.array(names, np.bytes_))
    assert_saved("vectors", np.array(rows["vector"].to_pylist(), np.float32))
    assert_saved("events", rows["history_events"].to_numpy())
    table = attributes(settings, AS_OF)
    assert table["user_key"].to_pylist() == names
    assert mapped.load_table(folder / "attributes.arrow").equals(table.drop_columns("user_key"))
    events = events_of(settings, names, AS_OF)
    for column in events.keys() - {"text", "amount"}:  # of one moment, in any order
        assert_saved(f"past_{column}", events[column])
    days = [*json.loads((folder / "about.json").read_text())["moments"], str(AS_OF)]
    volume = [
        np.bincount(events["user"][events["known"] < past.day_of(dt.date.fromisoformat(day))], minlength=1000) for day in days
    ]
    assert_saved("volume", np.stack(volume).astype(np.int32))
    moment = states.grid[0]
    then = attributes(settings, moment)
    assert mapped.load_table(folder / f"past_state_{moment}.arrow").equals(then.drop_columns("user_key"))
    assert_saved(f"past_state_{moment}_rows", np.flatnonzero(np.isin(names, then["user_key"].to_pylist())))
    shutil.rmtree(folder)


def events_of(settings: Settings, names: list[str], cutoff: dt.date) -> dict[str, np.ndarray]:
    """Columns of the past from a table that is read as a whole."""
    frame = lake.read(settings.lake, "raw_events").to_pandas()
    frame = frame[(frame.event_date < cutoff) & (frame.arrived_at <= midnight(cutoff))]
    known_on = (frame.arrived_at - dt.timedelta(microseconds=1)).dt.date
    frame = frame.assign(
        user=np.searchsorted(names, frame.user_key),
        happened=frame.event_date.map(past.day_of),
        known=np.maximum(frame.event_date.map(past.day_of), known_on.map(past.day_of)),
    ).sort_values(["user", "known", "happened", "event_time"])
    return {
        "user": frame.user.to_numpy(np.int32),
        "text": np.searchsorted(np.unique(frame.text_id), frame.text_id).astype(np.int32),
        "happened": frame.happened.to_numpy(np.int32),
        "known": frame.known.to_numpy(np.int32),
        "channel": frame.channel.map(CHANNELS.index).to_numpy(np.int8),
        "exposed": frame.exposure.to_numpy(bool),
        "amount": frame.amount.fillna(0).abs().to_numpy(np.float32),
        "minute": (frame.event_time.dt.hour * 60 + frame.event_time.dt.minute).to_numpy(np.int16),
        "category": np.array([categories(frame).get(c, -1) for c in frame.category], np.int32),
    }


def categories(frame: "pd.DataFrame") -> dict[str, int]:
    return {name: place for place, name in enumerate(sorted(frame.category.dropna().unique()))}


def act(i: int) -> dict:
    """No two of a user at the same time; some arrive late."""
    when = at(f"2024-01-{1 + i % 25:02}", f"{i % 24:02}:{i % 60:02}:{i % 59:02}")
    late = {"arrived_at": at("2024-01-26")} if i % 11 == 0 else {}
    channel, category = ("pay_bill", "search")[i % 5 == 0], f"c{i % 4}" if i % 3 else None
    row = {"user_id": f"u{i % 40:02}", "event_time": when, "text": f"t{i % 9}", "amount": float(i)}
    return {**row, "channel": channel, "category": category, **late}


def person(i: int) -> dict:
    return {"user_id": f"u{i:02}", "age": i if i % 7 else None, "rate": i / 3, "city": f"city {i % 6}", "member": bool(i % 2)}


CUTOFF = dt.date(2024, 1, 24)


@pytest.fixture(scope="module")
def shop_of_400(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home of 44 people with training rows and pairs. Tests must leave it as it is."""
    folder = tmp_path_factory.mktemp("shop")
    settings = lake_of(
        folder / "home",
        write_source(folder, [act(i) for i in range(400)], [person(i) for i in range(44)]),
        training_days=21,
        grid_days=4,
        sequence_length=5,
    )
    text_vectors.encode(settings, CUTOFF)
    training_set.build(settings, CUTOFF)
    pairs.build(settings, CUTOFF)
    return settings


def test_the_events_of_everybody_are_those_of_a_whole_table(shop_of_400: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "BLOCK", 17)
    names = sorted(lake.read(shop_of_400.lake, "user_days")["user_key"].unique().to_pylist())
    end = dt.date(2024, 1, 27)
    blocks, whole = past.load(shop_of_400, pa.array(names), end).kept, events_of(shop_of_400, names, end)
    assert len(blocks.user) == 400
    assert blocks.texts.tolist() == sorted(set(lake.read(shop_of_400.lake, "raw_events")["text_id"].to_pylist()))
    for column, values in whole.items():
        np.testing.assert_array_equal(getattr(blocks, column), values)
        assert getattr(blocks, column).dtype == values.dtype
    own = blocks.user[~blocks.exposed & (blocks.known < past.day_of(CUTOFF))]
    np.testing.assert_array_equal(blocks.volume(past.day_of(CUTOFF)), np.bincount(own, minlength=len(names)))
    assert blocks.first_day == past.day_of(dt.date(2024, 1, 1))


def test_training_rows_are_the_same_in_parts(shop_of_400: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lake.read(shop_of_400.lake, training_set.TABLE)
    content = row_hash.by_key(shop_of_400.lake, training_set.TABLE, "cutoff")
    assert before.num_rows > 90
    monkeypatch.setattr(training_set, "PART", 23)
    assert training_set.build(shop_of_400, CUTOFF).partitions == content
    assert lake.read(shop_of_400.lake, training_set.TABLE).equals(before)  # and in the same order


def test_training_files_have_the_bytes_of_a_whole_training_set(shop_of_400: Settings, tmp_path: Path) -> None:
    folder = export.write(shop_of_400, CUTOFF)
    tensors, texts, told = whole_files(shop_of_400)
    for name, expected in (("rows-00000", tensors), ("texts", texts)):
        save_file(expected, tmp_path / f"{name}.safetensors")
        assert (folder / f"{name}.safetensors").read_bytes() == (tmp_path / f"{name}.safetensors").read_bytes()
    assert (folder / "descriptions-00000.json").read_text() == json.dumps(told)
    assert sorted(path.name for path in folder.iterdir()) == [
        "data.json",
        "descriptions-00000.json",
        "rows-00000.safetensors",
        "texts.json",
        "texts.safetensors",
    ]


def test_training_files_hold_some_users_each_and_together_the_rows_of_one(
    shop_of_400: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = Path(shutil.copytree(export.write(shop_of_400, CUTOFF), tmp_path / "whole"))
    monkeypatch.setattr(row_files, "ROWS", 20)
    folder = export.write(shop_of_400, CUTOFF)
    files = [load_file(path) for path in sorted(folder.glob("rows-*.safetensors"))]
    assert len(files) > 4
    assert sum(len(set(file["owner"])) for file in files) == len(set(load_file(whole / "rows-00000.safetensors")["owner"]))
    some, all_rows = TrainingData(folder), TrainingData(whole)
    order = torch.tensor(np.lexsort((some.column("owner", torch.arange(len(some))), -some.column("t1", torch.arange(len(some))))))
    rows = torch.arange(len(all_rows))
    for name in ("t1", "owner", "fold", "cells", "activity"):
        assert torch.equal(some.column(name, order), all_rows.column(name, rows)), name
    for one, other in zip(vars(some.histories(order)[0]).values(), vars(all_rows.histories(rows)[0]).values(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(some.futures(order), all_rows.futures(rows))
    assert some.descriptions(order) == all_rows.descriptions(rows)
    assert (folder / "texts.safetensors").read_bytes() == (whole / "texts.safetensors").read_bytes()


def whole_files(settings: Settings) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[str]]:
    """What the files hold, from tables that are read as a whole."""
    from models import table_codec

    rows, described = (lake.read(settings.lake, t, pad.field("cutoff") == CUTOFF).sort_by(row_files.ORDER) for t in TABLES)
    learning = rows["fold"].to_numpy() != HELD_OUT_FOLD
    encoder = text_vectors.encoder(settings.text_encoder)
    before = text_vectors.texts_before(settings, CUTOFF)
    texts = text_vectors.load(settings, encoder.revision, before["text_id"].to_numpy())
    columns = table_codec.fit({c: rows[c].filter(pa.array(learning)).to_pylist() for c in ("age", "rate", "city", "member")})
    ids, counts = histories.own_texts(rows)
    user = np.unique(rows["user_key"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    carried = np.stack([np.repeat(user, counts), texts.rows(ids)], 1)[np.repeat(learning, counts)]
    items, item_counts = histories.flatten(described["item_text_ids"])
    tensors = {
        **histories.events(rows, texts),
        "cells": histories.cells(rows, columns).astype(np.int16),
        "activity": histories.activity(rows, settings.lookback_days),
        "owner": user.astype(np.int64),
        "fold": rows["fold"].to_numpy().astype(np.int8),
        "item_text": texts.rows(items).astype(np.int32),
        "item_weight": histories.flatten(described["item_counts"])[0].astype(np.float32),
        "item_counts": item_counts,
    }
    counted = np.bincount(np.unique(carried, axis=0)[:, 1], minlength=len(texts.ids))
    return tensors, {"vectors": texts.vectors, "counts": counted}, described["description"].to_pylist()


TABLES = (training_set.TABLE, pairs.TABLE)


@contextlib.contextmanager
def most_held() -> Iterator[Callable[[], np.ndarray]]:
    """The most bytes that Python and numpy held at once, and the most that Arrow did; what DuckDB holds has a bound of its own."""
    pool = pa.system_memory_pool()
    before, held = pa.default_memory_pool(), pa.proxy_memory_pool(pool)
    pa.set_memory_pool(held)
    tracemalloc.start()
    try:
        yield lambda: np.array([tracemalloc.get_traced_memory()[1], held.max_memory()])
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


FEW, MANY = 4_000, 20_000


@pytest.fixture(scope="module")
def two_sizes(bench: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Settings, str]]:
    """Homes of FEW and of MANY made-up users, in files of small row groups: a whole one is held when it is read."""
    homes = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LONG_ROWS", "SHORT_ROWS"):
            patch.setattr(lake, name, 512)
        for count in (FEW, MANY):
            settings = bench.make_home(tmp_path_factory.mktemp("sizes") / "home", count, events=2, days=42)
            homes.append((settings, bench.add_version(settings, 64, 1)))
    return homes


def test_a_publication_s_files_take_memory_that_hardly_grows_with_users(
    two_sizes: list[tuple[Settings, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's state, attributes and events are a kilobyte; what is held of one are their place and a few sums."""
    monkeypatch.setattr(mapped, "ROWS", 512)
    monkeypatch.setattr(past, "BLOCK", 4096)
    monkeypatch.setitem(lake.FEW_AT_ONCE, "batch_size", 512)
    held = []
    for settings, version in two_sizes:
        model, _ = registry.load(settings, version).model, text_vectors.encoder(settings.text_encoder)
        tries = []
        for _ in range(3):
            with most_held() as most:
                names, vectors, events = users.load(settings, version, AS_OF)
                states = LakeStates(settings, model, version, AS_OF, names)
                states.check_attributes()
                snapshot.write(settings, "sized.db", states, vectors, events)
                tries.append(most())
        held.append(np.min(tries, 0))  # Arrow reads ahead by chance, which comes on top
    objects, arrow = (held[1] - held[0]) / (MANY - FEW)
    assert objects < 20
    assert arrow < 200 < whole_states(settings, version).nbytes / MANY


def test_the_vault_takes_memory_that_does_not_grow_with_users(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", profile="tiny", secret="00ff" * 8)
    settings.home.mkdir()
    schema = keys.key_table(b"", []).schema
    held = []
    for count in (FEW, MANY):
        tables = (keys.key_table(b"s" * 16, [f"{count} {i}" for i in range(n, n + 1000)]) for n in range(0, count, 1000))
        batches = pa.RecordBatchReader.from_batches(schema, (batch for table in tables for batch in table.to_batches()))
        with most_held() as most:
            vault.add(settings, batches)
            held.append(most())
    assert vault.size(settings) == FEW + MANY
    assert held[1].sum() < 1.2 * held[0].sum()
