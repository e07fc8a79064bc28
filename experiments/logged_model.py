"""The artifact as an MLflow model: MLflow imports this module, which lies beside the model, to load it.

`experiments.store.model` stores both. There is no pickle, and nothing of it is loaded when it is stored.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from features.records import PatientRecord
from features.request import to_patients
from training.artifact.folder import Artifact, read_artifact


class LoggedRiskModel:
    """A column of patient records in JSON in; a column for each cause and horizon out."""

    def __init__(self, artifact: Artifact) -> None:
        """Of a verified artifact."""
        self.artifact = artifact

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Risks at the endpoint's horizons: columns ``cause@days``."""
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


def _load_pyfunc(artifact: str) -> LoggedRiskModel:
    """What MLflow calls, with the folder of the artifact."""
    return LoggedRiskModel(read_artifact(Path(artifact)))
