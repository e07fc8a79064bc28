"""What a run knows of itself, in sentences that the page, the checklist and the card share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import numpy as np

from experiments.advice import sample_size_advice
from experiments.page.drawing import listed
from experiments.page.privacy import SMALLEST
from experiments.page.tables import number
from experiments.run_page.analysis import Analysis
from experiments.run_page.record import AtLandmark
from experiments.temporal import follow_up_sentence
from features.schema import Variable
from serving.decision import came_of, worth_of
from training.config import custom_requirements, most_rows_held
from training.evaluation.intervals import Interval

METRICS = {
    "ibs": "integrated Brier score",
    "ipa": "index of prediction accuracy",
    "c": "concordance",
    "aj_calibration": "squared distance from Aalen–Johansen",
    "brier": "Brier score",
    "auc": "AUC",
    "o_e": "observed over expected",
    "ici": "ICI",
    "e50": "E50",
    "e90": "E90",
    "emax": "Emax",
    "calibration_intercept": "calibration intercept",
    "calibration_slope": "calibration slope",
    "n_events": "events",
}
"""Names of the metrics in scores.csv, for people."""
CENTRAL = (0.1, 0.9)
"""Quantiles between which the trained range is told: further out, single patients would be."""


def estimate(interval: Interval, digits: int = 3, *, percent: bool = False) -> str:
    """E.g. ``0.712 (0.650 to 0.771)``; a dash where undefined."""
    if not np.isfinite(interval.point):
        return "–"
    scale, digits, unit = (100, 1, " %") if percent else (1, digits, "")
    point, low, high = (f"{scale * value:.{digits}f}".replace("-", "−") for value in _values(interval))
    return f"{point}{unit} ({low} to {high})" if np.isfinite(interval.low) else f"{point}{unit}"


def _values(interval: Interval) -> tuple[float, float, float]:
    return interval.point, interval.low, interval.high


def date(a: Analysis) -> str:
    """Of the run."""
    return datetime.fromtimestamp(a.record.facts.started, tz=UTC).date().isoformat()


def days(values: Sequence[float]) -> str:
    """E.g. ``0, 30 and 90``."""
    *most, last = [f"{day:g}" for day in values]
    return f"{', '.join(most)} and {last}" if most else last


def question(a: Analysis) -> str:
    """What is predicted."""
    endpoint = a.record.rows.endpoint
    competing = ", ".join(rule.name for rule in endpoint.competing) or "nothing"
    grade = f" of grade {endpoint.event.min_grade} or worse" if endpoint.event.min_grade else ""
    return (
        f"The risk of {endpoint.event.name}{grade} within {days(endpoint.horizons_days)} days of day "
        f"{days(endpoint.landmark_days)} after infusion, with {competing} competing."
    )


def warning(a: Analysis) -> str:
    """What to know before anything else."""
    if a.simulated:
        return "Simulated patients. Nothing here is about anyone, or shows anything about CAR-T cells."
    return "Scores are of cross-validation in one cohort. No other patients have confirmed them."


def population(a: Analysis) -> str:
    """Whom the model was trained on."""
    rows, card = a.record.rows, a.record.rows.cohort.card
    kind = "simulated patients" if a.simulated else "patients"
    n_trained = len(set(rows.patients.patient_id))
    return f"{n_trained:,} of {len(rows.cohort.patients):,} {kind} of the cohort “{card.title}” ({card.citation})."


def outcome_counts(a: Analysis, at: AtLandmark) -> dict[str, str]:
    """Scored patients by what happened, ``censored`` first, in words; the event of interest is the last withheld."""
    counts = at.outcomes.counts()
    return dict(zip(counts, a.shown.parts(list(counts.values()), kept=1), strict=True))


def events(a: Analysis) -> str:
    """How many had which event, by landmark; small counts of real patients are withheld."""
    found = []
    for of in a.landmarks:
        named = ", ".join(f"{name} {text}" for name, text in outcome_counts(a, of.at).items())
        found.append(f"from day {of.at.day:g} {len(of.at.outcomes):,} patients: {named}")
    return f"Scored {'; '.join(found)}."


def follow_up(a: Analysis) -> str:
    """How long patients are followed."""
    median = a.follow_up
    if not np.isfinite(median.point):
        return "Median follow-up is not reached: the reverse Kaplan–Meier curve stays above one half."
    interval = f" (95 % interval {number(median.low)} to {number(median.high)})" if np.isfinite(median.low) else ""
    first = a.landmarks[0].at.day
    return (
        f"Median follow-up is {number(median.point)} days{interval} from day {first:g} by the reverse Kaplan–Meier "
        "method, in which the events of the endpoint end observation."
    )


def inputs(a: Analysis) -> str:
    """What the model is given."""
    features, cohort = a.record.config.features, a.record.rows.cohort
    baseline = _matching(features.baseline, cohort.baseline_variables)
    measured = _matching(features.measurements, sorted(set(cohort.measurements["variable"])))
    parts = [
        f"{len(baseline)} baseline variables ({listed(baseline)})" if baseline else "",
        f"{len(measured)} measured variables up to the landmark ({listed(measured)})" if measured else "",
        f"published scores ({listed(features.scores)})" if features.scores else "",
        f"single cells as {listed(features.cells)}" if features.cells and cohort.cells is not None else "",
    ]
    return "; ".join(part for part in parts if part) + "." if any(parts) else "Nothing: everyone gets the same risk."


def _matching(patterns: Sequence[str], names: Sequence[str] | dict[str, Variable]) -> list[str]:
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def model(a: Analysis) -> str:
    """What kind of model, and how its settings were chosen."""
    config = a.record.config
    settings = {k: v for k, v in config.model.model_dump(mode="json", exclude_defaults=True).items() if k != "kind"}
    said = f" with {', '.join(f'{key} {value}' for key, value in settings.items())}" if settings else ""
    tuned = (
        f" Settings were chosen in each training fold by {config.tuning.folds}-fold cross-validation, "
        f"{config.tuning.trials} trials."
        if config.tuning
        else ""
    )
    return f"Model of kind {config.model.kind}{said}.{tuned}"


def rows_held(a: Analysis) -> str:
    """Whether who has the model's files has patients of the cohort."""
    config = a.record.config.model
    if most := most_rows_held(config):
        return (
            f"Up to {most:,}, in the model's files, encoded, with outcomes and without identifiers: who has the files, "
            "has the rows. Access and sharing are the owner's decision; kind: distilled makes a model without rows."
        )
    others = ", ".join(custom_requirements(config))
    return f"None. What {others} keeps is not known." if others else "None."


def validation(a: Analysis) -> str:
    """How predictions were made for patients not trained on."""
    of = a.record.config.validation
    schemes = {
        "cross_validation": f"{of.folds}-fold cross-validation, {of.repeats} times" if of.repeats > 1 else
        f"{of.folds}-fold cross-validation",
        "site": "cross-validation in which each centre is held out once",
        "temporal": f"later patients predicted from earlier ones, in {of.folds} parts",
    }  # fmt: skip
    said = follow_up_sentence(a.record.rows, a.record.config)
    split = "; ".join([schemes[of.scheme].capitalize(), *([said] if said else [])])
    return (
        f"{split}; patients are kept whole, and selection, imputation and scaling are fitted within each training "
        f"fold. C and AUC set patients of one fold against each other. Intervals are percentiles over {of.bootstrap} "
        "resamples of patients."
    )


MISSING = (
    "Missing values are replaced by the training fold's median, with an indicator where enough are missing; patients "
    "censored early count by inverse-probability weights."
)


def performance(a: Analysis) -> str:
    """The three headline scores of the event of interest."""
    return (
        f"From day {a.record.rows.endpoint.landmark_days[0]:g}, for {a.cause}: integrated Brier score "
        f"{estimate(a.overall('ibs'), 4)}, index of prediction accuracy {estimate(a.overall('ipa'), percent=True)}, "
        f"concordance {estimate(a.overall('c'))}."
    )


def beats_null(a: Analysis) -> str:
    """The headline score against the null model, in words."""
    ipa = a.overall("ipa")
    if not np.isfinite(ipa.low):
        return "How the model compares with predicting the same for everyone is not known."
    if ipa.low > 0:
        return "It is better than predicting the same for everyone: the interval of its accuracy lies above 0."
    if ipa.high < 0:
        return "It is worse than predicting the same for everyone: the interval of its accuracy lies below 0."
    return "Whether it is better than predicting the same for everyone is open: the interval of its accuracy holds 0."


def calibration(a: Analysis) -> str:
    """Calibration of the event of interest at the middle horizon."""
    at = a.record.horizon_days
    return (
        f"By {at:g} days: observed over expected {estimate(a.at_horizon('o_e'), 2)}, mean distance of the calibration "
        f"curve from the diagonal (ICI) {estimate(a.at_horizon('ici'))}, its median (E50) "
        f"{estimate(a.at_horizon('e50'))} and 90th percentile (E90) {estimate(a.at_horizon('e90'))}, slope "
        f"{estimate(a.at_horizon('calibration_slope'), 2)}."
    )


def fairness(a: Analysis) -> str:
    """How many subgroups could be looked at."""
    if not a.subgroups:
        return "The cohort has none of age, sex, race, product, disease and centre, so that no subgroup was looked at."
    scored = [one for one in a.subgroups if one.scores is not None]
    variables = listed(list(dict.fromkeys(one.variable for one in a.subgroups)))
    text = f"Looked at by {variables}: {len(scored)} of {len(a.subgroups)} groups are large enough to be scored."
    off = [f"{one.variable} {one.level}" for one in scored if one.scores and _off(one.scores["o_e"])]
    if off:
        text += f" The interval of observed over expected leaves out 1 in {listed(off)}."
    return text


def _off(interval: Interval) -> bool:
    return bool(interval.low > 1 or interval.high < 1)


def usefulness(a: Analysis) -> str:
    """Where treating by the model beats treating everyone and nobody."""
    table, at = a.record.net_benefit, a.record.horizon_days
    first = a.record.rows.endpoint.landmark_days[0]
    rows = table[(table["landmark_day"] == first) & (table["horizon_days"] == at)]
    better = [f"{threshold:.0%}" for threshold in rows.loc[rows["gain_low"] > 0, "threshold"]]
    where = (
        f"is above the better of treating everyone and nobody at thresholds of {listed(better)}"
        if better
        else "is at no threshold surely above the better of treating everyone and nobody"
    )
    return f"By {at:g} days, the net benefit of treating by predicted risk {where} (95 % intervals)."


def thresholds(a: Analysis) -> str:
    """Where the endpoint's tiers begin, how that came, and what acting by them was worth."""
    decision, settled = a.record.rows.endpoint.decision, a.record.settled
    if decision is None:
        return "There is no threshold."
    tiers = listed(
        [
            f"{tier.name} from {100 * begins:g} %"
            for tier, begins in zip(decision.tiers[1:], decision.thresholds, strict=True)
        ]
    )
    text = f"Tiers of the risk within {decision.horizon_days:g} days: {tiers}."
    if settled is None:
        return text
    came = [came_of(one) for one in settled.thresholds]
    worth = [f"From day {one.landmark_day:g}: {worth_of(one.threshold, one)}" for one in settled.benefits]
    return " ".join((text, *came, *worth))


def sample_size(a: Analysis) -> str:
    """What the events carry, by the criteria of Riley et al.; not told where it would tell small counts."""
    rows = a.record.rows
    if any(map(a.shown.small, a.landmarks[0].at.outcomes.counts().values())):
        return f"A cause has fewer than {SMALLEST} events: too few for any parameter of its own."
    lines = [line.removeprefix("sample size, ") for line in sample_size_advice(rows.cohort, rows.endpoint)]
    return f"By the criteria of Riley et al. (BMJ 2020;368:m441): {'; '.join(lines)}."


def trained_range(a: Analysis) -> str:
    """Of which patients there were many enough to learn from: central values and frequent levels."""
    found = []
    table = a.record.rows.cohort.patients
    wanted = _matching(a.record.config.features.baseline, a.record.rows.cohort.baseline_variables)
    for name, variable in a.record.rows.cohort.baseline_variables.items():
        if name not in wanted:
            continue
        if variable.kind == "numeric":
            values = table[name].to_numpy(dtype=float)
            known = values[np.isfinite(values)]
            if len(known) >= 10 * SMALLEST:
                low, high = (_rounded(float(value)) for value in np.quantile(known, CENTRAL))
                found.append(f"{name} {low} to {high}" + (f" {variable.unit}" if variable.unit != "1" else ""))
        else:
            counts = table[name].value_counts()
            frequent = sorted(str(level) for level, n in counts.items() if not a.shown.small(int(n)))
            found.append(f"{name}: {listed(frequent)}") if frequent else None
    return "; ".join(found) + "." if found else "Nothing can be told without telling of single patients."


def _rounded(value: float) -> str:
    """Two significant digits."""
    return number(float(f"{value:.2g}"))


def software(a: Analysis) -> str:
    """Versions."""
    of = a.record.facts.environment
    names = {"sequela.version": "sequela", "sequela.python": "Python", "sequela.packages": "", "sequela.machine": "on"}
    return ", ".join(f"{label} {of[key]}".strip() for key, label in names.items() if key in of)


def commit(a: Analysis) -> str:
    """The commit of the code, and whether files differed from it."""
    of = a.record.facts.environment
    dirty = " with uncommitted changes" if of.get("sequela.git_dirty") == "true" else ""
    return of.get("mlflow.source.git.commit", "unknown") + dirty
