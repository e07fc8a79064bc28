"""One browser and the services whose page it opens: a usual model, and one with all that is long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from browser import Browser, opened_browser
from risk_page import Json

from experiments.page.privacy import Disclosure
from experiments.risk_groups import groups_of
from features.schema import Decision, Endpoint, EventRule, Tier
from serving.keys import add_key
from serving.store import publish
from tests.serving.conftest import CARD, ENDPOINT, FEATURES, make_artifact
from training.artifact.manifest import RiskGroups, ThresholdBenefit
from training.config import CoxConfig, TrainerConfig, WithIntervalsConfig
from training.fit import fit_risk_model
from training.models.risk_model import FittedRiskModel

LISTENING = """
window.refusedByPolicy = [];
document.addEventListener('securitypolicyviolation', event => {
  refusedByPolicy.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""
DECISION = Decision(
    horizon_days=180,
    tiers=(
        Tier(name="standard", options=("herpes_prophylaxis",)),
        Tier(name="raised", from_risk=0.05, options=("growth_factor",)),
        Tier(name="high", from_risk=0.9, options=("immunoglobulin_replacement",)),
    ),
)
LONG = Endpoint(
    name="prolonged_severe_hypogammaglobulinaemia",
    event=EventRule(name="immune_effector_cell_associated_haematotoxicity", min_grade=3),
    competing=(
        EventRule(name="relapse"),
        EventRule(name="second_primary_malignancy"),
        EventRule(name="death_without_relapse_or_malignancy"),
    ),
    landmark_days=(0.0, 30.0, 90.0, 92.0, 180.0),
    horizons_days=(90.0, 180.0, 365.0, 730.0, 1825.0),
    decision=Decision(
        horizon_days=365,
        tiers=tuple(
            Tier(name=f"tier_of_a_long_name_{i}", from_risk=risk) for i, risk in enumerate((0.0, 0.01, 0.02, 0.025))
        ),
    ),
)


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened_browser(tmp_path_factory.mktemp("profile")) as opened:
        if opened is None:
            pytest.skip("needs Chromium")
        opened.call("Page.addScriptToEvaluateOnNewDocument", source=LISTENING)
        still = [{"name": "prefers-reduced-motion", "value": "reduce"}]  # what is scrolled to is there at once
        opened.call("Emulation.setEmulatedMedia", features=still)
        yield opened


@pytest.fixture(scope="package")
def page_server(
    cohort: Any, start_server: Any, store_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A model with intervals, which says what became of patients of similar risk."""
    folder = tmp_path_factory.mktemp("page")
    fitted = fitted_with_intervals(cohort.patients, cohort.outcomes)
    make_artifact(
        fitted,
        folder / "artifact",
        "cox-for-tests",
        calibration=calibration_of(fitted, cohort),
        endpoint=ENDPOINT.model_copy(update={"decision": DECISION}),
        decision=(ThresholdBenefit(landmark_day=0, threshold=0.05, flagged=0.9, gain=(0.011, -0.02, 0.03)),),
    )
    with start_server(folder, stored(folder / "artifact", store_home)) as running:
        yield running


@pytest.fixture(scope="package")
def long_server(
    cohort: Any, start_server: Any, store_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Five horizons, five landmarks, two of them near each other, four causes of long names, tiers near each other."""
    folder = tmp_path_factory.mktemp("long")
    outcomes = cohort.outcomes
    cause = np.where(outcomes.cause > 0, 1 + np.arange(len(outcomes.cause)) % 4, 0)
    fitted = fitted_with_intervals(cohort.patients, type(outcomes)(outcomes.duration_days, cause, LONG.causes))
    metrics = {f"{metric}/{cause}": 0.5 for metric in ("ibs", "auc_90d_from30") for cause in LONG.causes}
    make_artifact(fitted, folder / "artifact", "long-for-tests", endpoint=LONG, metrics=metrics)
    with start_server(folder, stored(folder / "artifact", store_home)) as running:
        yield running


@pytest.fixture(scope="package")
def keyed(
    start_server: Any, store_home: Path, tag: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, str]]:
    """A service that asks for keys, and a key for predictions alone."""
    folder = tmp_path_factory.mktemp("keyed")
    _, token = add_key(folder / "keys.json", "ward", ["predict"])
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag, "SEQUELA_KEYS": str(folder / "keys.json")}
    with start_server(folder, env) as running:
        yield running, token


def stored(artifact: Path, store_home: Path) -> dict[str, str]:
    """The environment of a service of an artifact, once it is in the store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(store_home))
        tag = publish(artifact, {"registry_version": "1"})
    return {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag}


def fitted_with_intervals(patients: Any, outcomes: Any) -> FittedRiskModel:
    config = WithIntervalsConfig(model=CoxConfig(penalty=1.0), refits=4)
    return fit_risk_model(patients, outcomes, CARD, FEATURES, config, TrainerConfig(accelerator="cpu"), seed=1)


def calibration_of(fitted: FittedRiskModel, cohort: Any) -> tuple[RiskGroups, ...]:
    """Groups of the cohort by predicted risk, at each landmark and horizon."""
    risk = fitted.predict_incidence(cohort.patients, np.array(ENDPOINT.horizons_days)).values[:, 0]
    shown = Disclosure(guarded=False, individual_lines=False)
    found = []
    for day in ENDPOINT.landmark_days:
        of_day = np.flatnonzero(cohort.patients.landmark_day == day)
        for at, horizon in enumerate(ENDPOINT.horizons_days):
            groups = groups_of(risk[of_day, at], cohort.outcomes.take(of_day), horizon, shown)
            found.append(RiskGroups(landmark_day=day, horizon_days=horizon, groups=tuple(groups)))
    return tuple(found)


@pytest.fixture(scope="package")
def client(page_server: Any) -> Iterator[httpx.Client]:
    with page_server.client() as opened:
        yield opened


@pytest.fixture(scope="package")
def card(client: httpx.Client) -> Json:
    answer: Json = client.get("/v1/model").json()
    return answer
