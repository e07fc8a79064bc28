"""Other people's models, from their own libraries, on the matrix that our encoder makes of the training fold.

Causes that a library models one at a time are put together as cause-specific hazards; settings are the libraries'
defaults or those of their examples, named beside each.
"""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.tables import FEATURES
from experiments.data import TrainingRows
from features.encoder import PatientEncoder
from features.outcomes import Outcomes
from training.splits import Fold

Matrix = NDArray[np.float64]
Peer = Callable[[Matrix, Outcomes, Matrix, Matrix, int], Matrix]
"""Training matrix, outcomes, test matrix, times and seed to incidences (test rows, causes, times)."""
SURVIVAL_BOOST_ROWS = 600
"""SurvivalBoost takes minutes a fit above: it is run where it ends within the hour."""


def predict(peer: Peer, rows: TrainingRows, fold: Fold, times_days: Matrix) -> Matrix:
    """Incidences (test rows, causes, times) of a peer on one fold."""
    patients = rows.patients.take(fold.train)
    encoder = PatientEncoder.fit(patients, rows.cohort.card, FEATURES)
    x, test = encoder.transform(patients), encoder.transform(rows.patients.take(fold.test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other people's libraries
        return peer(x, rows.outcomes.take(fold.train), test, times_days, fold.number)


def lifelines_cox(x: Matrix, outcomes: Outcomes, test: Matrix, times_days: Matrix, seed: int) -> Matrix:
    """Cause-specific Cox models of lifelines, ridge penalty 0.02."""
    del seed
    import pandas as pd
    from lifelines import CoxPHFitter

    frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(x.shape[1])]).loc[:, x.std(axis=0) > 0]
    new = pd.DataFrame(test, columns=[f"x{j}" for j in range(x.shape[1])])[frame.columns]
    grid = np.unique(outcomes.duration_days)
    hazards = []
    for cause in range(1, len(outcomes.causes) + 1):
        data = frame.assign(T=outcomes.duration_days, E=outcomes.cause == cause)
        fitter = CoxPHFitter(penalizer=0.02, l1_ratio=0.0).fit(data, "T", "E")
        hazards.append(fitter.predict_cumulative_hazard(new, times=grid).to_numpy().T)
    return _from_hazards(np.stack(hazards, axis=1), grid, times_days)


def sksurv_forest(x: Matrix, outcomes: Outcomes, test: Matrix, times_days: Matrix, seed: int) -> Matrix:
    """Cause-specific random survival forests of scikit-survival, 200 trees, 10 rows in a leaf at least."""
    from sksurv.ensemble import RandomSurvivalForest
    from sksurv.util import Surv

    # Leaves hold a value for every distinct time: rounded up to 200 of them, a table of 9,000 rows fits into memory.
    grid = np.unique(np.quantile(outcomes.duration_days, np.linspace(0, 1, 201), method="higher"))
    duration = grid[np.searchsorted(grid, outcomes.duration_days)]
    hazards = []
    for cause in range(1, len(outcomes.causes) + 1):
        event = outcomes.cause == cause
        forest = RandomSurvivalForest(n_estimators=200, min_samples_leaf=10, random_state=seed)
        steps = forest.fit(x, Surv.from_arrays(event, duration)).predict_cumulative_hazard_function(test)
        hazards.append(np.stack([step(np.clip(grid, *step.domain)) for step in steps]))
    return _from_hazards(np.stack(hazards, axis=1), grid, times_days)


def pycox_deephit(x: Matrix, outcomes: Outcomes, test: Matrix, times_days: Matrix, seed: int) -> Matrix:
    """DeepHit of pycox with the settings of its competing-risks example, but cuts at quantiles of the event times.

    Its example cuts follow-up evenly, which leaves a table with a long tail nearly all events in the first interval.
    The incidence is known at cuts: between two of them it is taken as linear. The example's loss weighs the order of
    patients four times the likelihood, and fits stop by it, after 16 epochs on the tables looked at: risks are badly
    calibrated.
    """
    import torch
    import torchtuples as tt
    from pycox.models import DeepHit
    from pycox.preprocessing.label_transforms import LabTransDiscreteTime

    class Labels(LabTransDiscreteTime):
        def transform(self, durations: Matrix, events: Matrix) -> tuple[Matrix, Matrix]:
            index, is_event = super().transform(durations, events > 0)
            return index, np.where(is_event > 0, events, 0).astype("int64")

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - pycox draws from the global generator
    held_out = np.random.default_rng(seed).permutation(len(x)) < len(x) // 5
    labels = Labels(10, scheme="quantiles")
    labels.fit(outcomes.duration_days.astype("float32"), (outcomes.cause > 0).astype("int64"))
    parts = []
    for rows in (~held_out, held_out):
        target = labels.transform(outcomes.duration_days[rows].astype("float32"), outcomes.cause[rows])
        parts.append((x[rows].astype("float32"), target))
    n_causes = len(outcomes.causes)
    net = _CauseNet(tt, x.shape[1], labels.out_features, n_causes)
    optimizer = tt.optim.AdamWR(lr=0.01, decoupled_weight_decay=0.01, cycle_eta_multiplier=0.8)
    model = DeepHit(net.module, optimizer, alpha=0.2, sigma=0.1, duration_index=labels.cuts)
    (fit_x, fit_y), validation = parts
    with TemporaryDirectory() as folder:
        callbacks = [tt.callbacks.EarlyStoppingCycle(file_path=str(Path(folder) / "best.pt"))]
        model.fit(fit_x, fit_y, 256, 512, callbacks, verbose=False, val_data=validation)
    incidence = model.predict_cif(test.astype("float32")).transpose(2, 0, 1)  # (rows, causes, cuts)
    return _between(incidence, labels.cuts.astype(float), times_days)


class _CauseNet:
    """The network of pycox's example: shared layers, then a sub-network for each cause."""

    def __init__(self, tt: object, n_features: int, n_bins: int, n_causes: int) -> None:
        from torch import nn, stack

        practical = tt.practical  # type: ignore[attr-defined]

        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.shared = practical.MLPVanilla(n_features, [64], 64, batch_norm=True, dropout=0.1)
                self.heads = nn.ModuleList(
                    practical.MLPVanilla(64, [32], n_bins, batch_norm=True, dropout=0.1) for _ in range(n_causes)
                )

            def forward(self, x: object) -> object:
                common = self.shared(x)
                return stack([head(common) for head in self.heads], dim=1)

        self.module = Net()


def survival_boost(x: Matrix, outcomes: Outcomes, test: Matrix, times_days: Matrix, seed: int) -> Matrix:
    """SurvivalBoost of hazardous: learning rate 0.03, 8 leaves of 20 rows, Kaplan–Meier weights."""
    import pandas as pd
    from hazardous import SurvivalBoost

    model = SurvivalBoost(
        learning_rate=0.03,
        max_leaf_nodes=8,
        min_samples_leaf=20,
        ipcw_strategy="kaplan-meier",
        show_progressbar=False,
        random_state=seed,
    )
    model.fit(x, pd.DataFrame({"event": outcomes.cause, "duration": outcomes.duration_days}))
    incidence = model.predict_cumulative_incidence(test, times=times_days)[:, 1:]
    return np.maximum.accumulate(incidence, axis=2)


PEERS: Mapping[str, Peer] = {
    "lifelines Cox": lifelines_cox,
    "scikit-survival forest": sksurv_forest,
    "pycox DeepHit": pycox_deephit,
    "hazardous SurvivalBoost": survival_boost,
}
AVERAGES: Mapping[str, tuple[str, ...]] = {
    "mean(Cox, forest)": ("lifelines Cox", "scikit-survival forest"),
    "mean(Cox, forest, boosting)": ("lifelines Cox", "scikit-survival forest", "hazardous SurvivalBoost"),
}
"""Simple averages of peers: the hardest to beat."""


def fingerprint(name: str) -> str:
    """Changes with what is written here of a peer, and with the versions of the libraries behind the peers."""
    packages = ("lifelines", "scikit-survival", "pycox", "hazardous", "scikit-learn")
    written = hashlib.sha256("".join(map(inspect.getsource, (PEERS[name], _CauseNet, *HELPERS))).encode())
    return f"{name}-{written.hexdigest()[:16]}-" + "-".join(version(package) for package in packages)


def _between(values: Matrix, cuts_days: Matrix, times_days: Matrix) -> Matrix:
    """Values (..., cuts) at times: linear between cuts, the last one's after it."""
    right = np.clip(np.searchsorted(cuts_days, times_days), 1, len(cuts_days) - 1)
    share = (times_days - cuts_days[right - 1]) / (cuts_days[right] - cuts_days[right - 1])
    share = share.clip(0.0, 1.0)
    return (1 - share) * values[..., right - 1] + share * values[..., right]


def _from_hazards(cumulative: Matrix, grid_days: Matrix, times_days: Matrix) -> Matrix:
    """Incidences at times from cause-specific cumulative hazards (rows, causes, grid)."""
    hazard = np.diff(cumulative, axis=2, prepend=0.0).clip(min=0.0)
    total = hazard.sum(axis=1)
    survival = np.exp(-np.cumsum(total, axis=1))
    before = np.concatenate([np.ones((len(hazard), 1)), survival[:, :-1]], axis=1)
    share = np.divide(hazard, total[:, None], out=np.zeros_like(hazard), where=total[:, None] > 0)
    cumulated = np.cumsum((before - survival)[:, None] * share, axis=2)
    at = np.searchsorted(grid_days, times_days, side="right")
    return np.concatenate([np.zeros((*hazard.shape[:2], 1)), cumulated], axis=2)[:, :, at]


HELPERS = (_from_hazards, _between)
"""What peers share."""
