"""`FeatureConfig`: which features a model sees, part of every run's configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from features.cells.processing import CellProcessing
from features.cells.samples import SampleFeature
from features.landmark import STATISTICS, Statistic, Thresholds
from features.schema import Frozen

Grade = Literal["icaht", "t_icaht"]


class FeatureConfig(Frozen):
    """Which features a model sees. Names of variables are patterns: ``*`` is all, ``cd4_*`` those that begin so."""

    baseline: tuple[str, ...] = ("*",)
    """Baseline variables."""
    measurements: tuple[str, ...] = ("*",)
    """Repeatedly measured variables."""
    statistics: tuple[Statistic, ...] = STATISTICS
    """What is computed from each measured variable up to the landmark."""
    thresholds: dict[str, Thresholds] = Field(default_factory=dict)
    """Limits of measured variables; time under or over each becomes a feature: ``{anc: {below: [0.5]}}``."""
    events: tuple[str, ...] = ("*",)
    """Events whose number up to the landmark becomes a feature."""
    recent_days: Annotated[float, Field(gt=0)] = 30.0
    """Length of the window before the landmark in which events are counted a second time."""
    scores: tuple[str, ...] = ()
    """Published scores (docs/reference/scores.md) from the cohort's variables: ``[car_hematotox, easix:log2]``."""
    grades: tuple[Grade, ...] = ()
    """Grades of haematotoxicity from daily counts up to the landmark."""
    inflamix: bool = False
    """Whether the probability of an inflammatory cluster (InflaMix, refitted in each fold) is a feature."""
    cells: tuple[SampleFeature, ...] = ("composition", "pseudobulk", "programs")
    """What is computed from each material's latest sample."""
    processing: CellProcessing = CellProcessing()
    """How cells become samples: quality control, cell types, CAR-positive cells."""
    variable_genes: Annotated[int, Field(ge=1)] = 2000
    """Highly variable genes whose pseudobulks and dispersions enter the components, chosen in each fold."""
    pseudobulk_components: Annotated[int, Field(ge=1)] = 8
    """Principal components kept of the cell-type pseudobulks, and of the dispersions, at most a tenth of the training
    patients each."""
    minimum_observed: Annotated[float, Field(ge=0, le=1)] = 0.1
    """A column observed in a smaller share of the training rows is left out."""
