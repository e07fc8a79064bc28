"""What an artifact may hold beside its risk model: arrays and blocks, rebuilt, and proven by the example's patient.

Names of arrays begin with ``novelty/``, ``cell_novelty/``, ``states/`` or ``counts/``. Models of transitions between
states hold about (1 + refits) · moves · (times + features) numbers of 8 bytes: 30 refits of 5 moves on 300 days by 40
features 0.4 MB.
Novelty holds features · min(features, rows) and a distance a row: 80 features 0.05 MB. Expected numbers hold features,
and two numbers for each day of events and landmark: 300 days from two landmarks 0.01 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.novelty import Novelty
from features.records import PatientRecord
from features.request import to_patients
from training.artifact.blocks import NoveltyBlock
from training.artifact.manifest import Manifest
from training.models.expected_counts import ExpectedCounts
from training.models.predictor import KnownSamples
from training.models.risk_model import FittedRiskModel
from training.models.seeing import embedding_of
from training.models.states import StateModel

STATES = "states/"
"""Before the names of arrays of models of transitions."""
NOVELTY, CELL_NOVELTY = "novelty/", "cell_novelty/"
"""Before the names of arrays of the novelty of patients, and of their cells."""
COUNTS = "counts/"
"""Before the names of arrays of expected numbers of events."""


def part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Those whose names begin with a prefix, by what follows it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def named(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays by the name under which the weights hold them; `part` takes them out again."""
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def _require_width(what: str, width: int, expected: int) -> None:
    """Refuse arrays of other features than the model's."""
    if width != expected:
        msg = f"{what} of {width} features, the model of {expected}"
        raise ValueError(msg)


def _largest_error(found: object, expected: object, rule: str) -> float:
    """Largest deviation of an example's answer from the one in the manifest; there has to be one of the same shape."""
    answer, kept = np.array(found), np.array(expected)
    if not answer.size or answer.shape != kept.shape:
        raise ValueError(rule)
    return float(np.abs(answer - kept).max())


def novelty_block(novelty: Novelty, prefix: str = NOVELTY) -> tuple[NoveltyBlock, dict[str, NDArray[Any]]]:
    """The two halves of a novelty: plain JSON, and arrays by the name under which the weights hold them."""
    n_patients = tuple(map(len, novelty.left_out))
    block = NoveltyBlock(floor=novelty.floor, landmark_days=novelty.landmark_days, n_patients=n_patients)
    return block, named(prefix, novelty.state())


def novelty_arrays(novelty: Novelty | None, of_cells: Novelty | None) -> dict[str, NDArray[Any]]:
    """Those of both, by the name under which the weights hold them; none without."""
    both = ((novelty, NOVELTY), (of_cells, CELL_NOVELTY))
    held = [novelty_block(one, prefix)[1] for one, prefix in both if one is not None]
    return {name: array for arrays in held for name, array in arrays.items()}


def rebuild_novelty(
    manifest: Manifest, arrays: Mapping[str, NDArray[Any]], model: FittedRiskModel
) -> tuple[Novelty | None, Novelty | None]:
    """That of patients, and that of their cells; None where the manifest has none.

    Raises:
        ValueError, LookupError: The arrays do not fit.
    """
    width = embedding_of(model.predictor, KnownSamples.none(0)).shape[1]
    novelty = _novelty(manifest.novelty, part(arrays, NOVELTY), len(model.encoder.feature_names))
    return novelty, _novelty(manifest.cell_novelty, part(arrays, CELL_NOVELTY), width)


def _novelty(block: NoveltyBlock | None, arrays: Mapping[str, NDArray[Any]], width: int) -> Novelty | None:
    if block is None:
        return None
    novelty = Novelty.from_state(block.floor, block.landmark_days, block.n_patients, arrays)
    _require_width("novelty is", len(novelty.mean), width)
    return novelty


def state_arrays(states: StateModel | None) -> dict[str, NDArray[Any]]:
    """Those of models of transitions, by the name under which the weights hold them; none without."""
    return {} if states is None else named(STATES, states.state())


def rebuild_states(manifest: Manifest, arrays: Mapping[str, NDArray[Any]]) -> StateModel | None:
    """None where the manifest has none."""
    block = manifest.states
    return None if block is None else StateModel.from_state(block.names, block.moves, part(arrays, STATES))


def states_of_example(
    model: FittedRiskModel, states: StateModel, patient: PatientRecord, times_days: tuple[float, ...]
) -> tuple[tuple[float, ...], ...]:
    """Probabilities (times, states) of one patient record."""
    x = model.encoder.transform(to_patients([patient], model.encoder))[0]
    return tuple(tuple(map(float, row)) for row in states.course(x, np.array(times_days)).point[0])


def states_error(model: FittedRiskModel, states: StateModel | None, manifest: Manifest) -> float:
    """Largest deviation of the states of the example's patient; 0 without models of transitions."""
    if states is None or manifest.states is None:
        return 0.0
    found = states_of_example(model, states, manifest.example.patient, manifest.example.times_days)
    rule = "an example answers for every state, at one time or more"
    return _largest_error(found, manifest.states.example, rule)


def count_arrays(counts: ExpectedCounts | None) -> dict[str, NDArray[Any]]:
    """Those of expected numbers of events, by the name under which the weights hold them; none without."""
    return {} if counts is None else named(COUNTS, counts.state())


def rebuild_counts(
    manifest: Manifest, arrays: Mapping[str, NDArray[Any]], model: FittedRiskModel
) -> ExpectedCounts | None:
    """None where the manifest has none.

    Raises:
        ValueError, LookupError: The arrays do not fit.
    """
    block = manifest.counts
    if block is None:
        return None
    counts = ExpectedCounts.from_state(block.landmark_days, block.n_times, block.penalty, part(arrays, COUNTS))
    _require_width("counts are", len(counts.beta), len(model.encoder.feature_names))
    return counts


def counts_of_example(
    model: FittedRiskModel, counts: ExpectedCounts, patient: PatientRecord, times_days: tuple[float, ...]
) -> tuple[float, ...]:
    """Expected numbers (times,) of one patient record."""
    patients = to_patients([patient], model.encoder)
    expected = counts.expected(model.encoder.transform(patients), patients.landmark_day, np.array(times_days))
    return tuple(map(float, expected[0]))


def counts_error(model: FittedRiskModel, counts: ExpectedCounts | None, manifest: Manifest) -> float:
    """Largest deviation of the expected numbers of the example's patient; 0 without any."""
    if counts is None or manifest.counts is None:
        return 0.0
    found = counts_of_example(model, counts, manifest.example.patient, manifest.example.times_days)
    rule = "an example expects a number of events by every time, and by one or more"
    return _largest_error(found, manifest.counts.example, rule)
