"""Maps: how much work a layout is, and that it keeps neighbours together."""

import numpy as np
import pytest
from sklearn.manifold import TSNE, trustworthiness

from found_platform.evaluation import maps


@pytest.mark.slow
def test_a_layout_keeps_neighbours_together_in_no_more_steps_than_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    place = TSNE.fit_transform
    monkeypatch.setattr(TSNE, "fit_transform", lambda self, x: (place(self, x), steps.append(self.n_iter_))[0])
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(6, 16)), 20, 0) + 0.3 * rng.normal(size=(120, 16))
    places = maps.layout(vectors)
    assert steps[0] < maps.STEPS == 500
    assert trustworthiness(vectors, places, n_neighbors=10) > 0.9
