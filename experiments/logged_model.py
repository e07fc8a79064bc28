"""The artifact as an MLflow model: models-from-code, so that it loads where pickle is forbidden.

MLflow runs this file to build the model; `experiments.train` logs it with the artifact folder beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from features.records import PatientRecord
from features.request import to_patients
from training.artifact import read_artifact


class LoggedRiskModel(PythonModel):
    """A column of patient records in JSON in; a column for each cause and horizon out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read and verify the artifact."""
        self.artifact = read_artifact(Path(context.artifacts["artifact"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Risks at the endpoint's horizons: columns ``cause@days``."""
        del context, params
        model, endpoint = self.artifact.model, self.artifact.manifest.endpoint
        records = [PatientRecord.model_validate_json(text) for text in model_input["patient"]]
        patients = to_patients(records, model.encoder)
        values = model.predict_incidence(patients, np.array(endpoint.horizons_days)).values
        return pd.DataFrame(
            {
                f"{cause}@{days:g}": values[:, k, j]
                for k, cause in enumerate(endpoint.causes)
                for j, days in enumerate(endpoint.horizons_days)
            }
        )


set_model(LoggedRiskModel())
