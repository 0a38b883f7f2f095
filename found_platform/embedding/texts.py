"""Event texts in the two spaces that demands meet them in: the frozen space that a model started from, and the one it learned.

What belongs here: text vectors as a model reads them, made into unit vectors of either space. What does not: what a demand makes of
them, which is scoring.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from found_platform import threads
from found_platform.training_data import text_vectors

if TYPE_CHECKING:
    import torch

    from models.saved import Model

CATEGORY = 0.5
"""Weight of the category's name beside a text's own words. Chosen on two development populations of the simulator."""


def learned(model: "Model", vectors: np.ndarray) -> np.ndarray:
    """(T, K) texts (T, E) as queries meet them, of unit length; a frozen-text model learned nothing, and centres them."""
    import torch
    from torch.nn import functional as F

    from models.found import Found

    with torch.inference_mode():
        centred = torch.from_numpy(vectors) - model.center
        return F.normalize(model.user(centred) if isinstance(model, Found) else centred, dim=-1).numpy()


def frozen(model: "Model", vectors: np.ndarray, categories: Sequence[str | None]) -> np.ndarray:
    """(T, K) texts (T, E) with their categories in the frozen space, of unit length: what a text does not say its category may."""
    import torch

    own = _frozen(model, torch.from_numpy(vectors))
    names = sorted({c for c in categories if c is not None})
    if not names:
        return own
    place = {name: i for i, name in enumerate(names)}
    of_names = np.vstack([frozen_phrases(model, names), np.zeros(own.shape[1], np.float32)])
    both = own + CATEGORY * of_names[[place.get(c, -1) if c is not None else -1 for c in categories]]
    return both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-9)


def frozen_phrases(model: "Model", phrases: Sequence[str]) -> np.ndarray:
    """(P, K) phrases in the frozen space, of unit length."""
    import torch

    from models.found import Found

    tower = model.event_tower if isinstance(model, Found) else None
    if not phrases:
        return np.empty((0, 1), np.float32)
    encoder = text_vectors.encoder(model.config.encoder)  # one that is loaded in inference mode could never be tuned through
    with torch.inference_mode(), threads.one_for_torch():
        vectors = tower(list(phrases)).float() if tower else torch.from_numpy(encoder.encode(list(phrases)))
    return _frozen(model, vectors)


def _frozen(model: "Model", vectors: "torch.Tensor") -> np.ndarray:
    import torch
    from torch.nn import functional as F

    from models.found import Found

    with torch.inference_mode():
        centred = vectors - model.center
        return F.normalize(F.linear(centred, model.start) if isinstance(model, Found) else centred, dim=-1).numpy()
