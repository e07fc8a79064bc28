"""Permutation importance: how much worse out-of-fold predictions become when one source is taken from other patients.

Fisher, Rudin & Dominici, J Mach Learn Res 2019;20(177):1–81 (the switched loss): no patient keeps its own
values. The models are those of the cross-validation, and each predicts patients it has never seen.

What it says, and what it does not. It measures what the models use, given all else they have: of two sources that say
nearly the same, each may look unimportant, because the other remains. It is marginal, not conditional: a source is
broken from its correlates as well as from the outcome, so that models are also asked about combinations that no
patient has, and correlated sources can look more important than they are (Strobl et al., BMC Bioinformatics 2008;9:307;
Hooker, Mentch & Zhou, Stat Comput 2021;31:82). Give correlated sources one name in `groups` to permute them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.patients import FloatArray, IntArray, Patients
from training.evaluation.arrays import at_horizons
from training.evaluation.brier import brier_score, integrate
from training.evaluation.discrimination import concordance
from training.evaluation.intervals import Interval, percentile_interval, resample_patients
from training.evaluation.ipcw import scorable_times, scoring_weights
from training.models.explanation import CELLS
from training.models.risk_model import FittedRiskModel
from training.models.seeing import materials_of, seeing

LANDMARK_DAY = "landmark_day"


@dataclass(frozen=True, slots=True)
class HeldOutModel:
    """A model of a cross-validation with the rows it has not seen."""

    model: FittedRiskModel
    rows: IntArray
    """Row numbers of its test patients."""


@dataclass(frozen=True, slots=True)
class SourceImportance:
    """What one source is worth for one cause; above 0: predictions need it."""

    source: str
    """As in `PatientEncoder.column_sources`, or a name of `groups`; ``cells`` where models look at single cells."""
    cause: str
    ibs: Interval
    """Increase of the integrated Brier score when the source is permuted."""
    c: Interval
    """Decrease of concordance, at the last time about which anything is known."""


def permutation_importance(
    tested: Sequence[HeldOutModel],
    patients: Patients,
    outcomes: Outcomes,
    times_days: FloatArray,
    *,
    rng: np.random.Generator,
    repeats: int = 5,
    n_bootstrap: int = 200,
    groups: Mapping[str, str] | None = None,
) -> list[SourceImportance]:
    """Importance of every source for every cause, out of fold, with 95 % intervals.

    All columns of a source are taken together from another test patient of the same fold and landmark day, chosen by a
    random cycle through the patients. The intervals are percentiles over patients drawn with replacement, scored
    with and without permutation in the same resample, and over permutations drawn with replacement. Models
    are held fixed: an interval does not speak of fitting again. Scores are those of each landmark's rows, averaged with
    the numbers of rows; rows that came under observation after their landmark are not scored.

    Args:
        tested: The models and their test rows; a row may be in none, and in one of them at most.
        patients: All rows.
        outcomes: Their outcomes.
        times_days: (times,), ascending; the Brier score is integrated to the last one about which anything is known.
        rng: Draws permutations and resamples.
        repeats: Permutations of each source.
        n_bootstrap: Resamples of patients; 0: no intervals.
        groups: New names of sources; sources of one name are permuted together.

    Returns:
        By source in the order of the first model's columns, and by cause within. The landmark day itself, which is
        the same for all who are permuted, is left out.

    Raises:
        SequelaError: No time about which anything is known.
        ValueError: A row is tested twice, none is, or no permutation is asked for.
    """
    _check(tested, repeats)
    scored = _Scored.of(tested, patients, outcomes, times_days)
    resamples = np.concatenate(
        [np.ones((1, len(scored.rows))), *resample_patients(patients.patient_id[scored.rows], n_bootstrap, rng)]
    )
    parts = [_Part.of(one, patients, scored, groups or {}) for one in tested]
    before = scored.losses(_filled(scored, parts, [part.incidence(part.x) for part in parts]), resamples)
    found = []
    for source in dict.fromkeys(name for part in parts for name in part.sources if name != LANDMARK_DAY):
        increase = np.stack(
            [
                scored.losses(_filled(scored, parts, [part.permuted(source, rng) for part in parts]), resamples)
                - before
                for _ in range(repeats)
            ]
        )
        found += _intervals(source, outcomes.causes, increase, rng)
    return found


@dataclass(frozen=True, slots=True)
class _Scored:
    """The rows that are scored, and how."""

    rows: IntArray
    fold: IntArray
    """(rows,): which of the models has not seen the row."""
    outcomes: Outcomes
    times_days: FloatArray
    by_landmark: tuple[IntArray, ...]
    """Places among `rows`."""

    @classmethod
    def of(
        cls, tested: Sequence[HeldOutModel], patients: Patients, outcomes: Outcomes, times_days: FloatArray
    ) -> _Scored:
        rows = np.concatenate([one.rows for one in tested])
        fold = np.repeat(np.arange(len(tested)), [len(one.rows) for one in tested])
        order = np.argsort(rows)
        rows, fold = rows[order], fold[order]
        if outcomes.entry_days is not None:
            scored = outcomes.entry_days[rows] <= 0
            rows, fold = rows[scored], fold[scored]
        days = patients.landmark_day[rows]
        by_landmark = tuple(np.flatnonzero(days == day) for day in np.unique(days))
        return cls(rows, fold, outcomes.take(rows), times_days, by_landmark)

    def losses(self, incidence: FloatArray, resamples: FloatArray) -> FloatArray:
        """(resamples, causes, 2): integrated Brier score, and 1 − concordance."""
        total = np.zeros((len(resamples), len(self.outcomes.causes), 2))
        for places in self.by_landmark:
            outcomes = self.outcomes.take(places)
            grid = scorable_times(outcomes, self.times_days)
            weights = scoring_weights(outcomes, grid, resamples=resamples[:, places])
            ibs = integrate(brier_score(incidence[places][..., : len(grid)], grid, outcomes, weights), grid)
            risk = at_horizons(incidence[places], self.times_days, grid[-1:])[..., 0]
            c = concordance(risk, outcomes, float(grid[-1]), weights, self.fold[places])
            total += np.stack([ibs, 1 - c], axis=-1) * (len(places) / len(self.rows))
        return total


@dataclass(frozen=True, slots=True)
class _Part:
    """The scored test rows of one model."""

    model: FittedRiskModel
    places: IntArray
    """Among the scored rows."""
    x: FloatArray
    test: Patients
    patient: IntArray
    times_days: FloatArray
    column_sources: tuple[str, ...]

    @classmethod
    def of(cls, one: HeldOutModel, patients: Patients, scored: _Scored, groups: Mapping[str, str]) -> _Part:
        places = np.flatnonzero(np.isin(scored.rows, one.rows))
        test = patients.take(scored.rows[places])
        _, patient = np.unique(test.patient_id.astype(str), return_inverse=True)
        encoder = one.model.encoder
        sources = tuple(groups.get(name, name) for name in encoder.column_sources)
        return cls(one.model, places, encoder.transform(test), test, patient, scored.times_days, sources)

    @property
    def sources(self) -> tuple[str, ...]:
        cells = (CELLS,) if materials_of(self.model.predictor) else ()
        return tuple(dict.fromkeys((*self.column_sources, *cells)))

    def incidence(self, x: FloatArray, cells_of: Patients | None = None) -> FloatArray:
        predictor = seeing(self.model.predictor, cells_of or self.test)
        return predictor.incidence(x, self.test.landmark_day, self.times_days)

    def permuted(self, source: str, rng: np.random.Generator) -> FloatArray:
        """Incidences with the columns of a source from another patient; unchanged where the model has none of them."""
        donor = donors(self.patient, self.test.landmark_day, rng)
        if source == CELLS:
            return self.incidence(self.x, self.test.take(donor))
        x = self.x.copy()
        columns = np.array([name == source for name in self.column_sources], dtype=bool)
        x[:, columns] = self.x[donor][:, columns]
        return self.incidence(x)


def donors(patient: IntArray, landmark_day: FloatArray, rng: np.random.Generator) -> IntArray:
    """(rows,): for each row, a row of the next patient, in a random cycle, that has one of the same landmark day.

    Patients with the same landmark days have one donor for all their rows, so that what is stable in a patient stays
    so. A patient alone at its landmark keeps its own.
    """
    place = rng.permutation(int(patient.max(initial=-1)) + 1)[patient]
    donor = np.empty(len(patient), dtype=np.int64)
    for day in np.unique(landmark_day):
        rows = np.flatnonzero(landmark_day == day)
        cycle = rows[np.argsort(place[rows], kind="stable")]
        donor[cycle] = np.roll(cycle, -1)
    return donor


def _filled(scored: _Scored, parts: Sequence[_Part], incidences: Sequence[FloatArray]) -> FloatArray:
    """(scored rows, causes, times)."""
    filled = np.full((len(scored.rows), len(scored.outcomes.causes), len(scored.times_days)), np.nan)
    for part, incidence in zip(parts, incidences, strict=True):
        filled[part.places] = incidence
    return filled


def _intervals(
    source: str, causes: Sequence[str], increase: FloatArray, rng: np.random.Generator
) -> list[SourceImportance]:
    """From increases of losses (repeats, 1 + resamples, causes, 2), the first of them without resampling."""
    n_repeats, n_draws = len(increase), increase.shape[1] - 1
    point = increase[:, 0].mean(axis=0)
    drawn = rng.integers(n_repeats, size=(n_repeats, n_draws))
    draws = increase[drawn, np.arange(1, n_draws + 1)].mean(axis=0)

    def interval(cause: int, loss: int) -> Interval:
        return percentile_interval(float(point[cause, loss]), draws[:, cause, loss])

    return [SourceImportance(source, name, interval(k, 0), interval(k, 1)) for k, name in enumerate(causes)]


def _check(tested: Sequence[HeldOutModel], repeats: int) -> None:
    rows: NDArray[np.int64] = np.concatenate([one.rows for one in tested]) if tested else np.zeros(0, dtype=np.int64)
    if len(rows) == 0 or len(np.unique(rows)) < len(rows) or repeats < 1:
        msg = f"{len(rows)} tested rows, {len(np.unique(rows))} of them different, {repeats} permutations; at least one"
        raise ValueError(msg)
