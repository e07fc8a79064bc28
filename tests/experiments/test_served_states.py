"""A run with `states`: its artifact answers what `sequela benefit-risk --patient` says of the same patients."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preloaded import SEQUELA

from experiments.benefit_risk import ask, patient_states
from experiments.benefit_risk.patient import PatientInput
from experiments.config import load_run
from experiments.data import all_patients
from experiments.home import CONFIGS, Home
from experiments.served_states import histories_of_run
from features.check import read_cohort, read_endpoint
from features.errors import SequelaError
from features.records import PatientRecord
from features.request import to_patients
from serving.card import model_card
from serving.state_messages import Banded, StatesRequest
from serving.states import states_request
from training.artifact.folder import Artifact, read_artifact

N_RESAMPLES = 20
EXACT = {"rel": 0, "abs": 1e-9}
RECORD: dict[str, Any] = {"patient_id": "P1", "baseline": {"age": 68.0, "product": "axi-cel"}, "landmark_day": 0.0}
ENDPOINT = """
name: infection
event: {name: infection, min_grade: 3}
competing: [{name: death}, {name: relapse}]
landmark_days: %s
horizons_days: [90, 180, 365]
"""


def trained(cohort: Path, home: Home, endpoint: Path, *overrides: str) -> Artifact:
    """The artifact of a run of the shipped configuration."""
    given = (f"cohort={cohort}", f"endpoint={endpoint}", "validation={folds: 2, bootstrap: 20}", "model.penalty=50")
    words = [word for one in (*given, f"states.resamples={N_RESAMPLES}", *overrides) for word in ("--set", one)]
    run = [SEQUELA, "train", CONFIGS / "run" / "states.yaml", *words]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (folder,) = home.runs.iterdir()
    return read_artifact(folder / "artifact")


def endpoint_in(folder: Path, landmarks: str) -> Path:
    path = folder / "infection.yaml"
    path.write_text(ENDPOINT % landmarks, encoding="utf-8")
    return path


def test_the_service_says_what_the_command_line_says(cohort: Path, home: Home, tmp_path: Path) -> None:
    """One landmark and no cells: both encode patients alike, so every number is the same to 1e-9."""
    endpoint = endpoint_in(tmp_path, "[0]")
    artifact = trained(cohort, home, endpoint, "features={cells: []}")
    record = tmp_path / "patient.json"
    record.write_text(json.dumps(RECORD), encoding="utf-8")
    asked = ["--patient", record, "--resamples", str(N_RESAMPLES), "--seed", "0", "--weights", "infection=0.3"]
    run = [SEQUELA, "benefit-risk", cohort, "--endpoint", endpoint, *asked, "--json"]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    request = StatesRequest.model_validate({"patients": [RECORD], "worth": {"infection": 0.3}})
    answer = states_request(artifact, "m:1", request)
    (own,) = answer.patients
    assert own.basis == "transitions"
    assert own.transitions is not None
    assert answer.horizon_days == told["horizon_days"]
    assert list(own.transitions.states) == [one["state"] for one in told["states"]]
    assert answer.worth == {one["state"]: one["worth"] for one in told["states"]}
    compared = 0
    for line in told["patient"]["estimates"]:
        if line["quantity"] in ("probability", "ever", "days"):
            at = own.transitions.times_days.index(line["horizon_days"])
            found = getattr(own.transitions.states[line["state"]], line["quantity"])[at]
        elif line["quantity"] == "harm":
            found = own.transitions.states["infection"].ever[-1]
        else:
            found = {"benefit": own.transitions.benefit_days, "weighted days": own.transitions.weighted_days}[
                line["quantity"]
            ]
        assert (found.value, found.low, found.high) == pytest.approx(
            (line["point"], line["low"], line["high"]), **EXACT
        ), line
        compared += 1
    assert compared == 3 * (4 + 3 + 4) + 3
    assert not told["patient"]["not_given"] or set(told["patient"]["not_given"]) <= {
        place.removeprefix("baseline.") for place in own.prediction.missing
    }


def test_of_several_landmarks_the_first_is_followed(cohort: Path, home: Home, tmp_path: Path) -> None:
    """With cells, as the run's own encoder sees patients: `patient_states` of these features, to 1e-9."""
    artifact = trained(cohort, home, endpoint_in(tmp_path, "[0, 30]"))
    block = artifact.manifest.states
    assert block is not None
    question = ask(read_cohort(cohort), artifact.manifest.endpoint)
    assert (block.landmark_day, block.n_patients) == (0.0, len(question.histories))
    everyone = all_patients(
        question.cohort, load_run(CONFIGS / "run" / "states.yaml").features.processing, home.features
    )
    encoder = artifact.model.encoder
    assert encoder.samples is not None
    patient = PatientInput(
        "P1",
        (),
        encoder.transform(to_patients([PatientRecord.model_validate(RECORD)], encoder))[0],
        encoder.transform(everyone.take(question.rows).at_landmark(0.0)),
    )
    expected = patient_states(patient, question, n_resamples=N_RESAMPLES, seed=0)
    later = RECORD | {"landmark_day": 30.0}
    own, other = states_request(artifact, "m:1", StatesRequest.model_validate({"patients": [RECORD, later]})).patients
    assert own.transitions is not None
    for s, course in enumerate(own.transitions.states.values()):
        for t in range(len(own.transitions.times_days)):
            told = [course.probability[t], *([course.ever[t]] if s else []), course.days[t]]
            known = [expected.estimates[t][s][k] for k in ((0, 1, 2) if s else (0, 2))]
            assert [numbers(one) for one in told] == [
                pytest.approx((one.point, one.low, one.high), **EXACT) for one in known
            ]
    assert (other.basis, other.transitions) == ("first_events", None)
    card = model_card(artifact, "m:1").states
    assert card is not None
    assert (card.n_refits, card.landmark_day) == (N_RESAMPLES, 0.0)
    check_probabilities(own.transitions.picture)


def numbers(one: Banded) -> tuple[float, float, float]:
    return one.value, one.low, one.high


def check_probabilities(picture: dict[str, tuple[float, ...]]) -> None:
    together = np.array(list(picture.values()))
    np.testing.assert_allclose(together.sum(axis=0), 1.0, atol=1e-12)
    assert together[:, 0].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert (np.diff(together[0]) <= 0).all()
    assert (np.diff(together[-1]) >= 0).all()  # nobody leaves the last state


def test_what_cannot_be_followed_is_said_before_anything_is_fitted(cohort: Path, tmp_path: Path) -> None:
    dying = tmp_path / "dying.yaml"
    dying.write_text("name: dying\nevent: {name: death}\nhorizons_days: [365]\n", encoding="utf-8")
    run = [SEQUELA, "train", CONFIGS / "run" / "states.yaml", "--set", f"cohort={cohort}", "--set", f"endpoint={dying}"]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert "nobody in" in done.stderr
    assert "is followed beyond death" in done.stderr
    far = read_endpoint(endpoint_in(tmp_path, "[0]")).model_copy(update={"horizons_days": (90_000.0,)})
    with pytest.raises(SequelaError, match=r"^states: nobody is followed to day 90000"):
        histories_of_run(read_cohort(cohort), far)


def test_a_run_without_states_is_the_run_it_was() -> None:
    """Digests of configurations of before stay as they are; with states they differ by how many refits there are."""
    path = CONFIGS / "run" / "states.yaml"
    without = load_run(path, ["states=null"])
    assert without.states is None
    later = ("states", "alerts", "counts")
    before = {key: value for key, value in without.model_dump(mode="json").items() if key not in later}
    assert without.digest() == hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()
    digests = {load_run(path, [f"states.resamples={n}"]).digest() for n in (20, 30)} | {without.digest()}
    assert len(digests) == 3
    with pytest.raises(SequelaError, match=r"states\.resamples"):
        load_run(path, ["states.resamples=3"])
