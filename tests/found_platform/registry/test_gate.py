"""The gate: which model versions pass, on the home that the demo made."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad
import pytest

from found_platform import lake, registry
from found_platform.contract import midnight
from found_platform.registry import gate
from found_platform.settings import Settings
from found_platform.training_data import text_vectors
from models.found import Found


def test_the_gate_fails_a_model_that_knows_nothing(settings: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch) -> None:
    version = registry.champion(settings).version
    real = gate.judge(gate.Candidate(settings, version, cutoff))
    assert real.passed
    assert real.figures["future_auc"] > 0.6
    assert real.figures["phrase_auc"] > 0.55 < real.figures["frozen_phrase_auc"]
    rng = np.random.default_rng(0)
    monkeypatch.setattr(gate, "vectors_of", lambda s, m, rows, texts: rng.normal(size=(rows.num_rows, m.config.dim)))
    blind = [gate.judge(gate.Candidate(settings, version, cutoff)) for _ in range(12)]
    assert sum(b.passed for b in blind) <= 4  # one in forty passes a bound of 95 %, by luck, and who is held out differs by home
    for name in ("future_auc", "phrase_auc"):
        assert abs(np.mean([b.figures[name] for b in blind]) - 0.5) < 0.05


@pytest.mark.parametrize("sign", [1, -1])
def test_the_frozen_text_model_is_not_judged_where_its_texts_say_nothing_or_the_contrary(
    settings: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch, sign: int
) -> None:
    """Nothing was learned in it that could be wrong: a home that answers by acts alone is of more use than none."""
    frozen = next(v.version for v in registry.versions(settings) if v.tags["kind"] == registry.FROZEN_TEXT)
    own, rng = gate.vectors_of, np.random.default_rng(0)

    def blind(s: Settings, m: object, rows: pa.Table, texts: object) -> np.ndarray:
        vectors = own(s, m, rows, texts)  # pyright: ignore[reportArgumentType]
        return -vectors if sign < 0 else rng.normal(size=vectors.shape)

    monkeypatch.setattr(gate, "FEW_USERS", 0)
    monkeypatch.setattr(gate, "vectors_of", blind)
    verdicts = [gate.judge(gate.Candidate(settings, frozen, cutoff)) for _ in range(5)]
    assert any(not verdict.passed for verdict in verdicts)
    assert all(verdict.passed or not verdict.judged for verdict in verdicts)
    assert ("less than chance" in verdicts[0].reason) == (sign < 0)


def test_the_gate_fails_a_model_that_ranks_users_for_phrases_worse_than_it_began(
    settings: Settings, cutoff: dt.date, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own futures are found as before: that alone is not what a model is for."""
    embed = gate.embed_sentences

    def confused(model, phrases: list[str]) -> np.ndarray:
        vectors = embed(model, phrases)
        return -vectors if isinstance(model, Found) else vectors

    monkeypatch.setattr(gate, "embed_sentences", confused)
    verdict = gate.judge(gate.Candidate(settings, registry.champion(settings).version, cutoff))
    assert not verdict.passed
    assert verdict.figures["future_auc"] > 0.6
    assert "alignment did not help" in verdict.reason


def test_the_phrases_of_the_gate_are_what_users_did_in_the_window(settings: Settings, cutoff: dt.date) -> None:
    """By a loop over pairs of texts; a phrase's own text is alike."""
    model = registry.champion(settings).model
    t1 = cutoff - dt.timedelta(days=settings.horizon_days)
    here = (pad.field("cutoff") == cutoff) & (pad.field("event_timestamp") == midnight(t1))
    pairs = lake.read(settings.lake, "user_text_pairs", here).slice(0, 30)
    phrases, will = gate._phrases(settings, model, pairs, cutoff)
    assert len(set(phrases)) == len(phrases) > 5
    texts = text_vectors.load(settings, model.config.encoder_revision)
    unit = texts.vectors - model.center.numpy()
    unit = dict(zip(texts.ids.tolist(), unit / np.linalg.norm(unit, axis=1, keepdims=True), strict=True))
    table = text_vectors.texts_before(settings, cutoff)
    ids = dict(zip(table["text"].to_pylist(), table["text_id"].to_pylist(), strict=True))
    for items, row in zip(pairs["item_text_ids"].to_pylist(), will, strict=True):
        assert row.tolist() == [any(unit[i] @ unit[ids[p]] > gate.ALIKE for i in items or []) for p in phrases]
    assert will.any(1).sum() > 5
