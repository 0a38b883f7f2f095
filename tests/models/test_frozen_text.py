"""The frozen-text model against a loop, and its file format."""

import numpy as np
import pytest
import torch
from random_histories import histories_of

from models.frozen_text import FrozenText, FrozenTextConfig, fit_center, load, save
from models.weights import WEIGHTS


@pytest.fixture
def model() -> FrozenText:
    return FrozenText(FrozenTextConfig("random-bert", "r", 5), torch.linspace(-0.2, 0.3, 5))


def test_user_vectors_equal_a_loop_over_users(model: FrozenText) -> None:
    histories = histories_of([3, 0, 1, 5], [1, 0, 0, 2], texts=7, dtype=torch.float32)
    vectors = model.users(histories).numpy()
    events = histories.event_text.split(histories.event_counts.tolist())
    exposed = histories.event_exposed.split(histories.event_counts.tolist())
    searches = histories.search_text.split(histories.search_counts.tolist())
    for vector, own, done_to, searched in zip(vectors, events, exposed, searches, strict=True):
        history = [int(e) for e, x in zip(own, done_to, strict=True) if not x] + searched.tolist()
        expected = np.zeros(5)
        if history:
            mean = sum(histories.texts[e].double().numpy() for e in history) / len(history) - model.center.numpy()
            expected = mean / np.linalg.norm(mean)
        np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_sentences_are_centred_and_of_unit_length(model: FrozenText) -> None:
    vectors = torch.randn(4, 5)
    sentences = model.sentences(vectors)
    torch.testing.assert_close(sentences.norm(dim=-1), torch.ones(4))
    torch.testing.assert_close(sentences[0], torch.nn.functional.normalize(vectors[0] - model.center, dim=0))


def test_the_centre_weighs_each_text_by_its_count() -> None:
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]])
    torch.testing.assert_close(fit_center(texts, torch.tensor([3, 1, 0])), torch.tensor([0.75, 0.25]))


def test_a_saved_model_comes_back_and_damage_is_refused(model: FrozenText, tmp_path) -> None:
    save(model, tmp_path)
    again = load(tmp_path)
    assert again.config == model.config
    assert torch.equal(again.center, model.center)
    content = bytearray((tmp_path / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (tmp_path / WEIGHTS).write_bytes(bytes(content))
    with pytest.raises(ValueError, match="sha256"):
        load(tmp_path)
