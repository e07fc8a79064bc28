"""Contributions add up, go to the columns that did it, and are those of the closed forms where there are any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.errors import SequelaError
from training.models.attribution import TOLERANCE
from training.models.cox import CauseSpecificCox
from training.models.explanation import Contributions, Method, explain
from training.models.mixture import Mixture
from training.models.predictor import Predictor
from training.models.risk_model import FittedRiskModel

HORIZONS = np.array([30.0, 180.0, 365.0])
Fitted = Callable[[str], FittedRiskModel]
Matrix = NDArray[np.float64]
Function = Callable[[Matrix], Matrix]


@dataclass
class OfFunction:
    """A predictor of one cause whose risk is a function of x, growing to its value over a year."""

    function: Function
    kind: ClassVar[str] = "function"

    def incidence(self, x: Matrix, landmark_day: Matrix, times_days: Matrix) -> Matrix:
        assert len(landmark_day) == len(x)
        values: Matrix = self.function(x)[:, None, None] * np.minimum(times_days / 365.0, 1.0)
        return values

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {}

    @classmethod
    def from_state(cls, sizes: dict[str, Any], arrays: Any) -> Self:
        raise NotImplementedError


class Jumps(OfFunction):
    """As trees are, and known to be."""

    kind: ClassVar[str] = "forest"


class OfTensor(OfFunction):
    """A predictor that torch can differentiate, in single precision."""

    def incidence(self, x: Matrix, landmark_day: Matrix, times_days: Matrix) -> Matrix:
        tensors = torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(landmark_day), torch.as_tensor(times_days)
        return self.risk_tensor(*tensors).double().numpy()

    def risk_tensor(self, x: Tensor, landmark_day: Tensor, times_days: Tensor) -> Tensor:
        assert len(landmark_day) == len(x)
        return torch.sigmoid(2 * x[:, 0] - x[:, 1] * x[:, 2])[:, None, None] * (times_days / 365.0).clamp(max=1)


def explained(
    predictor: Predictor, x: Matrix, sources: list[str], method: Method = "auto", orders: int = 64, seed: int = 0
) -> Contributions:
    rng = np.random.default_rng(seed)
    return explain(predictor, x, np.zeros(len(x)), HORIZONS, sources, rng=rng, method=method, orders=orders)


def logistic(x: Matrix) -> Matrix:
    risk: Matrix = 1 / (1 + np.exp(1.0 - x @ np.array([1.0, -0.5, 0.25, 0.0])))
    return risk


def stumps(x: Matrix) -> Matrix:
    risk: Matrix = 0.2 + 0.3 * (x[:, 0] > 0.5) + 0.2 * (x[:, 1] > 0.5) * (x[:, 2] < -0.5)
    return risk


def numbered(x: Matrix) -> list[str]:
    return [str(j) for j in range(x.shape[1])]


X = np.random.default_rng(0).normal(size=(12, 4))
NAMES = ["a", "b", "c", "d"]


@pytest.mark.parametrize("method", ["auto", "path"])
def test_a_logistic_risk_is_divided_as_its_linear_predictor(method: Method) -> None:
    """Along a straight path each column's share of the difference is its share of the linear predictor."""
    found = explained(OfFunction(logistic), X, NAMES, method)
    share = X * np.array([1.0, -0.5, 0.25, 0.0])
    share /= share.sum(axis=1, keepdims=True)
    difference = (logistic(X) - logistic(0 * X))[:, None]
    np.testing.assert_allclose(found.values[:, 0, -1], share * difference, atol=1e-8)
    np.testing.assert_allclose(found.values[:, 0, 1], share * difference * 180 / 365, atol=1e-8)
    assert (found.values[..., 3] == 0).all(), "what the model does not use contributes nothing"
    assert (found.standard_error == 0).all()


def test_cox_of_one_cause_is_divided_as_its_linear_predictor() -> None:
    beta = np.array([[0.8, -0.4, 0.0, 0.3]])
    cox = CauseSpecificCox(beta, np.array([10.0, 50.0, 300.0]), np.array([[0.1, 0.2, 0.1]]), [1.0])
    found = explained(cox, X, NAMES)
    share = X * beta
    share /= share.sum(axis=1, keepdims=True)
    difference = found.risk - found.reference
    np.testing.assert_allclose(found.values, share[:, None, None] * difference[..., None], atol=1e-8)
    assert np.abs(difference).max() > 0.1


def test_any_predictor_may_bring_its_gradient() -> None:
    predictor = OfTensor(logistic)
    by_gradient = explained(predictor, X, NAMES)
    in_double = OfFunction(lambda x: 1 / (1 + np.exp(-(2 * x[:, 0] - x[:, 1] * x[:, 2]))))
    np.testing.assert_allclose(by_gradient.values, explained(in_double, X, NAMES).values, atol=1e-5)
    assert (by_gradient.standard_error == 0).all()


def test_jumps_are_divided_by_shapley() -> None:
    """A main effect goes to its column, an interaction in halves, and nothing to the rest."""
    x = np.array([[1.0, 1.0, -1.0, 2.0], [1.0, 1.0, 1.0, 2.0], [0.0, 1.0, -1.0, 0.0]])
    for predictor in (Jumps(stumps), OfFunction(stumps)):
        found = explained(predictor, x, NAMES)
        expected = [[0.3, 0.1, 0.1, 0.0], [0.3, 0.0, 0.0, 0.0], [0.0, 0.1, 0.1, 0.0]]
        np.testing.assert_allclose(found.values[:, 0, -1], expected, atol=1e-12)


def test_exact_shapley_is_the_mean_over_all_orders() -> None:
    x = X[:2]
    expected = np.zeros((2, 4))
    for order in permutations(range(4)):
        point = np.zeros_like(x)
        before = logistic(point)
        for column in order:
            point[:, column] = x[:, column]
            after = logistic(point)
            expected[:, column] += (after - before) / 24
            before = after
    found = explained(OfFunction(logistic), x, NAMES, "permutation")
    np.testing.assert_allclose(found.values[:, 0, -1], expected, atol=1e-12)


def test_sampled_orders_add_up_and_are_near_within_their_standard_errors() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4, 12))
    weight = rng.normal(size=(12, 12)) / 12

    def wavy(x: Matrix) -> Matrix:
        values: Matrix = 0.5 + 0.4 * np.tanh(((x @ weight) * x).sum(axis=1) + (x > 0.3).sum(axis=1) / 12)
        return values

    predictor = OfFunction(wavy)
    few, many = (explained(predictor, x, numbered(x), "permutation", orders, 7) for orders in (40, 1500))
    for found in (few, many):
        np.testing.assert_allclose(found.values.sum(axis=-1), found.risk - found.reference, atol=1e-12)
    assert (few.standard_error[:, 0, -1] > 0).all()
    z = (few.values - many.values)[:, 0, -1] / np.hypot(few.standard_error, many.standard_error)[:, 0, -1]
    assert 0.6 < np.sqrt((z**2).mean()) < 1.4, "standard errors say how far off the sampling is"
    again = explained(predictor, x, numbered(x), "permutation", 40, 7)
    np.testing.assert_array_equal(again.values, few.values)


@pytest.mark.parametrize("method", ["path", "permutation"])
def test_columns_of_a_source_move_together(method: Method) -> None:
    names = ["product", "ferritin", "product", "age"]
    apart, together = (explained(OfFunction(logistic), X, n, method) for n in (NAMES, names))
    assert together.sources == ("product", "ferritin", "age")
    np.testing.assert_allclose(together.values.sum(axis=-1), apart.values.sum(axis=-1), atol=1e-8)
    if method == "path":
        sums = apart.values[..., [0, 1, 3]] + apart.values[..., [2]] * np.array([1, 0, 0])
        np.testing.assert_allclose(together.values, sums, atol=1e-8)


def test_mixture_is_the_weighted_mean_of_its_members() -> None:
    smooth, jumps = OfFunction(logistic), Jumps(stumps)
    found = explained(Mixture([smooth, jumps], [1.0, 3.0]), X, NAMES)
    parts = [explained(member, X, NAMES).values for member in (smooth, jumps)]
    np.testing.assert_allclose(found.values, 0.25 * parts[0] + 0.75 * parts[1], atol=1e-12)


def test_a_path_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(SequelaError, match=r"contributions of row \d+ miss .* Ask for the method 'permutation'"):
        explained(OfFunction(stumps), np.full((3, 4), 1.0), NAMES, "path")


def test_a_risk_that_is_no_number_is_refused() -> None:
    with pytest.raises(SequelaError, match="contributions of row 0 miss"), np.errstate(invalid="ignore"):
        explained(OfFunction(lambda x: np.where(x[:, 0] > 0, np.nan, 0.1)), np.ones((1, 4)), NAMES, "permutation")


def test_steep_risks_get_more_nodes() -> None:
    steep = OfFunction(lambda x: 1 / (1 + np.exp(-60 * (x[:, 0] - 1.1))))
    found = explained(steep, np.full((2, 4), 2.0), NAMES, "path")
    np.testing.assert_allclose(found.values[:, 0, -1, 0], 1.0, atol=TOLERANCE)


@pytest.mark.parametrize("method", ["auto", "path", "permutation"])
def test_nobody_and_nothing_are_explained_too(method: Method) -> None:
    assert explained(OfFunction(logistic), X[:0], NAMES, method).values.shape == (0, 1, 3, 4)
    constant = OfFunction(lambda x: np.full(len(x), 0.3))
    found = explained(constant, np.zeros((2, 0)), [], method)
    assert found.values.shape == (2, 1, 3, 0)
    np.testing.assert_array_equal(explained(constant, np.zeros((1, 4)), NAMES, method).values, 0.0)


def test_wrong_number_of_names_is_refused() -> None:
    with pytest.raises(ValueError, match="3 column sources for 4 columns"):
        explained(OfFunction(logistic), X, NAMES[:3])


def test_sentences_name_the_largest_first() -> None:
    risk = OfFunction(lambda x: 0.5 + x @ np.array([0.041, -0.3, 0.1, 0.0]))
    found = explained(risk, np.ones((1, 4)), ["ferritin", "age", "crp", "sex"], "permutation")
    assert found.sentences(0) == ["age -30.0 %", "crp +10.0 %", "ferritin +4.1 %"]
    assert found.sentences(0, horizon=0, most=1) == ["age -2.5 %"]
    assert [name for name, _ in found.ranked(0)] == ["age", "crp", "ferritin"]
