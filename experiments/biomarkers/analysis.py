"""The screen itself: every marker against every cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from experiments.biomarkers.matrix import MarkerMatrix
from experiments.biomarkers.question import FEWEST_EVENTS, FEWEST_PATIENTS, Question
from features.errors import SequelaError
from features.patients import FloatArray, IntArray
from training.biomarkers.effect import WithinArms, hazard_ratio, within_arms
from training.biomarkers.markers import n_events
from training.biomarkers.multiplicity import benjamini_hochberg
from training.biomarkers.permutation import PERMUTATIONS, PermutationTests, permutation_tests
from training.biomarkers.score_test import ScoreTests, cause_specific_scores, subdistribution_scores
from training.biomarkers.stability import PAIRS, Stability, stability
from training.effects.arms import Arms
from training.effects.estimates import ABSENT, Estimate

SEED = 20
"""Of permutations and halves, unless another is asked for: the same question gets the same answer."""
LEVEL = 0.1
"""False discovery rate at which a marker counts as found."""

Bar = Callable[[int, int], None]
Progress = Callable[[str], Bar]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Tested:
    """Markers against one hazard of one cause; beyond the clinic, NaN for those that are the clinic."""

    scores: ScoreTests
    permuted: PermutationTests
    q: FloatArray
    """(markers,): of the p-values of permuted outcomes, or of score tests where no permutation reached them."""
    ratios: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class ByArm:
    """Hazard ratios of markers within arms, and whether they differ."""

    within: tuple[WithinArms, ...]
    """By marker."""
    q: FloatArray
    """(markers,): of the interaction's p-values."""

    @property
    def p(self) -> FloatArray:
        """(markers,): of the interaction; holds in large samples, and errs on the safe side in small ones."""
        return np.array([one.interaction.p for one in self.within])


@dataclass(frozen=True, slots=True)
class CauseScreen:
    """All that is said of one cause."""

    cause: int
    name: str
    tested: IntArray
    """Positions of the markers measured in enough patients with enough events; all below is of these."""
    n: IntArray
    """(tested,): patients measured."""
    n_events: IntArray
    cause_specific: Tested
    subdistribution: Tested | None
    """None where Fine and Gray's weights cannot be estimated."""
    stability: Stability
    beyond: Tested | None
    beyond_subdistribution: Tested | None
    by_arm: ByArm | None

    @property
    def order(self) -> IntArray:
        """Places among the tested, the smallest p of the cause-specific test first."""
        return np.argsort(self.cause_specific.scores.p, kind="stable")

    @property
    def found(self) -> IntArray:
        """Places among the tested whose cause-specific test has a false discovery rate of at most `LEVEL`, likewise."""
        return self.order[self.cause_specific.q[self.order] <= LEVEL]


@dataclass(frozen=True, slots=True)
class Screen:
    """The answer."""

    question: Question
    matrix: MarkerMatrix
    causes: tuple[CauseScreen, ...]
    """The event of interest first; causes with too few events are left out."""
    n_permutations: int


def screen(
    question: Question,
    matrix: MarkerMatrix,
    *,
    n_permutations: int = PERMUTATIONS,
    n_pairs: int = PAIRS,
    seed: int = SEED,
    progress: Progress = lambda _what: lambda _done, _of: None,
) -> Screen:
    """Test every marker against every cause with enough events.

    Args:
        question: Whose markers, and against what.
        matrix: The markers.
        n_permutations: Of the permutation null.
        n_pairs: Of halves, in stability selection.
        seed: Of both.
        progress: Makes a bar for a task; it is told (done, of).

    Raises:
        SequelaError: No marker was measured in enough patients.
    """
    causes = tuple(
        _of_cause(question, matrix, cause, n_permutations, n_pairs, [seed, cause], progress)
        for cause in question.screened_causes
    )
    if not len(causes[0].tested):
        msg = (
            f"{question.cohort.folder}: no marker was measured by day {question.landmark_day:g} in {FEWEST_PATIENTS} "
            f"patients with {FEWEST_EVENTS} events {causes[0].name} among them; choose a later --landmark"
        )
        raise SequelaError(msg)
    return Screen(question, matrix, causes, n_permutations)


def _of_cause(
    question: Question,
    matrix: MarkerMatrix,
    cause: int,
    n_permutations: int,
    n_pairs: int,
    seed: list[int],
    progress: Progress,
) -> CauseScreen:
    outcomes, stratum, name = question.outcomes, question.stratum, question.outcomes.causes[cause - 1]
    n, events = n_events(matrix.values, outcomes, cause)
    tested = np.flatnonzero((n >= FEWEST_PATIENTS) & (events >= FEWEST_EVENTS))
    values = matrix.values[:, tested]
    rng = np.random.default_rng(seed)

    def against(what: str, values: FloatArray, clinic: FloatArray | None, *, kept: bool) -> Tested:
        bar = progress(f"{what}, {name}")
        return _tested(question, values, cause, clinic, n_permutations, rng, bar, kept=kept)

    cause_specific = against("hazard ratios", values, None, kept=False)
    try:
        subdistribution = against("subdistribution", values, None, kept=True)
    except SequelaError:  # late entry with a gap in the follow-up
        subdistribution = None
    stable = stability(
        values, outcomes, cause, stratum=stratum, n_pairs=n_pairs, rng=rng, progress=progress(f"stability, {name}")
    )
    beyond = beyond_subdistribution = None
    if question.clinic is not None:
        x = question.clinic.x
        new = np.array([matrix.markers[j].source.partition(".")[2] not in question.clinic.names for j in tested])
        left = np.where(new, values, np.nan)
        beyond = against("beyond the clinic", left, x, kept=False)
        if subdistribution is not None:
            beyond_subdistribution = against("subdistribution beyond the clinic", left, x, kept=True)
    by_arm = None if question.arms is None else _by_arm(question.arms, values, cause, progress(f"arms, {name}"))
    return CauseScreen(
        cause, name, tested, n[tested], events[tested], cause_specific, subdistribution, stable, beyond,
        beyond_subdistribution, by_arm,
    )  # fmt: skip


def _tested(
    question: Question,
    values: FloatArray,
    cause: int,
    clinic: FloatArray | None,
    n_permutations: int,
    rng: np.random.Generator,
    bar: Bar,
    *,
    kept: bool,
) -> Tested:
    outcomes, stratum = question.outcomes, question.stratum
    test = subdistribution_scores if kept else cause_specific_scores
    scores = test(values, outcomes, cause, stratum=stratum, covariates=clinic)
    permuted = permutation_tests(
        values, outcomes, cause, stratum=stratum, covariates=clinic, kept=kept, n_permutations=n_permutations, rng=rng
    )

    def ratio(j: int) -> Estimate:
        if clinic is not None and not np.isfinite(scores.z[j]):
            return ABSENT
        return hazard_ratio(values[:, j], outcomes, cause, stratum=stratum, covariates=clinic, kept=kept)

    q = benjamini_hochberg(permuted.calibrated(scores.p))
    return Tested(scores, permuted, q, _each(ratio, values.shape[1], bar))


def _by_arm(arms: Arms, values: FloatArray, cause: int, bar: Bar) -> ByArm:
    found = _each(lambda j: within_arms(values[:, j], arms, cause), values.shape[1], bar)
    return ByArm(found, benjamini_hochberg(np.array([one.interaction.p for one in found])))


def _each(of: Callable[[int], Found], n: int, bar: Bar) -> tuple[Found, ...]:
    """What is found of each of n markers, told to a bar."""
    found = []
    for j in range(n):
        found.append(of(j))
        bar(j + 1, n)
    return tuple(found)
