"""Golden values of targeted estimates, by pytmle and scikit-survival; writes tests/golden/targeted.json.

In a virtual environment of its own, Python 3.11: pip install torch==2.13.0 pytmle==0.6.0

    python tests/golden/targeted.py

The patients are simulated here. Nuisances are ridge Cox models within each arm, whose penalty is the number of
covariates, and a logistic regression, of everyone (no cross-fitting). pytmle stops targeting once the mean influence is
below a standard error over log(n); here its own functions (update_hazards, get_eic) are called until it is 1e-6. Its
fluctuation has the weights in the hazard's exponent, ours in the loss; its event-free probability is exp(−Λ), ours a
product: the estimates differ by terms of second order.
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pytmle.estimates import InitialEstimates, UpdatedEstimates
from pytmle.get_influence_curve import get_eic
from pytmle.tmle_update import calculate_norm_pn_eic, combine_summarized_eic, update_hazards
from sklearn.linear_model import LogisticRegression
from sksurv.linear_model import CoxPHSurvivalAnalysis

HORIZONS = [120.0, 365.0]
N = 300


def simulated() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Covariates, arm, duration and cause; both arm and censoring depend on the covariates."""
    rng = np.random.default_rng(7)
    x = np.column_stack([rng.normal(size=N), rng.integers(2, size=N)])
    arm = (rng.random(N) < 1 / (1 + np.exp(0.4 - 0.6 * x[:, 0] - 0.5 * x[:, 1]))).astype(int)
    daily = np.array([0.0015, 0.001]) * np.exp(
        np.column_stack([0.7 * x[:, 0] + 0.5 * x[:, 1] - 0.6 * arm, 0.4 * x[:, 0]])
    )
    happens = rng.exponential(1 / daily.sum(axis=1))
    censored = rng.exponential(1 / (0.0008 * np.exp(0.6 * x[:, 0])))
    which = 1 + (rng.random(N) > daily[:, 0] / daily.sum(axis=1))
    duration = np.round(np.minimum(happens, censored) + 0.01, 4)
    assert len(np.unique(duration)) == N
    x = np.round((x - x.mean(axis=0)) / x.std(axis=0), 6)
    return x, arm, duration, np.where(happens <= censored, which, 0)


def increments(x: np.ndarray, duration: np.ndarray, event: np.ndarray, at: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Steps of the cumulative hazard of each row of `at` at `times`."""
    model = CoxPHSurvivalAnalysis(alpha=float(x.shape[1]), ties="efron", tol=1e-12, n_iter=500)
    model.fit(x, np.array(list(zip(event, duration, strict=True)), dtype=[("e", bool), ("t", float)]))
    steps = np.array(
        [[f(t) if t >= f.x[0] else 0.0 for t in times] for f in model.predict_cumulative_hazard_function(at)]
    )
    return np.diff(steps, axis=1, prepend=0.0)


def initial(x: np.ndarray, arm: np.ndarray, duration: np.ndarray, cause: np.ndarray) -> dict[int, InitialEstimates]:
    """Of both arms."""
    times = np.unique(np.concatenate([duration, HORIZONS]))
    times = times[times <= HORIZONS[-1]]
    found = {}
    propensity = LogisticRegression(C=1e4, tol=1e-10, max_iter=1000).fit(x, arm).predict_proba(x)
    for a in (0, 1):
        own = arm == a
        hazards = np.stack([increments(x[own], duration[own], cause[own] == k, x, times) for k in (1, 2)], axis=-1)
        leaving = increments(x[own], duration[own], cause[own] == 0, x, times)
        found[a] = InitialEstimates(
            times=times,
            g_star_obs=(arm == a).astype(int),
            propensity_scores=propensity[:, a],
            hazards=hazards,
            event_free_survival_function=np.exp(-np.cumsum(hazards.sum(axis=-1), axis=1)),
            censoring_survival_function=np.exp(-np.cumsum(leaving, axis=1)),
        )
    return found


def main() -> None:
    """Target, and write."""
    x, arm, duration, cause = simulated()
    start = initial(x, arm, duration, cause)
    points, errors = [], []
    for a in (0, 1):
        one = UpdatedEstimates.from_initial_estimates(start[a], [1, 2], HORIZONS, 0.01)
        now = get_eic({a: one}, duration, cause)
        step, norm = 0.05, np.inf
        while norm > 1e-6 and step > 1e-12:
            of = combine_summarized_eic(now)
            of = of[of["Event"] > 0]
            norm = calculate_norm_pn_eic(of["PnEIC"])
            own = now[a]
            moved = update_hazards(
                own.hazards,
                own.event_free_survival_function,
                own.nuisance_weight,
                own.times,
                of,
                norm,
                step,
                [1, 2],
                HORIZONS,
            )
            free = np.exp(-np.cumsum(moved.sum(axis=-1), axis=1))
            trial = UpdatedEstimates(
                times=own.times,
                hazards=moved,
                event_free_survival_function=free,
                propensity_scores=own.propensity_scores,
                censoring_survival_function=own.censoring_survival_function,
                min_nuisance=0.01,
                target_times=HORIZONS,
                target_events=[1, 2],
                g_star_obs=own.g_star_obs,
            )
            then = get_eic({a: trial}, duration, cause)
            after = combine_summarized_eic(then)
            if calculate_norm_pn_eic(after[after["Event"] > 0]["PnEIC"]) < norm:
                now = then
            else:
                step /= 2
        own = now[a]
        before = np.column_stack([np.ones(N), own.event_free_survival_function[:, :-1]])
        risk = np.cumsum(before[:, :, None] * own.hazards, axis=1)[:, np.searchsorted(own.times, HORIZONS)]
        points.append(risk.mean(axis=0).T.tolist())
        table = combine_summarized_eic(now).set_index(["Event", "Time"])["seEIC"]
        errors.append([[float(table[k, t]) / np.sqrt(N) for t in HORIZONS] for k in (1, 2)])
    packages = ("pytmle", "scikit-survival", "scikit-learn", "numpy", "torch")
    found = {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "horizons_days": HORIZONS,
        "x": x.tolist(),
        "arm": arm.tolist(),
        "duration_days": duration.tolist(),
        "cause": cause.tolist(),
        "risk": points,
        "standard_error": errors,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
