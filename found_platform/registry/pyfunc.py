"""How MLflow runs a registered version: sentences in, query vectors out. Loaded from this file, never from a pickle."""

from pathlib import Path

import mlflow
import numpy as np
import torch


class FoundQueries(mlflow.pyfunc.PythonModel):
    """`predict` takes a column `text` and gives float32 unit vectors (rows, dim) in the space of the user vectors."""

    def load_context(self, context) -> None:
        from models import saved
        from models.text_encoder import load_text_encoder

        self.model = saved.load(Path(context.artifacts["model"]))
        self.encoder = load_text_encoder(self.model.config.encoder)

    def predict(self, context, model_input, params=None) -> np.ndarray:
        from models.saved import sentences

        with torch.inference_mode():
            return sentences(self.model, self.encoder, list(model_input["text"])).numpy()


mlflow.models.set_model(FoundQueries())
