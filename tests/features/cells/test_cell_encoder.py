"""The frozen encoder: its forward pass, its card, and whom it may not be tested on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from features.cells.bag import CellBag
from features.cells.cell_encoder import ARRAYS, CellEncoder, CellEncoderCard, patient_digest
from features.errors import SequelaError

MakeBag = Callable[..., CellBag]
GENES = tuple(f"g{i}" for i in range(12))


@pytest.fixture
def encoder() -> CellEncoder:
    rng = np.random.default_rng(0)
    sizes = {"hidden": 7, "genes": 12, "dimensions": 4}
    shapes = [
        ("genes",),
        ("genes",),
        ("hidden", "genes"),
        ("hidden",),
        ("hidden",),
        ("hidden",),
        ("dimensions", "hidden"),
    ]
    arrays: dict[str, NDArray[Any]] = {
        name: rng.normal(size=[sizes[axis] for axis in shape]).astype(np.float32)
        for name, shape in zip(ARRAYS, [*shapes, ("dimensions",)], strict=True)
    }
    arrays["scale"] = np.abs(arrays["scale"]) + 0.5
    digests = tuple(sorted(patient_digest("c0ffee", name) for name in ("P1", "P2")))
    card = CellEncoderCard(
        genes=GENES, counts=True, cohort="c0ffee", patients=digests, n_cells=10, seed=0, explained=0.1
    )
    return CellEncoder(card, arrays)


def slow_forward(a: dict[str, NDArray[Any]], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """One cell after the other, in double precision, as the formula says."""
    rows = []
    for cell in counts:
        x = np.log1p(cell * 1e4 / cell.sum()) if cell.sum() else np.zeros(len(cell))
        h = a["hidden.weight"].astype(float) @ ((x - a["center"]) / a["scale"]) + a["hidden.bias"]
        h = (h - h.mean()) / np.sqrt(h.var() + 1e-5) * a["norm.weight"] + a["norm.bias"]
        rows.append(a["bottleneck.weight"].astype(float) @ (h / (1.0 + np.exp(-h))) + a["bottleneck.bias"])
    return np.array(rows)


def test_the_forward_pass_is_the_formula(encoder: CellEncoder, make_bag: MakeBag) -> None:
    counts = np.random.default_rng(1).poisson(2.0, (30, 12)).astype(float)
    counts[3] = 0.0
    z = encoder.transform(make_bag(counts))
    assert z.shape == (30, encoder.n_dimensions)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z, slow_forward(dict(encoder.arrays), counts), atol=1e-4)


def test_genes_are_matched_by_name_and_others_do_not_matter(encoder: CellEncoder, make_bag: MakeBag) -> None:
    counts = np.random.default_rng(2).poisson(2.0, (20, 12)).astype(float)
    expected = encoder.transform(make_bag(counts))
    order = np.random.default_rng(3).permutation(12)
    wider = np.concatenate([counts[:, order], np.full((20, 2), 50.0)], axis=1)
    names = [GENES[i] for i in order] + ["other", "another"]
    np.testing.assert_allclose(encoder.transform(make_bag(wider, names)), expected, atol=1e-4)
    np.testing.assert_allclose(encoder.transform(make_bag(counts[::-1])), expected[::-1], atol=1e-4)
    assert encoder.transform(make_bag(np.zeros((0, 12)))).shape == (0, 4)


def test_a_foreign_panel_and_impossible_counts_are_refused(encoder: CellEncoder, make_bag: MakeBag) -> None:
    with pytest.raises(SequelaError, match="42% of 12 genes"):
        encoder.transform(make_bag(np.ones((2, 5))))
    assert encoder.transform(make_bag(np.ones((2, 5))), minimum_overlap=0.4).shape == (2, 4)
    with pytest.raises(SequelaError, match="at least 0"):
        encoder.transform(make_bag(-np.ones((2, 12))))


def test_an_encoder_that_has_seen_the_test_patients_is_refused(encoder: CellEncoder) -> None:
    encoder.require_unseen(["P3", "P4"])
    with pytest.raises(SequelaError, match=r"cells of 1 of these 2 patients.*inside the fold"):
        encoder.require_unseen(["P3", "P2"])
    assert "P2" not in json.dumps(encoder.state()[0])
    assert patient_digest("c0ffee", "P2") != patient_digest("decade", "P2")


def test_a_saved_encoder_is_the_same(encoder: CellEncoder, make_bag: MakeBag, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    encoder.save(path)
    again = CellEncoder.load(path)
    bag = make_bag(np.random.default_rng(4).poisson(2.0, (5, 12)))
    np.testing.assert_array_equal(again.transform(bag), encoder.transform(bag))
    assert again.card == encoder.card
    assert [file.name for file in tmp_path.iterdir()] == ["encoder.safetensors"]


def test_a_damaged_or_foreign_file_is_refused(encoder: CellEncoder, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    encoder.save(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(SequelaError, match="cannot be read as safetensors"):
        CellEncoder.load(path)
    with pytest.raises(SequelaError, match="cannot be read as safetensors"):
        CellEncoder.load(tmp_path / "absent.safetensors")
    card, arrays = encoder.state()
    with pytest.raises(SequelaError, match="no card of a sequela-cell-encoder/1"):
        CellEncoder.from_state(card | {"format": "other"}, arrays)
    for broken in (
        {name: array for name, array in arrays.items() if name != "norm.bias"},
        arrays | {"hidden.weight": arrays["hidden.weight"][:, :-1]},
        arrays | {"hidden.bias": np.full(7, np.nan)},
    ):
        with pytest.raises(SequelaError, match="do not fit together"):
            CellEncoder.from_state(card, broken)
