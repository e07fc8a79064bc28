"""Fitting the encoder of cells: what it learns, that it repeats, and what may feed it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import scipy.stats
import torch
from numpy.typing import NDArray

from features.cells.anndata_io import write_cells
from features.cells.bag import CellBag
from features.cells.store import build
from features.errors import SequelaError
from features.schema import CellsCard
from training.cells.encoder_fit import CellEncoderConfig, CellEncoderFit, fit_cell_encoder
from training.cells.stream import CellStream, hold_out
from training.config import TrainerConfig
from training.models.cell_autoencoder import negative_binomial

N_GENES, N_TYPES = 50, 4
GENES = tuple(f"g{i}" for i in range(N_GENES))
PROFILES = np.exp(np.random.default_rng(11).normal(0, 0.7, (N_TYPES, N_GENES)))
PROFILES /= PROFILES.sum(axis=1, keepdims=True)
CPU = TrainerConfig(accelerator="cpu")
SMALL = CellEncoderConfig(dimensions=8, hidden=32, max_epochs=25, patience=4, learning_rate=5e-3)


def bag_of(counts: NDArray[np.float64], kind: NDArray[np.int64]) -> CellBag:
    sparse = scipy.sparse.csr_matrix(counts)
    labels = np.array([f"T{k}" for k in kind], dtype=object)
    return CellBag(GENES, sparse.indptr.astype(np.int64), sparse.indices.astype(np.int64), sparse.data, labels)


def draw(rng: np.random.Generator, n_cells: int) -> CellBag:
    """Few counts a cell, so that single genes say little."""
    kind = rng.integers(0, N_TYPES, n_cells)
    depth = rng.lognormal(np.log(120), 0.4, n_cells)
    return bag_of(rng.poisson(depth[:, None] * PROFILES[kind]).astype(float), kind)


@pytest.fixture(scope="module")
def bags() -> list[CellBag]:
    rng = np.random.default_rng(0)
    return [draw(rng, 200) for _ in range(8)]


@pytest.fixture(scope="module")
def stream(bags: list[CellBag]) -> CellStream:
    return CellStream.of_bags(bags, [f"P{i // 2}" for i in range(8)], GENES, counts=True, batch_cells=128)


@pytest.fixture(scope="module")
def fitted(stream: CellStream) -> CellEncoderFit:
    return fit_cell_encoder(stream, SMALL, CPU, cohort="f00d", seed=3)


def test_the_frozen_encoder_equals_the_network(fitted: CellEncoderFit) -> None:
    bag = draw(np.random.default_rng(1), 100)
    counts = scipy.sparse.csr_matrix((bag.values, bag.indices, bag.indptr), (100, N_GENES)).toarray()
    with torch.inference_mode():
        values = torch.as_tensor(counts, dtype=torch.float32)
        theirs = fitted.network.encode(fitted.network.expression(values)).numpy()
    ours = fitted.encoder.transform(bag)
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1.0, float(np.abs(theirs).max())))


def test_new_cells_are_reconstructed_better_than_by_the_mean_profile(fitted: CellEncoderFit) -> None:
    """Judged by the likelihood of a Poisson distribution, which the fit does not use."""
    bag = draw(np.random.default_rng(2), 400)
    counts = scipy.sparse.csr_matrix((bag.values, bag.indices, bag.indptr), (400, N_GENES)).toarray()
    with torch.inference_mode():
        values = torch.as_tensor(counts, dtype=torch.float32)
        expected = fitted.network.decode(fitted.network.encode(fitted.network.expression(values)), values).numpy()
    mean = counts.sum(axis=1, keepdims=True) * fitted.profile
    truth = counts.sum(axis=1, keepdims=True) * PROFILES[[int(name[1]) for name in bag.cell_type]]
    ours, theirs, best = (scipy.stats.poisson.logpmf(counts, mu).sum(axis=1).mean() for mu in (expected, mean, truth))
    assert ours > theirs + 0.6 * (best - theirs), "most of what knowing the type would tell"
    assert 0.1 < fitted.encoder.card.explained < 1.0


def test_the_embedding_separates_cell_types_that_it_was_never_told(fitted: CellEncoderFit) -> None:
    rng = np.random.default_rng(3)
    reference, query = draw(rng, 300), draw(rng, 300)
    known, new = (fitted.encoder.transform(bag) for bag in (reference, query))
    types = sorted(set(reference.cell_type))
    centers = np.array([known[reference.cell_type == name].mean(axis=0) for name in types])
    nearest = ((new[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
    accuracy = float(np.mean(np.array(types, dtype=object)[nearest] == query.cell_type))
    assert accuracy > 1 / N_TYPES + 0.5, f"accuracy {accuracy:.2f}"


def test_the_weights_kept_are_those_of_the_best_epoch(stream: CellStream, fitted: CellEncoderFit) -> None:
    total, n_cells = 0.0, 0
    for batch in stream.held_out():
        total += float(fitted.network.loss(torch.as_tensor(batch)).sum())
        n_cells += len(batch)
    assert total / n_cells == pytest.approx(min(fitted.held_out_losses), rel=1e-5)
    assert fitted.held_out_losses[0] > min(fitted.held_out_losses)


def test_a_seed_repeats_and_leaves_the_global_generator_alone(stream: CellStream) -> None:
    short = SMALL.model_copy(update={"max_epochs": 2})
    before = torch.get_rng_state()
    heard: list[tuple[int, float, float]] = []
    one, same, other = (
        fit_cell_encoder(stream, short, CPU, cohort="f00d", seed=seed, listener=lambda *told: heard.append(told))
        for seed in (5, 5, 6)
    )
    torch.testing.assert_close(torch.get_rng_state(), before)
    for name, array in one.encoder.arrays.items():
        np.testing.assert_array_equal(array, same.encoder.arrays[name])
    assert not np.array_equal(one.encoder.arrays["hidden.weight"], other.encoder.arrays["hidden.weight"])
    assert [epoch for epoch, _, _ in heard] == [0, 1] * 3
    assert heard[:2] == heard[2:4]
    assert heard[1][2] == one.held_out_losses[2]


def test_the_card_names_all_patients_that_were_read(fitted: CellEncoderFit) -> None:
    card = fitted.encoder.card
    assert (card.cohort, card.genes, card.counts, card.seed) == ("f00d", GENES, True, 3)
    assert len(card.patients) == 4
    assert card.settings["dimensions"] == 8
    fitted.encoder.require_unseen(["P9"])
    for name in ("P0", "P1", "P2", "P3"):
        with pytest.raises(SequelaError, match="fitted on cells of 1 of these 1 patients"):
            fitted.encoder.require_unseen([name])


def test_fitting_stops_when_nothing_gets_better(stream: CellStream) -> None:
    hasty = SMALL.model_copy(update={"learning_rate": 0.5, "patience": 1, "max_epochs": 25})
    assert len(fit_cell_encoder(stream, hasty, CPU, cohort="f00d", seed=0).held_out_losses) < 25


def test_intensities_are_reconstructed_too() -> None:
    rng = np.random.default_rng(4)
    factor = rng.normal(size=(6, 200, 2))
    weights = rng.normal(size=(2, N_GENES)) * np.geomspace(0.01, 100, N_GENES)
    samples = [bag_of(f @ weights + 3.0, np.zeros(200, dtype=np.int64)) for f in factor]
    stream = CellStream.of_bags(samples, list("abcdef"), GENES, counts=False, batch_cells=64)
    fitted = fit_cell_encoder(stream, SMALL, CPU, cohort="f00d", seed=0)
    assert fitted.encoder.card.explained > 0.6, "two factors explain all of it"
    assert fitted.encoder.transform(samples[0]).shape == (200, 8)


def test_bags_give_every_training_cell_once_and_hold_whole_patients_out(bags: list[CellBag]) -> None:
    patients = [f"P{i // 2}" for i in range(8)]
    stream = CellStream.of_bags(bags, patients, GENES, counts=True, batch_cells=100, seed=1)
    held = hold_out(patients, 0.15, 1)
    assert len(held) == 1
    for out, batches in ((False, stream.training(np.random.default_rng(0))), (True, stream.held_out())):
        rows = np.concatenate(list(batches))
        dense = [scipy.sparse.csr_matrix((b.values, b.indices, b.indptr), (200, N_GENES)).toarray() for b in bags]
        wanted = np.concatenate([d for d, p in zip(dense, patients, strict=True) if (p in held) == out])
        np.testing.assert_array_equal(rows[np.lexsort(rows.T)], wanted[np.lexsort(wanted.T)])
    first, second = (next(iter(stream.training(np.random.default_rng(s)))) for s in (0, 1))
    assert not np.array_equal(first, second), "another epoch, another order"


def test_a_store_gives_no_cell_of_a_sample_that_is_kept_out(tmp_path: Path) -> None:
    sample = np.repeat(np.arange(6), 50)
    counts = np.repeat(sample[:, None] + 1.0, N_GENES, axis=1)
    write_cells(tmp_path / "cells.zarr", counts, GENES, sample.astype(str))
    store = build(tmp_path / "cells.zarr", tmp_path / "store", CellsCard(genes="markers"))
    patients = ["A", "A", "B", None, "C", "D"]
    assert store.samples == tuple("012345")
    stream = CellStream.of_store(store, patients, GENES, counts=True, batch_cells=64)
    held = hold_out(["A", "A", "B", "C", "D"], 0.15, 0)
    fitted = np.concatenate(list(stream.training(np.random.default_rng(0))))[:, 0] - 1
    stop = np.concatenate(list(stream.held_out()))[:, 0] - 1
    assert sorted(set(stop)) == [i for i, name in enumerate(patients) if name in held]
    assert sorted([*fitted, *stop]) == sorted(sample[sample != 3])
    assert not set(fitted) & set(stop)
    assert stream.patients == ("A", "B", "C", "D")


def test_sparse_matrices_feed_it(bags: list[CellBag]) -> None:
    matrices = [scipy.sparse.csr_matrix((b.values, b.indices, b.indptr), (200, N_GENES)) for b in bags]
    stream = CellStream.of_matrices(lambda _: matrices[:6], lambda: matrices[6:], ["P0", "P1"], GENES, counts=True)
    short = SMALL.model_copy(update={"max_epochs": 1})
    assert fit_cell_encoder(stream, short, CPU, cohort="f00d", seed=0).encoder.card.n_cells == 1200


def test_one_patient_or_foreign_genes_are_refused(bags: list[CellBag]) -> None:
    with pytest.raises(SequelaError, match="two patients or more"):
        CellStream.of_bags(bags[:2], ["P0", "P0"], GENES, counts=True)
    foreign = CellStream.of_bags(bags[:2], ["P0", "P1"], ["x", "y"], counts=True)
    with pytest.raises(SequelaError, match="genes are named alike"):
        fit_cell_encoder(foreign, SMALL, CPU, cohort="f00d", seed=0)


def test_the_likelihood_is_scipys() -> None:
    rng = np.random.default_rng(5)
    x, mu, theta = rng.poisson(3.0, 50), rng.gamma(2.0, 2.0, 50), rng.gamma(2.0, 1.0, 50)
    ours = negative_binomial(*(torch.as_tensor(v, dtype=torch.float64) for v in (x, mu, np.log(theta))))
    np.testing.assert_allclose(ours.numpy(), -scipy.stats.nbinom.logpmf(x, theta, theta / (theta + mu)), rtol=1e-6)
