"""Evidently's classification report of what a method made of a scenario's users: a page of its own, read offline."""

from pathlib import Path

import numpy as np

from found_platform.evaluation import thresholds


def page(scores: np.ndarray, threshold: float, labels: np.ndarray, path: Path) -> None:
    """Writes the page of scores (N,), labels (N,) 0/1 and the method's own line.

    Scores enter as log-odds beside the line: the chance of one half is where the method draws it.
    """
    import pandas as pd
    from evidently import BinaryClassification, DataDefinition, Dataset, Report
    from evidently.presets import ClassificationPreset

    roles = BinaryClassification(target="did it", prediction_labels="called", prediction_probas="score")
    frame = pd.DataFrame(
        {"did it": labels.astype(int), "called": (scores > threshold).astype(int), "score": thresholds.chances(scores - threshold)}
    )
    snapshot = Report([ClassificationPreset()]).run(
        Dataset.from_pandas(frame, data_definition=DataDefinition(classification=[roles])), None
    )
    snapshot.save_html(str(path))
