"""Exact scoring: the same rows as a full sort, whatever the mask, the ties and the number asked for."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from found_platform.scoring import exact


@given(
    st.integers(0, 3000), st.integers(1, 4), st.integers(1, 400), st.sampled_from([None, 0.0, 0.01, 0.3, 1.0]), st.integers(0, 99)
)
@settings(max_examples=150, deadline=None)
def test_the_best_rows_are_those_of_a_stable_sort(users: int, width: int, top: int, share: float | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, size=(users, 4)).astype(np.float32)  # small integers: many ties, sums are exact
    query = rng.integers(-2, 3, size=width).astype(np.float32)
    mask = None if share is None else rng.random(users) < share
    rows, scores = exact.top_users(vectors, query, top, mask)
    every = vectors[:, :width] @ query
    kept = np.arange(users) if mask is None else np.flatnonzero(mask)
    np.testing.assert_array_equal(rows, kept[np.argsort(-every[kept], kind="stable")][:top])
    np.testing.assert_array_equal(scores, every[rows])


def test_a_sorted_population_whose_sample_misleads_is_scored_right() -> None:
    """Every sampled score is high, so that the guessed floor is above all but a few."""
    scores = np.zeros(4000, np.float32)
    scores[:: exact.SAMPLE] = 1 + np.arange(250)
    scores[1] = 0.5
    rows, best_scores = exact.best(scores, 300)
    assert len(rows) == 300
    assert list(best_scores) == sorted(scores, reverse=True)[:300]


def test_a_memory_mapped_matrix_is_not_copied(tmp_path) -> None:
    import tracemalloc

    vectors = np.random.default_rng(0).normal(size=(200_000, 32)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    mask = np.arange(len(vectors)) % 2 == 0
    tracemalloc.start()
    rows, _ = exact.top_users(mapped, vectors[4], 50, mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows[0] == np.argmax(np.where(mask, vectors @ vectors[4], -np.inf))
    assert peak < vectors.nbytes / 5
