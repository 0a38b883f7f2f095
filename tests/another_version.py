"""A newer model version in a home, for tests that go forward and back."""

import datetime as dt

from found_platform import index, registry
from found_platform.embedding import users
from found_platform.registry import Verdict
from found_platform.settings import Settings


def another_version(settings: Settings, cutoff: dt.date) -> str:
    """A newer version of the same cutoff, other weights, judged and promoted and published: as a retraining leaves it."""
    import torch

    old = registry.champion(settings)
    with torch.no_grad():
        for weights in old.model.parameters():
            weights.add_(0.01 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(1)))
    version = registry.log(settings, old.model, parameters={}, metrics={}, tags={"cutoff": str(cutoff)}, card="# Another")
    registry.nominate(settings, version, str(cutoff))
    registry.store_verdict(settings, version, Verdict(True, "fine", {"future_auc": 0.7}))
    users.embed(settings, registry.load(settings, version), cutoff)
    registry.promote(settings, version)
    index.publish(settings, version, cutoff)
    return version
