"""Processing of a sample's cells: every step, its numbers, and that serving does the same."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from features.cells.bag import UNLABELLED, CellBag
from features.cells.doublets import doublets
from features.cells.processing import CellProcessing, CellProcessor
from features.cells.quality import select_cells
from features.cells.reference_mapping import ReferenceMapper
from features.errors import SequelaError

MakeBag = Callable[..., CellBag]
GENES = ("CD3D", "MT-CO1", "CD8A", "CAT_scFv", "GNLY")
MATRIX = [[5, 0, 3, 1, 0], [1, 9, 0, 0, 0], [0, 0, 0, 0, 0], [4, 1, 0, 0, 5], [1, 0, 0, 0, 0]]
LABELS = ["CD8", "CD4", UNLABELLED, "CD4", UNLABELLED]
MARKERS = {"T": ("CD3D",), "T/CD8": ("CD8A",), "NK": ("GNLY",)}
NUMBERS = {
    "n_cells_read",
    "n_cells_kept",
    "median_counts",
    "median_genes",
    "mitochondrial_share",
    "doublet_share",
    "car_positive_share",
    "labelled_share",
}


@pytest.fixture
def bag(make_bag: MakeBag) -> CellBag:
    return make_bag(MATRIX, GENES, LABELS)


@pytest.fixture
def reference(make_bag: MakeBag, tmp_path: Path) -> Path:
    """A fitted mapper of two labels over three of the genes."""
    counts = np.random.default_rng(0).poisson([[9, 0, 2, 0, 1], [1, 0, 2, 0, 9]] * 20)
    fitted = ReferenceMapper.fit([make_bag(counts, GENES, ["T", "NK"] * 20)], n_genes=(3,))
    fitted.save(tmp_path / "reference.safetensors")
    return tmp_path / "reference.safetensors"


def test_nothing_is_done_unless_it_is_asked_for(bag: CellBag) -> None:
    processed, numbers = CellProcessor(CellProcessing())(bag)
    np.testing.assert_array_equal(processed.values, bag.values)
    np.testing.assert_array_equal(processed.cell_type, bag.cell_type)
    assert set(numbers) == NUMBERS
    assert numbers["n_cells_read"] == numbers["n_cells_kept"] == 5.0
    assert numbers["labelled_share"] == 3 / 5
    assert math.isnan(numbers["doublet_share"])
    assert math.isnan(numbers["car_positive_share"])


def test_thresholds_and_the_numbers_of_what_is_kept(bag: CellBag) -> None:
    config = CellProcessing(min_counts=2, min_genes=2, max_mitochondrial=0.5, transgene=("CAT_scFv",))
    processed, numbers = CellProcessor(config)(bag)
    assert processed.cell_type.tolist() == ["CD8", "CD4"]
    assert processed.genes == bag.genes
    assert {name: value for name, value in numbers.items() if name != "doublet_share"} == {
        "n_cells_read": 5.0,
        "n_cells_kept": 2.0,
        "median_counts": 9.5,
        "median_genes": 3.0,
        "mitochondrial_share": 0.05,
        "car_positive_share": 0.5,
        "labelled_share": 1.0,
    }


def test_a_sample_may_lose_all_its_cells(bag: CellBag) -> None:
    processed, numbers = CellProcessor(CellProcessing(min_counts=1000, annotation="markers", markers=MARKERS))(bag)
    assert len(processed) == 0
    assert numbers["n_cells_kept"] == 0.0
    assert math.isnan(numbers["median_counts"])
    assert math.isnan(numbers["labelled_share"])


def test_markers_replace_the_labels(make_bag: MakeBag) -> None:
    panel = [*GENES, *(f"x{i}" for i in range(50))]
    bag = make_bag(np.pad(np.array(MATRIX), ((0, 0), (0, 50))), panel, LABELS)
    processed, numbers = CellProcessor(CellProcessing(annotation="markers", markers=MARKERS))(bag)
    assert processed.cell_type.tolist() == ["T/CD8", "T", UNLABELLED, "NK", "T"]
    assert numbers["labelled_share"] == 4 / 5


def test_the_reference_replaces_the_labels(bag: CellBag, reference: Path) -> None:
    processed, _ = CellProcessor(CellProcessing(annotation="reference", reference=reference))(bag)
    assert processed.cell_type.tolist() == ReferenceMapper.load(reference).assign(bag).tolist()
    assert "T" in processed.cell_type


@pytest.mark.parametrize("annotation", ["markers", "reference"])
def test_a_foreign_panel_is_refused(make_bag: MakeBag, reference: Path, annotation: str) -> None:
    config = {"annotation": annotation} | ({"reference": reference} if annotation == "reference" else {})
    processor = CellProcessor(CellProcessing.model_validate(config))
    with pytest.raises(SequelaError, match=rf"{annotation}: 0% of \d+ genes are on the panel"):
        processor(make_bag([[1, 2]], ("ENSG00000167286", "ENSG00000153563")))


def test_doublets_are_flagged_or_dropped(carpall: anndata.AnnData, carpall_bag: CellBag) -> None:
    library = select_cells(carpall_bag, (carpall.obs["gex_sample"] == "CAR-T10310323").to_numpy())
    called = doublets(library)
    assert called is not None
    assert called.any()
    flagged, numbers = CellProcessor(CellProcessing(doublets="flag"))(library)
    assert len(flagged) == len(library)
    assert numbers["doublet_share"] == called.mean()
    dropped, numbers = CellProcessor(CellProcessing(doublets="drop", transgene=("CAT_scFv",)))(library)
    np.testing.assert_array_equal(dropped.values, select_cells(library, ~called).values)
    assert numbers["doublet_share"] == called.mean()
    assert numbers["n_cells_kept"] == (~called).sum()
    counts = np.add.reduceat(library.values, library.indptr[:-1])
    assert np.median(counts[~called]) != np.median(counts)
    assert numbers["median_counts"] == np.median(counts[~called])


def test_intensities_are_transformed_by_the_declared_cofactor(make_bag: MakeBag) -> None:
    bag = make_bag([[-3.0, 150.0, 0.0]], ("CD3", "CD8", "CD4"))
    processed, numbers = CellProcessor(CellProcessing(cofactor=150))(bag)
    np.testing.assert_allclose(processed.values, [np.arcsinh(-0.02), np.arcsinh(1.0)])
    assert math.isnan(numbers["median_counts"])
    as_they_are, _ = CellProcessor(CellProcessing(), counts=False)(bag)
    assert as_they_are.values.tolist() == [-3.0, 150.0]


def test_a_reference_of_the_other_kind_is_refused(make_bag: MakeBag, tmp_path: Path, reference: Path) -> None:
    bag = make_bag([[-1.0, 2.0], [3.0, 0.5]] * 5, labels=["a", "b"] * 5)
    ReferenceMapper.fit([bag], counts=False).save(tmp_path / "cytof.safetensors")
    with pytest.raises(SequelaError, match="fitted on intensities, and the cells hold raw counts"):
        CellProcessor(CellProcessing(annotation="reference", reference=tmp_path / "cytof.safetensors"))
    with pytest.raises(SequelaError, match="fitted on raw counts, and the cells hold intensities"):
        CellProcessor(CellProcessing(annotation="reference", reference=reference), counts=False)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_impossible_values_are_refused(make_bag: MakeBag, value: float) -> None:
    with pytest.raises(SequelaError, match="every value must be finite"):
        CellProcessor(CellProcessing())(make_bag([[1.0, value]]))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"min_counts": -1}, "greater than or equal to 0"),
        ({"max_mitochondrial": 20}, "less than or equal to 1"),
        ({"annotation": "reference"}, "goes with the file of a fitted mapper"),
        ({"reference": "mapper.safetensors"}, "goes with the file of a fitted mapper"),
        ({"markers": {"T": ["CD3D"]}}, "set annotation: markers"),
        ({"cofactor": 0}, "greater than 0"),
        ({"cofactor": 5, "annotation": "markers"}, "annotation: markers needs raw counts"),
        ({"cofactor": 5, "doublets": "drop"}, "doublets needs raw counts"),
        ({"thresholds": 3}, "Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_contradictory_configurations_are_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CellProcessing.model_validate(config)


@pytest.mark.parametrize("config", [{"min_counts": 1}, {"transgene": ["CAR"]}, {"max_mitochondrial": 0.2}], ids=str)
def test_steps_for_counts_are_refused_for_intensities(config: dict[str, object]) -> None:
    with pytest.raises(SequelaError, match="needs raw counts, and the cells hold intensities"):
        CellProcessor(CellProcessing.model_validate(config), counts=False)


def test_markers_below_no_parent_are_refused_at_once() -> None:
    with pytest.raises(SequelaError, match="T/CD8 lies below T"):
        CellProcessor(CellProcessing(annotation="markers", markers={"T/CD8": ("CD8A",)}))


def test_the_reference_is_known_by_its_content(reference: Path) -> None:
    config = CellProcessing(annotation="reference", reference=reference)
    resolved = config.resolved()
    assert resolved.reference_sha256 is not None
    assert CellProcessing().resolved() == CellProcessing()
    CellProcessor(resolved)
    reference.write_bytes(reference.read_bytes() + b" ")
    assert config.resolved() != resolved
    with pytest.raises(SequelaError, match="is not the file that was used"):
        CellProcessor(resolved)
    reference.unlink()
    with pytest.raises(SequelaError, match=r"reference: reference\.safetensors cannot be read"):
        config.resolved()


@pytest.mark.parametrize("annotation", ["given", "markers", "reference"])
def test_serving_does_the_same_without_the_reference_file(bag: CellBag, reference: Path, annotation: str) -> None:
    given = {"markers": {"markers": MARKERS}, "reference": {"reference": reference}}.get(annotation, {})
    config = {"annotation": annotation, "min_genes": 2, "transgene": ["CAT_scFv"], "doublets": "drop", **given}
    processor = CellProcessor(CellProcessing.model_validate(config).resolved())
    sizes, arrays = processor.state()
    assert str(reference.parent) not in json.dumps(sizes), "no path of this machine goes into an artifact"
    reference.unlink()
    again = CellProcessor.from_state(json.loads(json.dumps(sizes)), arrays)
    assert again.config.doublets == "keep"
    copies = [again, pickle.loads(pickle.dumps(processor))]  # noqa: S301 - our own, for worker processes
    expected, numbers = processor(bag)
    for copy in copies:
        processed, same = copy(bag)
        assert processed.cell_type.tolist() == expected.cell_type.tolist()
        np.testing.assert_array_equal(processed.values, expected.values)
        np.testing.assert_equal(same, numbers)


COUNTS = arrays(np.float64, st.tuples(st.integers(0, 8), st.just(len(GENES))), elements=st.integers(0, 5))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(COUNTS, st.integers(0, 99))
def test_the_order_of_cells_does_not_matter(make_bag: MakeBag, matrix: np.ndarray, seed: int) -> None:
    processor = CellProcessor(
        CellProcessing(min_counts=3, max_mitochondrial=0.6, annotation="markers", markers=MARKERS, transgene=GENES[3:4])
    )
    order = np.random.default_rng(seed).permutation(len(matrix))
    first, numbers = processor(make_bag(matrix, GENES))
    second, same = processor(make_bag(matrix[order], GENES))
    np.testing.assert_equal(same, numbers)
    assert sorted(second.cell_type) == sorted(first.cell_type)


def test_serving_imports_nothing_beyond_numpy_and_pydantic() -> None:
    heavy = {"scipy", "pandas", "scanpy", "anndata", "h5py", "zarr", "torch", "sklearn", "skimage"}
    code = "import sys, features.cells.processing; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "features.cells.annotation" in loaded
    assert heavy & set(loaded) == set()
