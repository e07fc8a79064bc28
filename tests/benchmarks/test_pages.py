"""What pages of results are made with: commands, intervals over cohorts, incidences between cuts."""

from __future__ import annotations

import numpy as np
from scipy.stats import ttest_1samp

from benchmarks.accuracy.peers import _between
from benchmarks.cohorts import t_interval
from benchmarks.made import made_by


def test_a_page_says_the_command_without_where_things_lie() -> None:
    given = ["--sizes", "100", "300", "--results", "look", "--workers=4", "--models", "pycox DeepHit"]
    assert "`python -m benchmarks.truth --sizes 100 300 --models 'pycox DeepHit'` on 20" in made_by(
        "benchmarks.truth", given
    )


def test_the_interval_over_cohorts_is_students() -> None:
    values = np.array([0.3, -0.1, 0.4, 0.2])
    known = ttest_1samp(values, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose(t_interval(values), (values.mean(), known.low, known.high))
    assert np.isnan(t_interval(values[:1])[1:]).all()


def test_incidences_between_cuts_are_linear_and_stay_after_the_last() -> None:
    cuts, times = np.array([0.0, 10.0, 40.0]), np.array([0.0, 5.0, 10.0, 30.0, 40.0, 90.0])
    values = np.array([[0.1, 0.2, 0.5], [0.0, 0.0, 0.3]])
    known = [np.interp(times, cuts, row) for row in values]
    np.testing.assert_allclose(_between(values, cuts, times), known)
