"""Evidently's classification report of what a method made of a scenario's users."""

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np

from found_platform import reports
from found_platform.evaluation import thresholds

if TYPE_CHECKING:
    from evidently.core.report import Snapshot


def report(scores: np.ndarray, threshold: float, labels: np.ndarray, cutoff: dt.date) -> "Snapshot":
    """Of scores (N,), labels (N,) 0/1 and the method's own line.

    Scores enter as log-odds beside the line: the chance of one half is where the method draws it.
    """
    import pandas as pd
    from evidently import BinaryClassification, DataDefinition, Dataset, Report
    from evidently.presets import ClassificationPreset

    roles = BinaryClassification(target="did it", prediction_labels="called", prediction_probas="score")
    frame = pd.DataFrame(
        {"did it": labels.astype(int), "called": (scores > threshold).astype(int), "score": thresholds.chances(scores - threshold)}
    )
    dataset = Dataset.from_pandas(frame, data_definition=DataDefinition(classification=[roles]))
    return Report([ClassificationPreset()]).run(dataset, None, timestamp=reports.stamp(cutoff))
