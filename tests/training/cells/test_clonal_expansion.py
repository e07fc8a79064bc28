"""Clones that expand: against Fisher's exact test elsewhere, and by their error rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, false_discovery_control, fisher_exact

from training.cells.clonal_expansion import expansion, expansions

counts = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=12).filter(
    lambda pairs: sum(a for a, _ in pairs) > 0 and sum(b for _, b in pairs) > 0
)


@given(pairs=counts)
def test_p_is_that_of_fisher_and_q_of_benjamini_and_hochberg(pairs: list[tuple[int, int]]) -> None:
    before, after = np.array(pairs).T
    found = expansion(before, after)
    p = fisher(before, after)
    q = np.ones(len(p))
    seen = before + after > 0
    q[seen] = false_discovery_control(np.minimum(p[seen], 1))
    np.testing.assert_allclose(found.p, p[found.clone], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.q, q[found.clone], rtol=1e-9, atol=1e-12)
    assert (after[found.clone] > 0).all()


def fisher(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """One-sided p of each clone, by scipy."""
    table = [[[b, after.sum() - b], [a, before.sum() - a]] for a, b in zip(before, after, strict=True)]
    return np.array([fisher_exact(one, alternative="greater").pvalue for one in table])


several = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.tuples(*[st.integers(0, 40)] * (n + 1)), min_size=2, max_size=8).filter(
        lambda rows: bool(np.array(rows).sum(axis=0).all())
    )
)


@given(rows=several)
def test_several_earlier_samples_share_one_false_discovery_rate_and_one_level(rows: list[tuple[int, ...]]) -> None:
    *before, after = np.array(rows).T
    found = expansions(before, after)
    seen = np.array([sample + after > 0 for sample in before])
    p = np.array([fisher(sample, after) for sample in before])
    q = np.ones(p.shape)
    q[seen] = false_discovery_control(np.minimum(p[seen], 1))
    for one, own, sample in zip(found, q, before, strict=True):
        np.testing.assert_allclose(one.q, own[one.clone], rtol=1e-9, atol=1e-12)
        for i, clone in enumerate(one.clone):
            both = sample[clone] + after[clone]
            chance = after.sum() * one.low[i] / (sample.sum() + after.sum() * one.low[i])
            assert binom.sf(after[clone] - 1, both, chance) == pytest.approx(0.025 / len(before), abs=1e-9)


@given(pairs=counts)
def test_ends_of_the_interval_are_where_the_counts_begin_to_be_unlikely(pairs: list[tuple[int, int]]) -> None:
    before, after = np.array(pairs).T
    found = expansion(before, after)
    n_before, n_after = before.sum(), after.sum()
    for i, clone in enumerate(found.clone):
        both = before[clone] + after[clone]

        def chance(ratio: float) -> float:
            return float(n_after * ratio / (n_before + n_after * ratio))

        assert binom.sf(after[clone] - 1, both, chance(found.low[i])) == pytest.approx(0.025, abs=1e-9)
        if before[clone]:
            assert binom.cdf(after[clone], both, chance(found.high[i])) == pytest.approx(0.025, abs=1e-9)
        else:
            assert np.isinf(found.high[i])
        assert found.low[i] <= found.ratio[i] <= found.high[i]


def test_where_nothing_grows_few_pairs_of_samples_tell_of_it() -> None:
    rng = np.random.default_rng(4)
    told = 0
    for _ in range(300):
        shares = rng.dirichlet(np.full(200, 0.05))
        before, after = rng.multinomial(400, shares), rng.multinomial(300, shares)
        told += bool((expansion(before, after).q <= 0.05).any())
    assert told <= 22  # P(X > 22) < 0.04 at 5 %; exact tests of small counts keep well below


def test_a_clone_that_grew_threefold_is_found() -> None:
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(100):
        shares = np.r_[0.04, rng.dirichlet(np.full(200, 0.2)) * 0.96]
        later = np.r_[0.12, shares[1:] * 0.88 / 0.96]
        one = expansion(rng.multinomial(500, shares), rng.multinomial(500, later), 0.05)
        found += bool(((one.clone == 0) & (one.q <= 0.05)).any())
    assert found > 85


def test_small_clones_are_tested_and_not_told() -> None:
    one = expansion(np.array([50, 50, 1]), np.array([90, 5, 5]), 0.2)
    assert one.clone.tolist() == [0]
    assert one.share_after.tolist() == [0.9]


@pytest.mark.parametrize(("before", "after"), [([0, 0], [1, 2]), ([1, 2], [0, 0]), ([1, -1], [1, 1])])
def test_what_is_no_pair_of_samples_is_refused(before: list[int], after: list[int]) -> None:
    with pytest.raises(ValueError, match="must be counts"):
        expansion(np.array(before), np.array(after))
