"""What cells carry: without a state, by gene, changed, and against permuted patients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.cells_truth import CPU
from benchmarks.planted import CARD, N_MARKERS, planted
from features.cells.bag import Bags
from features.cells.quality import select_cells
from features.cells.summary import CellSummary, summarise
from features.config import FeatureConfig
from features.outcomes import Outcomes
from features.patients import Patients
from training.config import AttentionConfig
from training.evaluation.brier import brier_score
from training.evaluation.ipcw import scoring_weights
from training.fit import fit_risk_model
from training.mechanisms.against import AgainstExchanged
from training.mechanisms.agreement import first_order_gain
from training.mechanisms.changed_cells import with_cells_of_others
from training.mechanisms.exchanged import mechanisms
from training.mechanisms.genes import TOLERANCE, gene_contributions
from training.mechanisms.perturbation import SILENCED, Perturbation, perturbed
from training.mechanisms.reading import Asked, read
from training.mechanisms.states import CellState, rows_with, states_of
from training.models.attribution import risk_of_logits
from training.models.bag_network import BagNetwork
from training.models.predictor import KnownSamples
from training.models.risk_model import FittedRiskModel
from training.models.sample_layout import CellBatch, SampleLayout

Fitted = Callable[[str], FittedRiskModel]
Wards = Callable[..., Any]
AT = np.array([90.0])
MARKERS = tuple(f"gene{i}" for i in range(N_MARKERS))
every_kind = pytest.mark.parametrize("kind", ["attention", "set_transformer"])


def of_bags(patients: Patients, bags: list[Any]) -> Patients:
    """The same patients with other cells, everything that follows from them made anew."""
    samples = patients.samples
    assert samples is not None
    summary = CellSummary.concatenate(
        [summarise(bag, counts=True) if len(bag) else CellSummary.of_no_cells(1) for bag in bags]
    )
    return replace(patients, samples=replace(samples, summary=summary, bags=Bags.of(bags)))


def bags_of(patients: Patients) -> list[Any]:
    assert patients.samples is not None
    assert patients.samples.bags is not None
    return [patients.samples.bags[i] for i in range(len(patients.samples.bags))]


@pytest.mark.parametrize("cell_type", ["CD8 T", None])
@pytest.mark.parametrize("kind", ["attention", "network"])
def test_cells_of_a_state_come_from_another_patient_and_nothing_else_changes(
    kind: str, cell_type: str | None, fitted: Fitted, ward: Wards
) -> None:
    model, patients = fitted(kind), ward(5, 12, 0.0).patients()
    state = CellState("blood", cell_type)
    other = with_cells_of_others(patients, state, np.random.default_rng(3), counts=True, sums=True)
    before, after = bags_of(patients), bags_of(other)
    here = patients.samples.material == "blood"
    for i, (one, changed) in enumerate(zip(before, after, strict=True)):
        kept = select_cells(one, ~state.of(one)) if here[i] else one
        rest = select_cells(changed, ~state.of(changed)) if here[i] else changed
        assert profile(rest) == profile(kept)
    pool = [profile(select_cells(bag, state.of(bag))) for bag, own in zip(before, here, strict=True) if own]
    given = [profile(select_cells(bag, state.of(bag))) for bag, own in zip(after, here, strict=True) if own]
    assert sorted(map(sorted, given)) == sorted(map(sorted, pool))
    assert all(one != new for one, new in zip(pool, given, strict=True) if one)
    expected = model.predict_incidence(of_bags(patients, after), AT).values
    np.testing.assert_allclose(model.predict_incidence(other, AT).values, expected, atol=1e-12)
    touched = np.zeros(len(patients), dtype=bool)
    touched[rows_with(patients, CellState("blood", None))] = True
    as_it_was = model.predict_incidence(patients, AT).values
    np.testing.assert_array_equal(model.predict_incidence(other, AT).values[~touched], as_it_was[~touched])


def profile(bag: Any) -> list[Any]:
    """The cells of a bag, each as its type and its counts by gene, in any order."""
    cells = []
    for cell in range(len(bag)):
        part = slice(bag.indptr[cell], bag.indptr[cell + 1])
        genes = [bag.genes[j] for j in bag.indices[part]]
        cells.append((bag.cell_type[cell], tuple(sorted(zip(genes, bag.values[part].tolist(), strict=True)))))
    return sorted(cells)


def test_states_are_those_that_enough_patients_have_by_their_landmark(ward: Wards) -> None:
    patients = ward(5, 12, 0.0).patients()
    found = states_of(patients, ("infusion_product", "blood"), 1)
    assert [one.name for one in found[:2]] == ["infusion_product", "infusion_product:CD4 T"]
    assert len(found) == 8
    assert states_of(patients, ("blood",), 13) == ()
    early = patients.at_landmark(-100.0)
    assert states_of(early, ("infusion_product", "blood"), 1) == ()
    assert states_of(replace(patients, samples=None), ("blood",), 1) == ()


@every_kind
def test_contributions_of_genes_add_up_and_follow_their_definition(kind: str, fitted: Fitted, ward: Wards) -> None:
    model, patients = fitted(kind), ward(5, 6, 0.0).patients()
    network = _with_weights(model.predictor)
    samples, x = KnownSamples.of(patients), model.encoder.transform(patients)
    states = states_of(patients, network.materials, 1)
    found = gene_contributions(network, x, samples, states, 1, AT[0])
    assert found.values.shape == (len(x), len(states), len(network.cells.genes))
    assert 0 < found.gap <= TOLERANCE
    whole = [j for j, state in enumerate(states) if state.cell_type is None]
    types = [j for j, state in enumerate(states) if state.cell_type is not None]
    np.testing.assert_allclose(found.values[:, whole].sum(axis=1), found.values[:, types].sum(axis=1), atol=1e-9)
    moved = network.incidence_of_cells(x, patients.landmark_day, AT, samples)[:, 0, 0]
    alike = _all_cells_alike(network, x, samples)
    np.testing.assert_allclose(found.values[:, whole].sum(axis=(1, 2)), moved - alike, atol=2 * TOLERANCE)
    known = np.isin(np.arange(len(x)), samples.row)
    assert np.isnan(found.raises[~known]).all()
    assert np.isin(found.raises[known], (0.0, 1.0)).all()
    row = int(np.flatnonzero(np.abs(found.values).sum(axis=(1, 2)))[0])
    by_hand = _contribution_by_differences(network, x[row], samples, row, gene=2)
    assert found.values[row, whole, 2].sum() == pytest.approx(by_hand, abs=2e-4)
    assert np.abs(by_hand) > 1e-5


def _all_cells_alike(network: BagNetwork, x: Any, samples: KnownSamples) -> Any:
    """(rows,): risk with every cell at the middle of the training cells."""
    module, layout = copy.deepcopy(network.module).double(), SampleLayout.of(samples, network.materials)
    pooled = []
    for number, first in enumerate(layout.first):
        table = module.center.expand(1, len(network.cells.prepare(samples.bags[int(first)])), -1)
        known = torch.ones(table.shape[:2], dtype=torch.bool)
        pooled.append(module.pool(CellBatch(table, known, torch.tensor([int(layout.material[number])]))))
    grid = layout.grid(np.arange(len(x)), torch.float64)
    logits = module.fuse(torch.as_tensor(x), torch.cat(pooled, dim=1), grid)
    return risk_of_logits(logits, torch.as_tensor(network.edges_days), torch.as_tensor(AT))[:, 0, 0].detach().numpy()


def _with_weights(network: Any) -> BagNetwork:
    """A few epochs teach hardly anything: a copy in which no weight is small."""
    module, rng = copy.deepcopy(network.module), np.random.default_rng(0)
    for parameter in module.parameters():
        parameter.add_(0.2 * torch.as_tensor(rng.normal(size=parameter.shape), dtype=parameter.dtype))
    return BagNetwork(module, network.cells, network.materials, network.edges_days)


def _contribution_by_differences(network: BagNetwork, x: Any, samples: KnownSamples, row: int, gene: int) -> float:
    """∫ of the directional derivative along (e − ē) of one gene, by central differences in double precision."""
    module = copy.deepcopy(network.module).double()
    layout = SampleLayout.of(samples, network.materials)
    own = layout.occurrence[row][layout.occurrence[row] >= 0]
    center = module.center.numpy()
    tables, directions = [], []
    for j in own:
        prepared = network.cells.prepare(samples.bags[int(j)])
        n_genes = len(network.cells.genes)
        tables.append(prepared.rows(np.arange(len(prepared)), n_genes).astype(float))
        raw = replace(network.cells, pca=None).prepare(samples.bags[int(j)])
        level = raw.rows(np.arange(len(raw)), n_genes)[:, gene].astype(float)
        pca = network.cells.pca
        if pca is None:
            directions.append((level - center[gene])[:, None] * np.eye(n_genes)[gene])
        else:
            directions.append((level - pca.center[gene])[:, None] * (pca.components / pca.scale)[:, gene])

    def risk(share: float, step: float) -> float:
        pooled = []
        for table, direction, j in zip(tables, directions, own, strict=True):
            at = torch.as_tensor(center + share * (table - center) + step * direction)
            known = torch.ones((1, len(at)), dtype=torch.bool)
            material = torch.tensor([network.materials.index(str(samples.material[int(j)]))])
            pooled.append(module.pool(CellBatch(at[None], known, material)))
        grid = layout.grid(np.array([row]), torch.float64)
        slots = torch.arange(grid.slot.shape[1])[None]
        logits = module.fuse(torch.as_tensor(x)[None], torch.cat(pooled, dim=1), grid._replace(slot=slots))
        return float(risk_of_logits(logits, torch.as_tensor(network.edges_days), torch.as_tensor(AT))[0, 0, 0])

    nodes, weights = np.polynomial.legendre.leggauss(64)
    slopes = [(risk(0.5 * (a + 1), 1e-5) - risk(0.5 * (a + 1), -1e-5)) / 2e-5 for a in nodes]
    return float(0.5 * weights @ np.array(slopes))


@settings(max_examples=15, deadline=None)
@given(first=st.sampled_from([-2.0, -1.0, 0.0, 1.0, SILENCED]), second=st.sampled_from([-1.0, 0.0, 1.0]))
def test_changes_of_a_program_follow_one_another(first: float, second: float) -> None:
    cohort = planted(4, 3, n_cells=20)
    state = CellState("infusion_product", "A")

    def change(patients: Patients, fold: float) -> Patients:
        return perturbed(patients, Perturbation("two", ("gene1", "gene50"), state, fold), sums=True)

    both, once = change(change(cohort.patients, first), second), change(cohort.patients, first + second)
    for one, other, before in zip(bags_of(both), bags_of(once), bags_of(cohort.patients), strict=True):
        np.testing.assert_allclose(one.values, other.values)
        same = ~np.isin(one.indices, [1, 50]) | np.repeat(one.cell_type != "A", np.diff(one.indptr))
        np.testing.assert_array_equal(one.values[same], before.values[same])
        np.testing.assert_allclose(one.values[~same], before.values[~same] * 2.0 ** (first + second))
    assert both.samples is not None
    expected = of_bags(cohort.patients, bags_of(once)).samples
    assert expected is not None
    found, made = (one.summary.aligned(one.summary.cell_types, one.summary.genes) for one in (both.samples, expected))
    np.testing.assert_allclose(found.total, made.total)
    np.testing.assert_allclose(found.lognorm, made.lognorm)


def test_p_values_count_exchanges_and_what_is_not_known_counts_against() -> None:
    tested = AgainstExchanged(np.array([3.0, 1.0, 2.0]), np.array([[1.0, 1.0, 5.0], [2.0, 0.0, 0.0], [3.0, 2.0, 1.0]]))
    np.testing.assert_allclose(tested.p, [2 / 4, 3 / 4, 2 / 4])
    some = np.array([True, True, False])
    np.testing.assert_allclose(tested.p_of_largest(some), [2 / 4, 4 / 4, np.nan])
    assert np.isnan(tested.p_of_largest(np.zeros(3, dtype=bool))).all()
    unknown = AgainstExchanged(np.array([np.nan, 1.0]), np.array([[0.0, np.nan], [0.0, 0.5]]))
    np.testing.assert_allclose(unknown.p, [np.nan, 2 / 3])
    every = np.ones(2, dtype=bool)
    np.testing.assert_allclose(unknown.p_of_largest(every), [np.nan, 1 / 3])
    nothing = AgainstExchanged(np.array([1.0, 2.0]), np.array([[np.nan, np.nan], [0.0, np.nan]]))
    np.testing.assert_allclose(nothing.p_of_largest(every), [2 / 3, 2 / 3])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), cause=st.sampled_from([1, 2]), resampled=st.booleans())
def test_first_order_gain_is_the_fall_of_the_brier_score(seed: int, cause: int, *, resampled: bool) -> None:
    """The Brier score is quadratic in what is added, so that central differences are exact."""
    rng, n, at = np.random.default_rng(seed), 40, np.array([60.0])
    outcomes = Outcomes(np.ceil(rng.exponential(60.0, n)), rng.integers(0, 3, n), ("relapse", "death"))
    alike, moved = rng.uniform(0.2, 0.5, n), rng.normal(0.0, 0.05, (n, 3))
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=2).astype(float) if resampled else None
    weights = scoring_weights(outcomes, at, resamples=drawn)
    found = first_order_gain(moved, alike, outcomes, cause, at[0], drawn)
    assert found.shape == ((2, 3) if resampled else (3,))
    if np.isnan(weights.after).any():
        assert np.isnan(found[np.isnan(weights.after[..., 0])]).all()
        return

    def score(risk: Any) -> Any:
        incidence = np.stack([risk, risk], axis=1)[..., None]
        return brier_score(incidence, at, outcomes, weights)[..., cause - 1, 0]

    shift = np.atleast_1d((score(alike - 0.5) - score(alike + 0.5)) / 2)  # Σ w r / n
    size = np.atleast_1d(2 * (score(alike + 0.5) + score(alike - 0.5) - 2 * score(alike)))  # Σw / n
    for row, (mean, gains) in enumerate(zip(shift / size, np.atleast_2d(found), strict=True)):
        for j in range(3):
            fall = np.atleast_1d(score(alike + mean - moved[:, j]) - score(alike + mean + moved[:, j]))[row] / 2
            assert gains[j] == pytest.approx(fall, abs=1e-12)
    np.testing.assert_allclose(first_order_gain(moved + 7.0, alike, outcomes, cause, at[0], drawn), found, atol=1e-10)


def test_only_networks_of_cells_can_be_read(fitted: Fitted, ward: Wards) -> None:
    patients = ward(5, 6, 0.0).patients()
    with pytest.raises(TypeError, match="cox is not a network of single cells"):
        read(fitted("cox"), patients, patients, np.arange(6), Asked((), (), 1, 90.0, counts=True), (0,))


def asked_of(cohort: Any, n_exchanges: int, told: Any = None) -> Any:
    small = AttentionConfig(members=2, max_epochs=20)

    def fit(patients: Patients, outcomes: Outcomes) -> FittedRiskModel:
        return fit_risk_model(patients, outcomes, CARD, FeatureConfig(cells=()), small, CPU, seed=0)

    state = CellState("infusion_product", None)
    changes = (Perturbation("markers", MARKERS, state, SILENCED), Perturbation("others", ("gene90",), state, SILENCED))
    asked = Asked((state, CellState("infusion_product", "A")), changes, 1, 180.0, counts=True)
    return mechanisms(
        cohort.patients, cohort.outcomes, fit, asked, n_folds=2, n_exchanges=n_exchanges, seed=0, progress=told
    )


def test_planted_markers_lead() -> None:
    told: list[tuple[int, int]] = []
    found = asked_of(planted(160, 4, n_cells=40, share=0.15), 2, lambda done, of: told.append((done, of)))
    assert told[-1] == (6, 6)
    assert sorted(found.rows.tolist()) == list(range(160))
    leading = {found.genes[j] for j in np.argsort(-found.gene_agreement.observed)[:N_MARKERS]}
    assert leading == set(MARKERS)
    assert (found.agreement.p == 1 / 3).all()
    assert all(found.gene_agreement_interval[found.genes.index(name)].low > 0 for name in MARKERS)
    assert found.gain_interval[0].low > 0
    assert found.gain.p[0] == 1 / 3
    marker = [found.genes.index(name) for name in MARKERS]
    assert (found.raises[marker] > 0.5).all()
    assert found.effect_interval[0].high < -0.05 < found.effect_interval[1].low
    everything = np.ones(len(found.genes), dtype=bool)
    passing = found.gene_agreement.p_of_largest(everything) == 1 / 3
    assert passing[marker].all()
    assert passing.sum() <= N_MARKERS + 4


def test_where_only_the_clinic_tells_no_cell_is_said_to_help() -> None:
    """The network with cells differs from that without, for other reasons than whose cells they are."""
    cohort = planted(160, 5, "nothing", n_cells=40)
    age = (cohort.patients.baseline["age"] - 60) / 10
    rng = np.random.default_rng(5)
    relapse, other = rng.exponential(1 / (0.006 * np.exp(1.5 * age))), rng.exponential(500.0, len(age))
    days, cause = np.ceil(np.minimum(relapse, other)), np.where(relapse < other, 1, 0)
    strong = replace(cohort, outcomes=Outcomes(days, cause, ("relapse", "death")))
    found = asked_of(strong, 1)
    assert found.gain_interval[0].low < 0
    without = np.concatenate([one.incidence for one in found.readings])
    assert without[:, 0].std() > 0.1  # it does predict
