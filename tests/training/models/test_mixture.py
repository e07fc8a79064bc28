"""The mixture: weights, invariants, and members kept apart in the state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.models.aalen_johansen import AalenJohansen
from training.models.cox import CauseSpecificCox
from training.models.custom import UnknownKindError
from training.models.mixture import Mixture, rebuild
from training.models.network import HazardNetwork, NetworkSizes, PackedHazards
from training.models.predictor import Predictor

AT = np.array([0.0, 10.0, 25.0, 100.0])
NOBODY = np.zeros((3, 0)), np.zeros(3)


def curve(level: float) -> AalenJohansen:
    """0 until day 20, then `level` for cause 1 and 0.1 for cause 2."""
    return AalenJohansen([0.0], [np.array([20.0])], [np.array([[level], [0.1]])])


@given(
    levels=st.lists(st.floats(0, 0.9), min_size=2, max_size=5),
    weights=st.lists(st.floats(0.01, 100), min_size=5, max_size=5),
)
def test_it_is_the_weighted_mean_whatever_the_scale_of_weights(levels: list[float], weights: list[float]) -> None:
    used = weights[: len(levels)]
    mixture = Mixture([curve(level) for level in levels], used)
    expected = sum(w * level for w, level in zip(used, levels, strict=True)) / sum(used)
    values = mixture.incidence(*NOBODY, AT)
    assert values.shape == (3, 2, 4)
    np.testing.assert_allclose(values[0, 0], [0, 0, expected, expected], atol=1e-12)
    np.testing.assert_allclose(values[:, 1, 2:], 0.1, atol=1e-12)


def nested(members: Sequence[Predictor]) -> Mixture:
    return Mixture(members, [float(i + 1) for i in range(len(members))])


def test_state_keeps_twelve_and_nested_members_apart() -> None:
    """Names of the arrays of member 1 begin as those of 10 and 11 do."""
    cox = CauseSpecificCox(np.ones((2, 0)), np.array([5.0]), np.array([[0.2], [0.1]]), [1.0, 1.0])
    network = HazardNetwork(PackedHazards(NetworkSizes(2, 0, 2, 1, 1), None), np.array([0.0, 50.0]))
    inner = nested([curve(0.5), cox])
    mixture = nested([curve(0.1), network, *[curve(i / 20) for i in range(8)], inner, cox])
    sizes, arrays = mixture.state()
    again = rebuild("mixture", sizes, arrays)
    np.testing.assert_allclose(again.incidence(*NOBODY, AT), mixture.incidence(*NOBODY, AT), rtol=0, atol=1e-12)
    assert isinstance(again, Mixture)
    assert [member.kind for member in again.members] == [
        "aalen_johansen",
        "network",
        *["aalen_johansen"] * 8,
        "mixture",
        "cox",
    ]


def test_unknown_member_is_refused() -> None:
    sizes, arrays = nested([curve(0.1), curve(0.2)]).state()
    sizes["members"][1]["kind"] = "oracle"
    with pytest.raises(UnknownKindError, match="oracle"):
        rebuild("mixture", sizes, arrays)


def test_missing_member_is_refused() -> None:
    sizes, arrays = nested([curve(0.1), curve(0.2)]).state()
    with pytest.raises(KeyError, match="times_0"):
        rebuild("mixture", sizes, {name: a for name, a in arrays.items() if not name.startswith("1/")})
