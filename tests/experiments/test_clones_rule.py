"""Which clones call for a closer look: steady growth however often somebody looked, dominance in any sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clone_cohorts import write
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.clones.followed import Followed, follow
from experiments.clones.rule import Rule, told
from features.check import read_cohort

OTHERS = 60


def counts(share: float, counted: int) -> pd.Series:
    """A sample in which clone 0 has a share, and the others have equal parts of the rest."""
    return pd.Series([round(share * counted), *[round((1 - share) * counted / OTHERS)] * OTHERS]).loc[lambda n: n > 0]


def expands(earlier: list[pd.Series], later: pd.Series) -> bool:
    return any("expands" in one.why for one in told(earlier, later, Rule()) if one.clone == 0)


@settings(max_examples=40)
@given(
    first=st.floats(0.015, 0.05),
    growth=st.floats(5, 12),
    between=st.lists(st.floats(0.02, 0.98), max_size=8),
    counted=st.integers(1000, 3000),
)
def test_samples_between_do_not_take_a_warning_away(
    first: float, growth: float, between: list[float], counted: int
) -> None:
    """A clone that grows steadily, by an equal factor a day, is told on the last day, whatever was sampled before."""
    last = counts(first * growth, counted)
    assert expands([counts(first, counted)], last)
    shares = [first, *(first * growth**part for part in sorted(between))]
    assert expands([counts(share, counted) for share in shares], last)


def test_a_tenfold_expansion_in_small_steps_is_told() -> None:
    samples = [counts(share, 400) for share in (0.02, 0.038, 0.07, 0.12, 0.19)]
    assert not any(expands(samples[i : i + 1], samples[i + 1]) for i in range(4))  # no day from that before it
    assert [expands(samples[:i], samples[i]) for i in range(1, 5)] == [False, True, True, True]


def test_growth_from_a_low_between_is_told_if_it_is_large() -> None:
    earlier = [counts(share, 400) for share in (0.2, 0.02, 0.05, 0.1)]
    (found,) = [one for one in told(earlier, counts(0.17, 400), Rule()) if one.clone == 0]
    assert (found.why, found.since) == ("expands", 1)


def test_a_clone_that_falls_does_not_expand_however_small_it_was() -> None:
    (found,) = told([counts(0.01, 4000), counts(0.9, 4000)], counts(0.4, 4000), Rule())
    assert (found.why, found.since) == ("dominant", 1)
    assert found.ratio == pytest.approx(0.4 / 0.9, rel=0.02)


def drawn(rng: np.random.Generator, days: int, spread: float) -> list[pd.Series]:
    """Samples of 400 of shares that stay as they are, but for what sampling and handling add (Dirichlet)."""
    shares = rng.dirichlet(np.full(OTHERS, 0.5))
    samples = []
    for _ in range(days):
        own = rng.dirichlet(shares / spread + 1e-9) if spread else shares
        samples.append(pd.Series(rng.multinomial(400, own)).loc[lambda n: n > 0])
    return samples


def false_alarms(spread: float, cohorts: int, days: int) -> tuple[float, float]:
    """Of later samples of clones that do not grow: told by all earlier ones, and by the one before alone."""
    rng = np.random.default_rng(11)
    wrong = np.zeros(2)
    for _ in range(cohorts):
        samples = drawn(rng, days, spread)
        for i in range(1, days):
            for rule, earlier in enumerate((samples[:i], samples[i - 1 : i])):
                wrong[rule] += any("expands" in one.why for one in told(earlier, samples[i], Rule()))
    every, last = wrong / (cohorts * (days - 1))
    return float(every), float(last)


def test_where_nothing_grows_few_samples_tell_of_it() -> None:
    every, _ = false_alarms(0, 100, 5)
    assert every <= 0.02  # of 400 later samples


def test_more_comparisons_are_no_more_often_wrong_where_samples_of_one_day_differ() -> None:
    """Twice the variance of counting alone: the rule is wrong more often, and not more often for its comparisons."""
    every, last = false_alarms(0.0025, 80, 6)
    assert 0.02 < last < 0.4
    assert every <= 1.3 * last


COLUMNS = ["sample_id", "patient_id", "day", "material"]


def one_patient(folder: Path, samples: list[tuple[str, int]], abundance: dict[str, dict[str, int]]) -> Followed:
    table = pd.DataFrame([(name, "p0", day, "blood") for name, day in samples], columns=COLUMNS)
    rows = [(name, "tcr", clone, n) for name, own in abundance.items() for clone, n in own.items()]
    clones = pd.DataFrame(rows, columns=["sample_id", "locus", "clone", "abundance"])
    return follow(read_cohort(write(folder, clones, table)), Rule())


def test_a_clone_that_dominates_the_only_sample_is_told(tmp_path: Path) -> None:
    found = one_patient(tmp_path / "cohort", [("s0", 28)], {"s0": {"big": 90, **{f"c{i}": 1 for i in range(10)}}})
    (line,) = found.warnings.to_dict("records")
    assert (line["clone"], line["day"], line["why"], line["share"]) == ("big", 28, "dominant", 0.9)
    assert np.isnan([line[name] for name in ("day_before", "share_before", "ratio", "ratio_low", "q")]).all()
    assert found.compared == 0


def test_a_clone_that_dominates_the_smaller_sample_of_a_day_is_told(tmp_path: Path) -> None:
    rest = {f"c{i}": 10 for i in range(30)}
    found = one_patient(tmp_path / "cohort", [("a", 28), ("b", 28)], {"a": rest, "b": {"big": 20, "c1": 5, "c2": 5}})
    assert found.warnings[["sample_id", "clone"]].to_numpy().tolist() == [["b", "big"]]


def test_samples_in_which_fewer_than_twenty_were_counted_are_not_looked_at(tmp_path: Path) -> None:
    own = {"s0": {"big": 16, "c1": 3}, "s1": {"big": 17, "c1": 3}}
    found = one_patient(tmp_path / "cohort", [("s0", 28), ("s1", 90)], own)
    assert found.warnings["sample_id"].tolist() == ["s1"]
    assert found.warnings["day_before"].isna().all()
    assert found.compared == 0
