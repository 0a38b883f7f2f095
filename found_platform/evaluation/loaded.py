"""Loads what the benchmark's fits and maps need, for a process that is forked."""

from found_platform import garbage

with garbage.loading():  # a fork that looked at these objects would copy their pages
    import sklearn.ensemble
    import sklearn.feature_extraction.text
    import sklearn.linear_model
    import sklearn.manifold
    import sklearn.model_selection
    import sklearn.preprocessing  # noqa: F401
    import torch  # noqa: F401

    import models.saved  # noqa: F401
