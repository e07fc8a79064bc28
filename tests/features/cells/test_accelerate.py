"""The torch path against numpy: the same numbers within the stated tolerance, on the CPU, and on a GPU if any."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

import features.cells.accelerate
from features.cells.accelerate import Accelerator, device
from features.cells.bag import CellBag
from features.cells.density import DensityEmbedding
from features.cells.embedding import CellPca, expression_blocks
from features.cells.summary import summarise
from features.errors import SequelaError
from features.patients import FloatArray

MakeBag = Callable[..., CellBag]
CPU = torch.device("cpu")
GPU = pytest.param(
    torch.device("cuda"),
    id="cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")],
)
DEVICES = pytest.mark.parametrize("on", [pytest.param(CPU, id="cpu"), GPU])
PRECISIONS = pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-9), (False, 1e-5)], ids=["float64", "float32"])
TABLES = ("total", "lognorm", "normalised", "squared")
GENES = tuple(f"g{i}" for i in range(60))


@pytest.fixture(scope="module")
def bag(make_bag: MakeBag) -> CellBag:
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(rng.normal(0, 1.5, 60)), (500, 60)).astype(float)
    counts[7] = 0.0
    return make_bag(counts, GENES, rng.choice(["T", "B", "NK"], 500))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Several blocks a bag, however small, and a process that has not looked for a device yet."""
    monkeypatch.setattr(features.cells.accelerate, "VALUES_AT_ONCE", 3000)
    monkeypatch.setattr(features.cells.accelerate, "DENSE_AT_ONCE", 60 * 70)
    device.cache_clear()
    yield
    device.cache_clear()


def agree(ours: FloatArray, theirs: FloatArray, tolerance: float) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


@DEVICES
@PRECISIONS
@pytest.mark.parametrize("counts", [True, False], ids=["counts", "intensities"])
def test_summaries_are_numpys(on: torch.device, double: bool, tolerance: float, counts: bool, bag: CellBag) -> None:
    expected = summarise(bag, counts=counts, numbers={"car_positive_share": 0.25})
    accelerator = Accelerator(on, double)
    found = accelerator.summarise(bag, counts=counts, numbers={"car_positive_share": 0.25})
    assert (found.cell_types, found.genes) == (expected.cell_types, expected.genes)
    for name in ("offsets", "cell_type", "n_cells", "group", "sample"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in TABLES:
        agree(getattr(found, name), getattr(expected, name), tolerance)
    assert found.numbers == expected.numbers


@DEVICES
@PRECISIONS
def test_projections_are_numpys(on: torch.device, double: bool, tolerance: float, bag: CellBag) -> None:
    genes = GENES[10:50]
    pca = CellPca.fit([bag], genes, counts=True, n_components=6)
    x = np.concatenate([block.dense(40) for block in expression_blocks(bag, genes, counts=True)]).astype(float)
    counts = np.zeros((500, 60))
    counts[np.repeat(np.arange(500), np.diff(bag.indptr)), bag.indices] = bag.values
    depth = counts.sum(axis=1, keepdims=True)
    exact = np.log1p(np.divide(counts * 1e4, depth, out=np.zeros_like(counts), where=depth > 0))[:, 10:50]
    np.testing.assert_allclose(x, exact, rtol=1e-6)
    found = Accelerator(on, double).project(pca, bag)
    assert found.dtype == (np.float64 if double else np.float32)
    agree(found, (exact - pca.center) @ pca.components.T, tolerance)
    agree(found, pca.transform(bag), 1e-5)


@DEVICES
@PRECISIONS
def test_random_features_are_numpys(on: torch.device, double: bool, tolerance: float, bag: CellBag) -> None:
    embedding = DensityEmbedding.fit([bag, bag], genes=GENES, counts=True, n_frequencies=64)
    found = Accelerator(on, double).means(embedding, bag)
    angle = Accelerator(CPU, double=True).project(embedding.pca, bag) @ embedding.frequencies.T
    exact = np.concatenate([np.cos(angle).mean(axis=0), np.sin(angle).mean(axis=0)]) / np.sqrt(64)
    agree(found, exact, tolerance)
    agree(found, embedding.means(bag), 1e-5)


def test_a_device_is_looked_for_once_and_its_absence_said_in_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, bag: CellBag
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with caplog.at_level(logging.INFO, logger="features.cells.accelerate"):
        for _ in range(3):
            assert Accelerator().target == CPU
        found, expected = Accelerator().summarise(bag, counts=True), summarise(bag, counts=True)
    assert [record.getMessage() for record in caplog.records] == [
        "no accelerator found (CUDA, MPS): features of cells are computed on the CPU"
    ]
    for name in TABLES:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), "it falls back to numpy")
    embedding = DensityEmbedding.fit([bag, bag], genes=GENES, counts=True, n_frequencies=8)
    np.testing.assert_array_equal(Accelerator().means(embedding, bag), embedding.means(bag))
    np.testing.assert_array_equal(Accelerator().project(embedding.pca, bag), embedding.pca.transform(bag))


@pytest.mark.parametrize(("cuda", "mps", "kind"), [(True, True, "cuda"), (False, True, "mps")], ids=["cuda", "mps"])
def test_an_accelerator_is_taken_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cuda: bool, mps: bool, kind: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert device().type == kind
    assert not caplog.records


def test_what_cannot_be_computed_is_refused(make_bag: MakeBag, bag: CellBag) -> None:
    accelerator = Accelerator(CPU)
    with pytest.raises(SequelaError, match="at least 0"):
        accelerator.summarise(replace(bag, values=-bag.values), counts=True)
    with pytest.raises(SequelaError, match="MPS has no double precision"):
        Accelerator(torch.device("mps"), double=True)
    pca = CellPca.fit([bag], GENES, counts=True, n_components=2)
    with pytest.raises(SequelaError, match="two columns of the panel have one name"):
        accelerator.project(pca, make_bag(np.ones((3, 2)), ("g1", "g1")))


def test_no_cells_are_no_numbers(make_bag: MakeBag, bag: CellBag) -> None:
    none = make_bag(np.zeros((0, 60)), GENES)
    accelerator = Accelerator(CPU)
    assert accelerator.summarise(none, counts=True).total.shape == summarise(none, counts=True).total.shape == (0, 60)
    embedding = DensityEmbedding.fit([bag, bag], genes=GENES, counts=True, n_frequencies=8)
    assert accelerator.project(embedding.pca, none).shape == (0, len(embedding.pca.components))
    assert np.isnan(accelerator.means(embedding, none)).all()
