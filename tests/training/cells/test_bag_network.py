"""Networks that look at single cells: layers, what they read of cells, samples of a patient, and a planted truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from benchmarks.cells_truth import CPU, risk
from benchmarks.planted import CARD, N_MARKERS, planted
from experiments.data import load_rows
from features.cells.bag import Bags, CellBag
from features.cells.embedding import CellPca, Expression
from features.config import FeatureConfig
from features.errors import SequelaError
from features.novelty import Novelty
from features.patients import Patients
from features.records import PatientRecord
from features.request import to_patients
from features.schema import Endpoint, EventRule
from features.simulator import simulate
from training.cells.drawing import CellSource, Step
from training.cells.network_fit import BagTraining
from training.cells.network_start import k_means
from training.config import AttentionConfig, CoxConfig, SetTransformerConfig, sees_cells
from training.fit import fit_risk_model
from training.models.bag_network import BagHazards, BagNetwork, BagSizes, first_member
from training.models.cell_input import CellInput, content_order
from training.models.mixture import Mixture
from training.models.network import NetworkSizes
from training.models.predictor import KnownSamples
from training.models.risk_model import FittedRiskModel
from training.models.sample_layout import CellBatch, SampleGrid, SampleLayout
from training.models.seeing import embedding_of
from training.models.set_layers import InducedAttention

CELL_KINDS = ("attention", "set_transformer")
TIMES = np.array([30.0, 120.0])
Fitted = Callable[[str], FittedRiskModel]
Wards = Callable[..., Any]
every_kind = pytest.mark.parametrize("kind", CELL_KINDS)


def expression(table: NDArray[np.float32]) -> Expression:
    cell, column = np.nonzero(table)
    return Expression(len(table), cell.astype(np.int32), column.astype(np.int32), table[cell, column])


def bag_of(table: NDArray[Any], genes: tuple[str, ...]) -> CellBag:
    cell, gene = np.nonzero(table)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=len(table)))]).astype(np.int64)
    return CellBag(genes, indptr, gene, table[cell, gene].astype(float), np.full(len(table), "T", object))


def module_with_weights(*, trained: bool) -> BagHazards:
    """A module in double precision in which nothing is 0."""
    generator = torch.Generator().manual_seed(0)
    sizes = BagSizes(5, 4, 2, 6, 8, 2, trained=trained, n_blocks=int(trained), n_points=3)
    if not trained:
        sizes = replace(sizes, n_components=5)
    module = BagHazards(NetworkSizes(2, 3, 2, 4, 4), sizes, generator).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


@pytest.mark.parametrize("trained", [False, True])
def test_padding_and_the_order_of_cells_and_samples_do_not_matter(trained: bool) -> None:
    module = module_with_weights(trained=trained)
    rng = np.random.default_rng(1)
    x, cells = torch.as_tensor(rng.normal(size=(3, 3))), torch.as_tensor(rng.normal(size=(3, 7, 5)))
    known = torch.tensor([[True] * 7, [True] * 5 + [False] * 2, [True] + [False] * 6])
    batch = CellBatch(cells, known, torch.tensor([0, 1, 0]))
    slot, there = torch.tensor([[0, 1], [2, 0], [0, 0]]), torch.tensor([[True, True], [True, False], [False, False]])
    days = torch.as_tensor(rng.normal(size=(3, 2, 3)))
    answer = module(x, batch, SampleGrid(slot, days, there))
    padded = CellBatch(torch.cat([cells, 9.0 * torch.ones(3, 4, 5)], 1), torch.cat([known, known[:, :0]], 1), batch[2])
    padded = padded._replace(known=torch.nn.functional.pad(known, (0, 4)))
    wide = SampleGrid(
        torch.nn.functional.pad(slot, (0, 2), value=1),
        torch.nn.functional.pad(days, (0, 0, 0, 2), value=5.0),
        torch.nn.functional.pad(there, (0, 2)),
    )
    torch.testing.assert_close(module(x, padded, wide), answer, rtol=0, atol=1e-10)
    order = torch.as_tensor(rng.permutation(7))
    shuffled = CellBatch(cells[:, order], known[:, order], batch.material)
    flipped = SampleGrid(slot.flip(1), days.flip(1), there.flip(1))
    torch.testing.assert_close(module(x, shuffled, flipped), answer, rtol=0, atol=1e-10)
    torch.testing.assert_close(answer[:, 2], module.clinic(x)[:, 2], rtol=0, atol=0)
    assert (answer[:, :2] - module.clinic(x)[:, :2]).abs().max() > 1e-3


@pytest.mark.parametrize("n_rows", [0, 2])
@pytest.mark.parametrize("n_slots", [0, 1])
def test_cells_take_part_in_training_steps_without_any(n_rows: int, n_slots: int) -> None:
    """They add exactly 0, with gradients of 0 for all their parameters: other processes wait for these."""
    module = module_with_weights(trained=True)
    x = torch.randn(n_rows, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    batch = CellBatch(torch.zeros(1, 1, 5).double(), torch.zeros(1, 1, dtype=torch.bool), torch.zeros(1).long())
    places = torch.zeros(n_rows, n_slots)
    grid = SampleGrid(places.long(), torch.zeros(n_rows, n_slots, 3).double(), places.bool())
    logits = module(x, batch, grid)
    torch.testing.assert_close(logits, module.clinic(x), rtol=0, atol=0)
    torch.testing.assert_close(logits, module.eval()(x, batch, grid), rtol=0, atol=0)
    module.train()(x, batch, grid).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert name.startswith("clinic") or not parameter.grad.any(), name


def test_a_cell_in_a_set_attention_block_learns_of_the_others() -> None:
    generator = torch.Generator().manual_seed(0)
    block = InducedAttention(1, 4, 2, 3, generator)
    h = torch.randn(1, 1, 5, 4, generator=generator)
    other = h.clone()
    other[0, 0, 4, 0] += 3.0
    known = torch.ones(1, 5, dtype=torch.bool)
    with torch.no_grad():
        assert (block(h, known) - block(other, known))[0, 0, 0].abs().max() > 1e-4


def test_content_order_follows_content_alone() -> None:
    rng = np.random.default_rng(0)
    table = rng.poisson(0.7, (200, 6)).astype(np.float32)
    order = rng.permutation(200)
    first, second = content_order(expression(table)), content_order(expression(table[order]))
    assert sorted(first) == list(range(200))
    np.testing.assert_array_equal(table[first], table[order][second])
    table[199, 5] = 0
    first, given = content_order(expression(table)), expression(table)
    cell, column = np.append(given.cell, np.int32(199)), np.append(given.column, np.int32(5))
    zero = Expression(200, cell, column, np.append(given.value, np.float32(0)))
    np.testing.assert_array_equal(content_order(zero), first)


def test_cells_alike_do_not_all_come_first_or_last() -> None:
    table = np.random.default_rng(0).poisson(5.0, (400, 8)).astype(np.float32)
    table[::2] = 0
    share = (table[content_order(expression(table))[:100]].sum(axis=1) == 0).mean()
    assert 0.35 < share < 0.65


def test_components_are_those_of_the_frozen_projection() -> None:
    genes = tuple("abcdef")
    bag = bag_of(np.random.default_rng(0).poisson(3.0, (40, 6)), genes)
    pca = CellPca.fit([bag], genes, counts=True, n_components=3)
    prepared = CellInput(genes, True, 25, pca).prepare(bag)
    assert len(prepared) == 25
    table = prepared.rows(np.arange(25), 6)
    np.testing.assert_allclose(table, pca.transform(bag)[prepared.order], atol=1e-4)
    sizes, arrays = CellInput(genes, True, 25, pca).state()
    np.testing.assert_array_equal(CellInput.from_state(sizes, arrays).prepare(bag).table, prepared.table)


@pytest.mark.parametrize("frozen", [False, True], ids=["genes", "components"])
def test_the_cells_that_are_read_are_the_same_however_a_file_is_sorted(frozen: bool) -> None:
    rng, genes = np.random.default_rng(0), tuple("abcdef")
    table = rng.poisson(3.0, (60, 6))
    cells, columns = rng.permutation(60), rng.permutation(6)
    bag = bag_of(table, genes)
    other = bag_of(table[cells][:, columns], tuple(genes[i] for i in columns))
    pca = CellPca.fit([bag], genes, counts=True, n_components=3) if frozen else None
    first, second = (CellInput(genes, True, 20, pca).prepare(b).rows(np.arange(20), 6) for b in (bag, other))
    np.testing.assert_array_equal(first, second)


def test_prototypes_begin_where_cells_gather() -> None:
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    x = np.concatenate([center + rng.normal(size=(100, 2)) for center in centers])
    points, within = k_means(x, 3, rng)
    np.testing.assert_allclose(points[np.lexsort(points.round(-1).T)], centers[np.lexsort(centers.T)], atol=0.5)
    assert 0.8 < within < 1.2
    repeated, _ = k_means(x[:2], 5, rng)
    assert np.isfinite(repeated).all()


@every_kind
def test_cells_count_and_their_absence_is_the_clinic(kind: str, fitted: Fitted, ward: Wards) -> None:
    model, patients = fitted(kind), ward(5, 20, 0.0).patients()
    seen = model.predict_incidence(patients, TIMES).values
    alone = model.predict_incidence(replace(patients, samples=None), TIMES).values
    x = model.encoder.transform(patients)
    without = model.predictor.incidence(x, patients.landmark_day, TIMES)
    assert np.abs(seen - without).max() > 1e-3
    assert np.isfinite(alone).all()
    predictor: Any = model.predictor
    none = predictor.incidence_of_cells(x, patients.landmark_day, TIMES, KnownSamples.none(20))
    np.testing.assert_array_equal(without, none)


@every_kind
def test_every_sample_up_to_the_landmark_counts_and_no_other(kind: str, fitted: Fitted, ward: Wards) -> None:
    model, patients = fitted(kind), ward(5, 6, 0.0).patients().at_landmark(30.0)
    samples = KnownSamples.of(patients)
    assert set(samples.day) == {-5.0, 14.0}, "not the sample of day 45"
    predictor: Any = model.predictor
    x = model.encoder.transform(patients)

    def answer(known: KnownSamples) -> NDArray[np.float64]:
        values: NDArray[np.float64] = predictor.incidence_of_cells(x, patients.landmark_day, TIMES, known)
        return values

    both = answer(samples)
    for material in ("infusion_product", "blood"):
        unknown = np.where(samples.material == material, "marrow", samples.material)
        assert np.abs(answer(replace(samples, material=unknown)) - both).max() > 1e-5
    nothing = replace(samples, material=np.full(len(samples), "marrow", object))
    np.testing.assert_allclose(answer(nothing), answer(KnownSamples.none(6)), atol=1e-12)
    assert len(KnownSamples.of(patients.at_landmark(-6.0))) == 0


@every_kind
def test_attention_is_of_cells_and_of_samples(kind: str, fitted: Fitted, ward: Wards) -> None:
    model, raw = fitted(kind), ward(5, 6, 0.0)
    patients = raw.patients().at_landmark(30.0)
    attention = model.attention(patients)
    assert [len(a) for a in attention.cells] == [len(raw.bags[i][3]) for i in KnownSamples.of(patients).number]
    np.testing.assert_allclose([a.sum() for a in attention.cells], 1.0, atol=1e-9)
    np.testing.assert_allclose(np.bincount(attention.row, attention.sample), 1.0, atol=1e-9)
    assert all((a > 0).all() for a in attention.cells)
    assert max(np.ptp(a) for a in attention.cells) > 1e-3
    samples = patients.samples
    assert samples is not None
    assert samples.bags is not None
    bag = samples.bags[0]
    order = np.random.default_rng(0).permutation(len(bag))
    dense = np.zeros((len(bag), len(bag.genes)))
    dense[np.repeat(np.arange(len(bag)), np.diff(bag.indptr)), bag.indices] = bag.values
    bags = [bag_of(dense[order], bag.genes), *(samples.bags[i] for i in range(1, len(samples.bags)))]
    again = model.attention(replace(patients, samples=replace(samples, bags=Bags.of(bags))))
    np.testing.assert_allclose(np.sort(again.cells[0]), np.sort(attention.cells[0]), atol=1e-9)
    np.testing.assert_allclose(again.cells[0], attention.cells[0][order], atol=1e-9)


@every_kind
def test_the_embedding_is_of_a_patients_own_cells(kind: str, fitted: Fitted, ward: Wards) -> None:
    model, patients = fitted(kind), ward(5, 8, 0.0).patients().at_landmark(30.0)
    samples = KnownSamples.of(patients)
    found = embedding_of(model.predictor, samples)
    assert isinstance(model.predictor, BagNetwork)
    sizes = model.predictor.module.sizes
    assert found.shape == (8, sizes.width + sizes.n_prototypes)
    assert np.ptp(found, axis=0).max() > 1e-3
    alone = [embedding_of(model.predictor, KnownSamples.of(patients.take(np.array([i])))) for i in range(8)]
    np.testing.assert_allclose(np.concatenate(alone), found, atol=1e-12)
    assert np.isnan(embedding_of(model.predictor, KnownSamples.none(3))).all()
    foreign = replace(samples, material=np.where(samples.row == 2, "marrow", samples.material))
    assert np.flatnonzero(np.isnan(embedding_of(model.predictor, foreign)).any(axis=1)).tolist() == [2]
    np.testing.assert_array_equal(model.embedding(patients), found)
    mixed = FittedRiskModel(model.encoder, Mixture([fitted("cox").predictor, model.predictor], (1.0, 1.0)), ())
    np.testing.assert_array_equal(mixed.embedding(patients), found)
    assert fitted("cox").embedding(patients).shape == (8, 0)


@every_kind
def test_the_first_member_alone_is_the_first_of_all(kind: str, fitted: Fitted, ward: Wards) -> None:
    model, patients = fitted(kind), ward(5, 8, 0.0).patients()
    network: Any = model.predictor
    alone = type(network)(first_member(network.module), network.cells, network.materials, network.edges_days)
    x, samples = model.encoder.transform(patients), KnownSamples.of(patients)
    first = network.member_incidence(x, TIMES, samples)[0]
    np.testing.assert_allclose(alone.incidence_of_cells(x, np.zeros(8), TIMES, samples), first, atol=1e-9)


def test_patients_whose_cells_are_strange_are_unlike_those_of_training() -> None:
    """Their genes are told for one another: nothing of the clinic shows it, the embedding does."""
    cohort = planted(220, 3, n_cells=60)
    train, test = cohort.patients.take(np.arange(180)), cohort.patients.take(np.arange(180, 220))
    small = AttentionConfig(members=2, bins=4, prototypes=8, width=8, cells_per_sample=60, max_epochs=2)
    outcomes = cohort.outcomes.take(np.arange(180))
    model = fit_risk_model(train, outcomes, CARD, FeatureConfig(cells=()), small, CPU, seed=0)
    novelty = Novelty.fit(model.embedding(train), train.patient_id, train.landmark_day)
    assert test.samples is not None
    assert test.samples.bags is not None
    order = np.random.default_rng(0).permutation(len(test.samples.bags[0].genes))
    bags = [replace(test.samples.bags[i], genes=tuple(np.array(test.samples.bags[i].genes)[order])) for i in range(40)]
    strange = replace(test, samples=replace(test.samples, bags=Bags.of(bags)))
    usual, unusual = (novelty.share(model.embedding(some), some.landmark_day) for some in (test, strange))
    assert (usual <= 0.05).mean() < 0.2
    assert (unusual <= 0.05).mean() > 0.8


def test_a_model_without_attention_says_so(fitted: Fitted, ward: Wards) -> None:
    with pytest.raises(SequelaError, match="cox pays no attention to single cells"):
        fitted("cox").attention(ward(1, 3).patients())


def source_of(patients: Patients) -> CellSource:
    samples = KnownSamples.of(patients)
    cells = CellInput(samples.bags[0].genes, True, 1000, None)
    return CellSource(cells, samples, SampleLayout.of(samples, ("blood", "infusion_product")))


def test_cells_are_drawn_afresh_and_dropped_out_in_proportion(ward: Wards) -> None:
    source, rows = source_of(ward(0, 90, 0.0).patients()), np.arange(90)
    once, again, next_ = (source.step(rows, 8, (seed,)) for seed in (0, 0, 1))
    assert once.batch.cells.shape[1] == 8
    torch.testing.assert_close(once.batch.cells, again.batch.cells, rtol=0, atol=0)
    assert not torch.equal(once.batch.cells, next_.batch.cells)
    all_known = source.step(rows, 8, None).grid.known
    lost = [1 - source.step(rows, 8, (s,), 0.4).grid.known.sum() / all_known.sum() for s in range(9)]
    assert 0.58 < float(np.mean(lost)) < 0.70, "1 − 0.6²"


def _of_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def _of_a_processor() -> None:
    torch.empty(10**16)


def _of_an_array() -> None:
    np.empty(10**16)


def _something_else() -> None:
    torch.empty(2) @ torch.empty(3)


@pytest.mark.parametrize("lack", [_of_a_gpu, _of_a_processor, _of_an_array])
def test_too_little_memory_halves_the_cells_with_one_warning(
    lack: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cohort = planted(40, 0, n_cells=80)
    patients, outcomes = cohort.patients, cohort.outcomes
    sizes: list[int] = []
    true_step = BagTraining.training_step

    def step(self: BagTraining, given: Step, number: int) -> torch.Tensor:
        sizes.append(given.batch.cells.shape[1])
        if sizes[-1] > 20:
            lack()
        return true_step(self, given, number)

    monkeypatch.setattr(BagTraining, "training_step", step)
    small = AttentionConfig(members=2, bins=4, prototypes=4, width=8, cells_per_sample=80, max_epochs=1)
    halved = fit_risk_model(patients, outcomes, CARD, FeatureConfig(cells=()), small, CPU, seed=0)
    assert sizes[:3] == [80, 40, 20]
    assert len([r for r in caplog.records if "do not fit in memory" in r.message]) == 1
    fewer = small.model_copy(update={"cells_per_sample": 20})
    straight = fit_risk_model(patients, outcomes, CARD, FeatureConfig(cells=()), fewer, CPU, seed=0)
    np.testing.assert_array_equal(risk(halved, patients), risk(straight, patients))
    monkeypatch.setattr(BagTraining, "training_step", lambda *_: lack())
    with pytest.raises(SequelaError, match="memory does not suffice"):
        fit_risk_model(patients, outcomes, CARD, FeatureConfig(cells=()), small, CPU, seed=0)
    monkeypatch.setattr(BagTraining, "training_step", lambda *_: _something_else())
    with pytest.raises(RuntimeError, match="size"):
        fit_risk_model(patients, outcomes, CARD, FeatureConfig(cells=()), small, CPU, seed=0)


@every_kind
def test_events_between_two_days_are_learnt_as_such(kind: str) -> None:
    """Nobody is censored, few were seen by day 30: less than half as far from what the days themselves teach."""
    cohort = planted(200, 0, n_cells=20)
    rows = np.flatnonzero(cohort.outcomes.cause > 0)
    patients, exact = cohort.patients.take(rows), cohort.outcomes.take(rows)
    visits = 90.0 * np.arange(60) + np.random.default_rng(0).uniform(0, 90, (len(rows), 1))
    looks = np.column_stack([np.zeros(len(rows)), visits])
    later = looks >= exact.duration_days[:, None]
    free, seen = np.where(later, 0.0, looks).max(axis=1), np.where(later, looks, np.inf).min(axis=1)
    between = replace(exact, duration_days=seen, after_days=free)
    config = AttentionConfig if kind == "attention" else SetTransformerConfig
    small = config(members=2, bins=12, prototypes=4, width=8, cells_per_sample=20, max_epochs=2)
    found = [
        fit_risk_model(patients, outcomes, CARD, FeatureConfig(cells=()), small, CPU, seed=0)
        .predict_incidence(patients, np.array([30.0, 60.0]))
        .values[:, 0]
        .mean(axis=0)
        for outcomes in (exact, between, replace(between, after_days=None))
    ]
    far, far_by_day = (np.abs(other - found[0]).max() for other in found[1:])
    assert far < far_by_day / 2, found


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="no multiple of heads"):
        AttentionConfig(width=10, heads=4)


def test_cells_are_served_though_no_feature_is_made_of_them() -> None:
    cohort = planted(60, 0, n_cells=30)
    patients, outcomes = cohort.patients, cohort.outcomes
    small = SetTransformerConfig(members=2, bins=4, prototypes=6, width=8, cells_per_sample=30, max_epochs=1)
    model = fit_risk_model(patients, outcomes, CARD, FeatureConfig(cells=()), small, CPU, seed=0)
    assert set(model.encoder.feature_names) == set(patients.baseline)
    assert patients.samples is not None
    assert patients.samples.bags is not None
    bag = patients.samples.bags[3]
    sample = {
        "material": "infusion_product", "day": -1, "genes": bag.genes, "indptr": bag.indptr.tolist(),
        "indices": bag.indices.tolist(), "values": bag.values.tolist(), "cell_types": bag.cell_type.tolist(),
    }  # fmt: skip
    baseline = {name: float(values[3]) for name, values in patients.baseline.items()}
    records = [PatientRecord.model_validate({"baseline": baseline, "samples": s}) for s in ([sample], [])]
    request = to_patients(records, model.encoder)
    answers, encoded = model.explain_input(request, TIMES)
    np.testing.assert_allclose(answers.values[0], model.predict_incidence(patients, TIMES).values[3], atol=1e-9)
    assert np.abs(answers.values[0] - answers.values[1]).max() > 1e-4
    assert encoded.missing == ((), ("samples.infusion_product",))


def test_a_model_of_cells_has_them_read(tmp_path: Path) -> None:
    simulate(tmp_path / "cohort", n_patients=60, cells_per_sample=20, seed=3)
    endpoint = Endpoint(
        name="infection",
        event=EventRule(name="infection"),
        competing=(EventRule(name="death"),),
        landmark_days=(0.0,),
        horizons_days=(180.0,),
    )
    clinic = FeatureConfig(cells=())
    without = load_rows(tmp_path / "cohort", endpoint, clinic, tmp_path / "stores", cells=sees_cells(CoxConfig()))
    assert not len(KnownSamples.of(without.patients))
    rows = load_rows(tmp_path / "cohort", endpoint, clinic, tmp_path / "stores", cells=sees_cells(AttentionConfig()))
    assert len(KnownSamples.of(rows.patients)) > 0


def enrichment(model: FittedRiskModel, carriers: Patients) -> float:
    """Attention on cells with many counts of the markers, over their share of the cells."""
    samples, attention = carriers.samples, model.attention(carriers)
    assert samples is not None
    assert samples.bags is not None
    there, expected = 0.0, 0.0
    for i, weights in enumerate(attention.cells):
        bag = samples.bags[i]
        marker = np.isin(bag.indices, np.arange(N_MARKERS))
        cell = np.repeat(np.arange(len(bag)), np.diff(bag.indptr))
        rare = np.bincount(cell[marker], bag.values[marker], len(bag)) > 15
        there, expected = there + float(weights[rare].sum()), expected + float(rare.mean())
    return there / expected


def test_attention_finds_a_rare_population_that_pseudobulks_bury() -> None:
    cohort = planted(600, 1, n_cells=200, share=0.02)
    patients, outcomes, carrier = cohort.patients, cohort.outcomes, cohort.carries
    train, test = np.arange(300), np.arange(300, 600)
    small = AttentionConfig(max_epochs=2)
    bulk = FeatureConfig(cells=("composition", "pseudobulk"), pseudobulk_components=30)
    found = {}
    for name, features, config in (("bulk", bulk, CoxConfig()), ("cells", FeatureConfig(cells=()), small)):
        model = fit_risk_model(patients.take(train), outcomes.take(train), CARD, features, config, CPU, seed=0)
        found[name] = roc_auc_score(carrier[test], risk(model, patients.take(test)))
    assert enrichment(model, patients.take(test[carrier[test]][:40])) > 3, "attention goes to the planted cells"
    assert found["cells"] > 0.85
    assert found["cells"] > found["bulk"] + 0.1
