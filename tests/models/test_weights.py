"""Weights come from safetensors alone, whoever wrote them: a base, an adapter, the base that an adapter names."""

import json
import pickle
from pathlib import Path

import pytest

from found_platform.errors import BadInput
from found_platform.rewriting import language_model
from models import text_encoder
from models.text_tower import TextTower, TowerConfig

QWEN = {
    "model_type": "qwen2",
    "vocab_size": 64,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
}


class Trap:
    """A pickle that leaves a mark when it is loaded."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2 in safetensors, with a tokenizer."""
    from tokenizers import Tokenizer, models
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base")
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**QWEN)).save_pretrained(folder)
    vocabulary = {"<pad>": 0, "<eos>": 1, "gold": 2}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>").save_pretrained(folder)
    return folder


@pytest.fixture
def trap(base: Path, tmp_path: Path) -> Path:
    """An adapter for `base` whose weights are a pickle, with what a model of its own would need beside it."""
    for file in base.iterdir():
        if file.name.startswith("token"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    about = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 2,
        "target_modules": ["q_proj"],
        "base_model_name_or_path": str(base),
    }
    (tmp_path / "adapter_config.json").write_text(json.dumps(about))
    (tmp_path / "adapter_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "loaded")))
    return tmp_path


def test_an_adapter_in_a_pickle_is_refused_by_whatever_loads_one_and_never_read(trap: Path) -> None:
    with pytest.raises(BadInput, match=r"is an adapter without adapter_model\.safetensors"):
        language_model.load(str(trap))
    for load in (text_encoder.load_text_encoder, lambda name: TextTower(TowerConfig(model=name))):
        with pytest.raises(text_encoder.EncoderNotFound, match=r"is an adapter without adapter_model\.safetensors"):
            load(str(trap))
    assert not (trap / "loaded").exists()


def test_an_adapter_whose_base_is_an_adapter_in_a_pickle_is_refused(trap: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    from safetensors.torch import save_file

    upper = tmp_path_factory.mktemp("upper")
    about = json.loads((trap / "adapter_config.json").read_text()) | {"base_model_name_or_path": str(trap)}
    (upper / "adapter_config.json").write_text(json.dumps(about))
    save_file({}, upper / "adapter_model.safetensors")
    with pytest.raises(BadInput, match=r"is an adapter without adapter_model\.safetensors"):
        language_model.load(str(upper))
    assert not (trap / "loaded").exists()


def test_a_base_in_a_pickle_is_refused_and_never_read(base: Path, tmp_path: Path) -> None:
    for file in base.iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "loaded")))
    with pytest.raises(BadInput, match="cannot be loaded"):
        language_model.load(str(tmp_path))
    with pytest.raises(text_encoder.EncoderNotFound, match="cannot be loaded"):
        text_encoder.load_text_encoder(str(tmp_path))
    assert not (tmp_path / "loaded").exists()


@pytest.mark.parametrize("about", ["{}", "[]", "{", '{"base_model_name_or_path": 5}'])
def test_an_adapter_that_names_no_base_is_refused_in_a_sentence(tmp_path: Path, about: str) -> None:
    (tmp_path / "adapter_config.json").write_text(about)
    with pytest.raises(BadInput, match=r"adapter_config\.json.* names no base model"):
        language_model.load(str(tmp_path))
