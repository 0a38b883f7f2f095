"""Trained rivals: what they read of a home, and that nothing after the cutoff changes what they make of it."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from conftest import at, lake_of, write_source

from found_platform import lake
from found_platform.evaluation import methods
from found_platform.evaluation.methods import text_alone
from found_platform.evaluation.population import Population
from found_platform.evaluation.rivals import LENGTH, sequences_of
from found_platform.training_data import text_vectors
from models.frozen_text import FrozenText, FrozenTextConfig

pytestmark = pytest.mark.usefixtures("one_thread")

USERS = 24
CUTOFF = dt.date(2024, 2, 1)
WARES = {"food": ["bread", "milk", "rice"], "tools": ["saw", "drill", "hammer"]}
RIVALS = ("coles", "cpc", "msdp", "one4all", "tabtransformer", "text_alone")


def home(folder: Path, after: str) -> Population:
    """Users who bought things in January, and one ware each after the cutoff."""
    rng = np.random.default_rng(0)
    events = []
    for user in range(USERS):
        for _ in range(8):
            category = str(rng.choice(list(WARES)))
            day = at(f"2024-01-{1 + int(rng.integers(31)):02d}", f"{int(rng.integers(24)):02d}:30:00")
            text = str(rng.choice(WARES[category]))
            events.append({"user_id": f"u{user:02d}", "event_time": day, "text": text, "category": category, "amount": 9.0})
        events.append({"user_id": f"u{user:02d}", "event_time": at("2024-02-02"), "text": after, "category": after})
    settings = lake_of(
        folder / "home", write_source(folder, events, [{"user_id": "u00", "city": "Ulm"}]), horizon_days=7, secret="ab" * 16
    )
    keys = sorted(set(lake.read(settings.lake, "raw_events", columns=["user_key"])["user_key"].to_pylist()))
    text_vectors.encode(settings, CUTOFF)
    encoder = text_vectors.encoder("random-bert")
    model = FrozenText(FrozenTextConfig("random-bert", encoder.revision, encoder.dim))
    return Population.of_lake(settings, model, None, CUTOFF, keys, np.zeros((USERS, 1), np.float32), np.full(USERS, 8))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Population:
    return home(tmp_path_factory.mktemp("shop"), "anvil")


def vectors(population: Population) -> dict[str, np.ndarray]:
    return {probe.name: probe.features(population) for probe in methods.probes() if probe.name in RIVALS}


@pytest.mark.slow
def test_another_future_leaves_the_vectors_of_every_rival_as_they_are(shop: Population, tmp_path: Path) -> None:
    before, after = vectors(shop), vectors(home(tmp_path, "zeppelin"))
    assert set(before) == set(RIVALS)
    for name, vector in before.items():
        assert vector.shape[0] == USERS
        assert np.isfinite(vector).all()
        assert np.array_equal(vector, after[name]), name


def test_sequences_are_what_each_user_did_in_its_order(shop: Population) -> None:
    sequences, words = sequences_of(shop), shop.words
    assert sequences.mask.shape == (USERS, LENGTH)
    assert set(words) == {ware for wares in WARES.values() for ware in wares}
    for row in range(USERS):
        ages = sequences.age[row][sequences.mask[row]]
        assert len(ages) == 8
        assert (ages[:-1] >= ages[1:]).all()
        texts = [words[text] for text in sequences.text[row][sequences.mask[row]]]
        kinds = sequences.kind[row][sequences.mask[row]].tolist()
        assert all((text in WARES["food"]) == (kind == 0) for text, kind in zip(texts, kinds, strict=True))
        assert text_alone.documents(shop)[row] == "; ".join(reversed(texts))


def test_a_home_without_a_language_model_has_no_row_of_a_fine_tuned_arallm(shop: Population) -> None:
    methods_by_name = {method.name: method for method in methods.zero_shot()}
    question = methods.Question(["people who will buy tools"], 7)
    assert methods_by_name["arallm_finetuned"].scores(shop, question) is None
    scores = methods_by_name["arallm_grounded"].scores(shop, question)
    assert scores is not None
    assert scores.shape == (1, USERS)
