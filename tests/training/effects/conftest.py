"""The studies whose comparisons were computed with R, and simulated ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.effects.arms import Arms

CAUSES = ("infection", "death")
STUDIES = ("simulated", "mgus2", "ebmt2_cause_of_death", "okiss_bsi_after_sct")
DERIVED: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "mgus2": lambda d: d.assign(arm=d.sex, stratum=np.searchsorted([65, 75], d.age, side="right"), cluster=d.dxyr),
    "ebmt2_cause_of_death": lambda d: d.assign(arm=d.dissub, stratum=d.match, cluster=np.arange(1, len(d) + 1) % 500),
    "okiss_bsi_after_sct": lambda d: d.assign(arm=d.allo, stratum=d.sex, cluster=np.arange(1, len(d) + 1) % 100),
}


@dataclass(frozen=True)
class Study:
    """Arms, clusters of patients, and what R says of them."""

    arms: Arms
    cluster: NDArray[np.int64]
    golden: dict[str, Any]


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """Values computed by tests/golden/effects.R."""
    path = Path(__file__).resolve().parents[2] / "golden" / "effects.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="session", params=STUDIES)
def study(request: pytest.FixtureRequest, golden: dict[str, Any]) -> Study:
    """Each of the studies; real ones are read from their tables."""
    case = next(case for case in golden["cases"] if case["name"] == request.param)
    if request.param == "simulated":
        table = pd.DataFrame(case["data"])
    else:
        folder: Path = request.getfixturevalue("shared_data")
        table = DERIVED[request.param](pd.read_csv(folder / "competing_risks" / f"{request.param}.csv"))
    names = tuple(map(str, case["arms"]))
    outcomes = Outcomes(
        table["time"].to_numpy(dtype=float),
        table["event"].to_numpy(dtype=np.int64),
        tuple(f"cause {k + 1}" for k in range(len(case["cox"]))),
    )
    arm = np.array([names.index(str(one)) for one in table["arm"]], dtype=np.int64)
    arms = Arms(outcomes, arm, names, pd.factorize(table["stratum"])[0].astype(np.int64))
    return Study(arms, pd.factorize(table["cluster"])[0].astype(np.int64), case)


def drawn(seed: int, n: int = 90, n_arms: int = 3, *, n_strata: int = 3) -> Arms:
    """Arms whose hazards differ, in whole days, so that some are tied."""
    rng = np.random.default_rng(seed)
    arm = np.concatenate([np.arange(n_arms), rng.integers(n_arms, size=n - n_arms)])
    hazard = np.array([0.01, 0.006]) * np.exp(np.outer(arm, [0.4, -0.2]))
    latent = np.column_stack([rng.exponential(150, n), rng.exponential(1 / hazard)])
    outcomes = Outcomes(np.ceil(latent.min(axis=1)), latent.argmin(axis=1), CAUSES)
    return Arms(outcomes, arm, tuple("abcdef"[:n_arms]), rng.integers(n_strata, size=n))


@pytest.fixture(scope="session")
def draw() -> Callable[..., Arms]:
    """`draw(seed, n=90, n_arms=3)`."""
    return drawn
