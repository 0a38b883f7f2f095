"""What a whole run of the graph loads that takes long, and when.

What belongs here: which libraries, before the first asset or while training is waited for. What does not: using them.
"""

import contextlib
from functools import partial

from found_platform import garbage, workers
from found_platform.settings import Settings


def load(settings: Settings) -> None:
    """Everything slow to import that the graph needs, so that an asset's seconds are its own. Where this process will wait for
    training, what is needed from then on is loaded and made in that time: MLflow and its tables. Evidently is left to the fork that
    looks at drift."""
    with garbage.loading() if workers.forks() else contextlib.nullcontext():
        _load(settings)


def _load(settings: Settings) -> None:
    from found_platform.registry import tracking

    if workers.forks():
        workers.load_later("mlflow.pyfunc")
        workers.later(partial(tracking.client, settings))
    else:
        import evidently.presets  # noqa: F401
        import mlflow.pyfunc  # noqa: F401
    import dagster  # noqa: F401
    import pymilvus  # noqa: F401
    import sklearn.linear_model  # noqa: F401

    from found_platform.feature_store import feast_import

    feast_import.load()
    import found_platform.feature_store.delta_store  # noqa: F401
