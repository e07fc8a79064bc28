"""Reference mapping: the fit against scikit-learn, what a mapper may and may not depend on, real patients held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from features.cells.bag import UNLABELLED, CellBag
from features.cells.quality import select_cells
from features.cells.reference_fit import LabelledCells, Moments, ridge_softmax
from features.cells.reference_mapping import ReferenceMapper, expression
from features.errors import SequelaError

MakeBag = Callable[..., CellBag]
LABELS = ("B", "CD4", "CD8")
GENES = tuple(f"g{i}" for i in range(40))


@pytest.fixture
def bags(make_bag: MakeBag) -> list[CellBag]:
    """Four patients, a sample each: three labels, five genes for each of them, and cells without a label."""
    rng = np.random.default_rng(5)
    rates = np.full((4, 40), 0.6)
    for i in range(3):
        rates[i, 5 * i : 5 * i + 5] = 5.0
    made = []
    for _ in range(4):
        label = rng.choice(4, size=120, p=[0.2, 0.5, 0.25, 0.05])
        names = [(*LABELS, UNLABELLED)[i] for i in label]
        made.append(make_bag(rng.poisson(rates[label] * rng.gamma(20, 0.05, 40)), GENES, names))
    return made


@pytest.fixture
def mapper(bags: list[CellBag]) -> ReferenceMapper:
    return ReferenceMapper.fit(bags[:3], groups=["P1", "P2", "P3"], n_genes=(10, 20))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_fit_is_scikit_learns(weighted: bool) -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 3, 200)
    x = (rng.normal(size=(200, 6)) * [1, 2, 3, 4, 5, 0] + label[:, None] + 3).astype(np.float32)
    x[:, 5] = 2.0
    weight = rng.uniform(0.5, 2.0, 200) if weighted else np.ones(200)
    slopes, intercept = ridge_softmax(x, label, weight, penalty=0.05)
    scaler = StandardScaler().fit(x[:, :5].astype(float))
    share = weight / weight.sum()
    model = LogisticRegression(C=1 / 0.05, tol=1e-10, max_iter=5000)
    model.fit(scaler.transform(x[:, :5].astype(float)), label, sample_weight=share)
    logits = x.astype(float) @ slopes.T + intercept
    ours = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, model.predict_proba(scaler.transform(x[:, :5].astype(float))), atol=2e-3)
    assert not slopes[:, 5].any()


def test_it_recovers_labels_of_a_patient_held_out(mapper: ReferenceMapper, bags: list[CellBag]) -> None:
    labels, truth = mapper.assign(bags[3]), bags[3].cell_type
    known = truth != UNLABELLED
    assert (labels == truth)[known].mean() > 0.95
    assert set(mapper.genes) >= set(GENES[:10])
    np.testing.assert_allclose(mapper.probabilities(bags[3]).sum(axis=1), 1.0)


def test_the_threshold_leaves_uncertain_cells_without_a_label(mapper: ReferenceMapper, bags: list[CellBag]) -> None:
    certain = mapper.probabilities(bags[3]).max(axis=1)
    cut = float(np.median(certain))
    labels = replace(mapper, threshold=cut).assign(bags[3])
    np.testing.assert_array_equal(labels == UNLABELLED, certain < cut)


def test_cells_without_any_of_its_genes_have_no_label(mapper: ReferenceMapper, make_bag: MakeBag) -> None:
    assert replace(mapper, threshold=0.0).assign(make_bag(np.zeros((2, 40)), GENES)).tolist() == [UNLABELLED] * 2
    assert mapper.assign(make_bag(np.zeros((0, 40)), GENES)).shape == (0,)


def test_neither_other_genes_nor_the_order_of_genes_matter(
    mapper: ReferenceMapper, bags: list[CellBag], make_bag: MakeBag
) -> None:
    dense = np.zeros((len(bags[3]), 40))
    dense[np.repeat(np.arange(len(dense)), np.diff(bags[3].indptr)), bags[3].indices] = bags[3].values
    order = np.random.default_rng(2).permutation(40)
    panel = [*(GENES[i] for i in order), "more"]
    wider = make_bag(np.column_stack([dense[:, order], np.full(len(dense), 500)]), panel)
    np.testing.assert_allclose(mapper.probabilities(wider), mapper.probabilities(bags[3]), atol=1e-6)


def test_too_small_an_overlap_is_refused_and_told(mapper: ReferenceMapper, make_bag: MakeBag) -> None:
    half = make_bag(np.ones((1, 10)), [*mapper.genes[: len(mapper.genes) // 2], *(f"x{i}" for i in range(10))][:10])
    assert mapper.overlap(half) == pytest.approx(len(set(half.genes) & set(mapper.genes)) / len(mapper.genes))
    with pytest.raises(SequelaError, match=r"reference: \d+% of \d+ genes are on the panel of the cells, and 90% are"):
        mapper.assign(half, minimum_overlap=0.9)


def test_groups_calibrate_the_probabilities(make_bag: MakeBag) -> None:
    """Three labels in ten are wrong: without held-out groups the fit is surer of itself than it is right."""
    rng = np.random.default_rng(0)
    parts = []
    for n_cells in (50, 50, 50, 50, 50, 500):
        truth = rng.integers(0, 2, n_cells)
        counts = rng.poisson(np.where(truth[:, None] == np.arange(2), 3.0, 1.0).repeat(30, axis=1) * 0.3 + 0.5)
        noisy = np.where(rng.random(n_cells) < 0.3, 1 - truth, truth)
        parts.append(make_bag(counts, labels=[f"type{i}" for i in noisy]))
    excess = {}
    for groups in (None, list("abcde")):
        fitted = ReferenceMapper.fit(parts[:5], groups=groups, n_genes=(60,), penalty=(0.001,))
        probability = fitted.probabilities(parts[5])
        right = np.array(fitted.labels)[probability.argmax(axis=1)] == parts[5].cell_type
        excess[groups is None] = probability.max(axis=1).mean() - right.mean()
    assert excess[True] > 0.15
    assert abs(excess[False]) < 0.1


def test_held_out_groups_choose_the_size_and_the_penalty(bags: list[CellBag]) -> None:
    fitted = ReferenceMapper.fit(bags, groups=list("abcd"), n_genes=(1, 15), penalty=(100.0, 0.01))
    assert len(fitted.genes) == 15
    assert fitted.probabilities(bags[0]).max(axis=1).mean() > 0.8
    assert len(ReferenceMapper.fit(bags, n_genes=(1, 15)).genes) == 1, "without groups the first is taken"


def test_excluded_genes_and_unlabelled_cells_do_not_enter(bags: list[CellBag]) -> None:
    assert "g0" in ReferenceMapper.fit(bags).genes
    assert "g0" not in ReferenceMapper.fit(bags, exclude={"g0"}).genes
    first = ReferenceMapper.fit(bags, n_genes=(10,))
    assert first.labels == LABELS
    without = [select_cells(bag, bag.cell_type != UNLABELLED) for bag in bags]
    np.testing.assert_array_equal(ReferenceMapper.fit(without, n_genes=(10,)).coefficients, first.coefficients)
    given = ReferenceMapper.fit(bags, [bag.cell_type for bag in bags], n_genes=(10,))
    np.testing.assert_array_equal(given.coefficients, first.coefficients)


def test_a_label_seen_in_one_group_only_is_learnt(bags: list[CellBag]) -> None:
    labels = [np.where(bag.cell_type == "B", "rare" if i == 0 else "B", bag.cell_type) for i, bag in enumerate(bags)]
    fitted = ReferenceMapper.fit(bags, labels, groups=list("abcd"))
    assert "rare" in fitted.labels
    assert np.isfinite(fitted.coefficients).all()


def test_intensities_are_mapped_as_they_are(make_bag: MakeBag) -> None:
    rng = np.random.default_rng(3)
    label = rng.integers(0, 2, 100)
    values = rng.normal(size=(100, 4)) + 4 * label[:, None] - 2
    bag = make_bag(values, labels=[f"t{i}" for i in label])
    fitted = ReferenceMapper.fit([bag], counts=False)
    assert not fitted.counts
    assert (fitted.assign(bag) == bag.cell_type).mean() > 0.95
    np.testing.assert_allclose(next(expression(bag, bag.genes, counts=False)), values, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bags: {"labels": [["x"] * 3] * 4}, "labels are one for each cell of each sample"),
        (lambda bags: {"groups": ["a"]}, "groups one for each sample"),
        (lambda bags: {"labels": [np.full(len(bag), "T") for bag in bags]}, "its cells have 1 labels"),
        (lambda bags: {"exclude": GENES}, "no gene is on the panels of all"),
    ],
    ids=["lengths", "groups", "one label", "no gene"],
)
def test_a_reference_that_cannot_be_used_is_refused(
    bags: list[CellBag], change: Callable[..., dict[str, object]], message: str
) -> None:
    with pytest.raises(SequelaError, match=message):
        ReferenceMapper.fit(bags, **change(bags))  # type: ignore[arg-type]


def test_a_saved_mapper_is_the_same(mapper: ReferenceMapper, bags: list[CellBag], tmp_path: Path) -> None:
    path = tmp_path / "reference.safetensors"
    mapper.save(path)
    again = ReferenceMapper.load(path)
    assert (again.genes, again.labels, again.threshold) == (mapper.genes, mapper.labels, mapper.threshold)
    np.testing.assert_array_equal(again.probabilities(bags[3]), mapper.probabilities(bags[3]))
    assert [entry.name for entry in tmp_path.iterdir()] == ["reference.safetensors"]


def test_a_damaged_file_is_refused(mapper: ReferenceMapper, tmp_path: Path) -> None:
    path = tmp_path / "reference.safetensors"
    with pytest.raises(SequelaError, match=r"reference\.safetensors cannot be read"):
        ReferenceMapper.load(path)
    mapper.save(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SequelaError, match=r"reference\.safetensors cannot be read"):
        ReferenceMapper.load(path)
    sizes, arrays = mapper.state()
    with pytest.raises(SequelaError, match="this is no sequela-reference-mapper/1"):
        ReferenceMapper.from_state(sizes | {"genes": sizes["genes"][1:]}, arrays)
    with pytest.raises(SequelaError, match="this is no sequela-reference-mapper/1"):
        ReferenceMapper.from_state({}, {})


def test_real_patients_held_out(carpall: anndata.AnnData, carpall_bag: CellBag) -> None:
    """Three patients with many cells as reference, a fourth to be mapped; the whole is in benchmarks/annotation.py."""
    patient = carpall.obs["patient"].astype(str).to_numpy()
    annotated = carpall_bag.cell_type != UNLABELLED
    of_patient = {
        name: select_cells(carpall_bag, annotated & (patient == name)) for name in ("P02", "P03", "P10", "P08")
    }
    test = of_patient.pop("P08")
    fitted = ReferenceMapper.fit(list(of_patient.values()), exclude={"CAT_scFv"})
    labels = replace(fitted, threshold=0.0).assign(test)
    commonest = max(np.mean(test.cell_type == name) for name in set(test.cell_type))
    assert (labels == test.cell_type).mean() > commonest


def test_genes_are_ranked_without_the_part_held_out(make_bag: MakeBag) -> None:
    """In the first patient g0 tells the labels apart, in the others g1 does."""
    label = np.arange(40) % 2
    told = np.column_stack([np.where(label, 9, 1), np.full(40, 5), np.random.default_rng(0).poisson(4, 40)])
    names = [f"t{i}" for i in label]
    bags = [make_bag(told if i == 0 else told[:, [1, 0, 2]], labels=names) for i in range(3)]
    cells = LabelledCells.of(bags, None, ["a", "b", "c"], (), counts=True)
    moments = Moments.of(cells)
    assert moments.ranked(None)[0] == 1
    assert moments.ranked(0)[0] == 1
    only_first = LabelledCells.of([bags[0], bags[1]], None, ["a", "b"], (), counts=True)
    assert Moments.of(only_first).ranked(1)[0] == 0
    assert Moments.of(only_first).ranked(0)[0] == 1
    x = cells.expression(cells.genes)
    of_label = [x[cells.label == i] for i in range(2)]
    grand = x.mean(axis=0)
    between = sum(len(part) * (part.mean(axis=0) - grand) ** 2 for part in of_label)
    within = sum(((part - part.mean(axis=0)) ** 2).sum(axis=0) for part in of_label)
    assert moments.ranked(None).tolist() == np.argsort(-(between / within)).tolist()
