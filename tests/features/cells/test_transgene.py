"""CAR-positive cells by the transcripts of the construct."""

from __future__ import annotations

from collections.abc import Callable

import anndata
import numpy as np

from features.cells.bag import CellBag
from features.cells.transgene import car_positive


def test_one_count_of_any_part_of_the_construct_suffices(make_bag: Callable[..., CellBag]) -> None:
    bag = make_bag([[9, 0, 0], [0, 1, 0], [3, 0, 2], [0, 0, 0]], ("CD3D", "CAT_scFv", "WPRE"))
    positive = car_positive(bag, ["CAT_scFv", " WPRE "])
    assert positive is not None
    assert positive.tolist() == [False, True, True, False]
    only_one = car_positive(bag, ["WPRE", "not on the panel"])
    assert only_one is not None
    assert only_one.tolist() == [False, False, True, False]


def test_without_the_construct_on_the_panel_nothing_is_known(make_bag: Callable[..., CellBag]) -> None:
    assert car_positive(make_bag([[1, 2]]), ["CAT_scFv"]) is None
    assert car_positive(make_bag([[1, 2]]), []) is None


def test_real_cells_sorted_for_the_car_express_it(carpall: anndata.AnnData, carpall_bag: CellBag) -> None:
    positive = car_positive(carpall_bag, ["CAT_scFv"])
    assert positive is not None
    np.testing.assert_array_equal(positive, np.asarray(carpall[:, "CAT_scFv"].X.todense()).ravel() > 0)
    annotated = carpall.obs["is_annotated_cart"].to_numpy(dtype=bool)
    unsorted = (carpall.obs["sort"] == "NoSo").to_numpy() & ~annotated
    assert positive[annotated].mean() > 0.6
    assert positive[unsorted].mean() < 0.01
