"""The one table: a row for each marker and cause."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.biomarkers.analysis import ByArm, CauseScreen, Screen, Tested
from training.effects.estimates import Estimate


def table_of(screen: Screen) -> pd.DataFrame:
    """Every number, the event of interest first and in it the smallest p; what is not known is NaN."""
    card = screen.question.cohort.card
    found = pd.concat([_of_cause(screen, one) for one in screen.causes], ignore_index=True)
    found.insert(0, "data", card.provenance)
    return found


def _of_cause(screen: Screen, of: CauseScreen) -> pd.DataFrame:
    markers = [screen.matrix.markers[j] for j in of.tested]
    columns = {
        "cause": [of.name] * len(markers),
        "marker": [one.name for one in markers],
        "kind": [one.kind for one in markers],
        "unit": [one.unit for one in markers],
        "n": of.n,
        "n_events": of.n_events,
    }
    columns |= _tested("", of.cause_specific)
    if of.subdistribution is not None:
        columns |= _tested("subdistribution_", of.subdistribution)
    columns["selection_frequency"] = of.stability.frequency
    for prefix, beyond in (("beyond_", of.beyond), ("beyond_subdistribution_", of.beyond_subdistribution)):
        if beyond is not None:
            columns |= _tested(prefix, beyond)
    if of.by_arm is not None and screen.question.arms is not None:
        columns |= _by_arm(of.by_arm, screen.question.arms.names)
    return pd.DataFrame(columns).iloc[of.order]


def _ratios(prefix: str, estimates: Sequence[Estimate]) -> dict[str, object]:
    parts = (("hazard_ratio", "point"), ("low", "low"), ("high", "high"))
    return {f"{prefix}{name}": [getattr(one, part) for one in estimates] for name, part in parts}


def _tested(prefix: str, of: Tested) -> dict[str, object]:
    return _ratios(prefix, of.ratios) | {
        f"{prefix}z": of.scores.z,
        f"{prefix}p": of.scores.p,
        f"{prefix}p_permutation": of.permuted.p,
        f"{prefix}q": of.q,
        f"{prefix}p_of_largest": of.permuted.p_of_largest,
    }


def _by_arm(of: ByArm, names: Sequence[str]) -> dict[str, object]:
    columns: dict[str, object] = {"interaction_p": np.asarray(of.p), "interaction_q": of.q}
    for k, name in enumerate(names):
        columns |= _ratios(f"{name}: ", [one.ratios[k] for one in of.within])
    return columns
