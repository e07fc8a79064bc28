"""The numbers of the simulator, as pydantic models of ``configs/cohort/simulated.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from features.documents import read_document
from features.schema import Frozen, Variable

DEFAULT_CONFIG = Path(__file__).resolve().parents[2] / "configs" / "cohort" / "simulated.yaml"
"""The configuration that `simulate` uses unless told otherwise."""

Latent = Literal["frailty", "fitness", "activation"]
"""Independent standard normal traits that nobody measures: haematotoxic frailty with inflammation, fitness of the T
cells, and how strongly the immune system is activated by the infusion."""
Trait = Literal["frailty", "fitness", "activation", "dysfunction"]
"""The latent traits, and the standardised log ratio of exhausted to memory CD8 cells in the infusion product."""
Effect = Literal[
    "frailty",
    "activation",
    "dysfunction",
    "regulatory",
    "age_per_decade",
    "heavily_pretreated",
    "ecog_2_or_worse",
    "ldh_per_sd",
    "igg_per_sd",
]
"""What hazards depend on; all but the three yes/no and age terms are per standard deviation."""
Material = Literal["infusion_product", "blood"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Loadings = dict[Latent, float]


class Disease(Frozen):
    """Who has the disease, and what they were given."""

    share: Share
    age_mean_years: Positive
    age_sd_years: Positive
    female: Share
    prior_lines_least: int
    prior_lines_mean_above_least: Positive
    products: dict[str, Share]


class Lab(Frozen):
    """A laboratory value: a normal deviate on the linear or the log scale, correlated with latent traits."""

    log: bool
    centre: float
    """Mean, or median where `log`."""
    sd: Positive
    """On the natural-log scale where `log`."""
    loadings: Loadings = Field(default_factory=dict)
    """Correlations with independent latent traits; their squares sum to at most 1."""
    baseline: bool = True
    """Whether the value before lymphodepletion is a baseline variable."""
    missing: Share = 0.0
    decimals: int

    @model_validator(mode="after")
    def _correlations(self) -> Lab:
        if sum(loading**2 for loading in self.loadings.values()) > 1.0:
            msg = "the squared loadings must sum to at most 1: they are correlations"
            raise ValueError(msg)
        return self


class Wave(Frozen):
    """A passing deviation, bell-shaped in log time since lymphodepletion."""

    peak_day: Positive
    width: Positive
    amplitude: float
    sd: float = 0.0
    loadings: Loadings = Field(default_factory=dict)
    """Change of the amplitude per standard deviation of a latent trait."""


class Trajectory(Frozen):
    """How a laboratory value moves from its baseline, on the scale of its `Lab`."""

    days: tuple[int, ...]
    """Planned days of measurement."""
    waves: tuple[Wave, ...] = ()
    shift: float = 0.0
    """Lasting change, reached as 1 − exp(−day / `shift_days`)."""
    shift_days: Positive = 30.0
    shift_loadings: Loadings = Field(default_factory=dict)
    noise_sd: float
    missing: Share


class Hazard(Frozen):
    """A cause-specific hazard: baseline by disease × shape by period × hazard ratios."""

    per_day: dict[str, Positive]
    """Baseline by disease, events a day where the shape is 1 and every effect is 0."""
    shape: tuple[Positive, ...]
    """Relative height in each period."""
    hazard_ratios: dict[Effect, Positive]
    frailty_exponent: tuple[float, ...] | None = None
    """Power to which the hazard ratio of frailty is raised in each period; 1 when absent."""


class Hazards(Frozen):
    """All hazards; while a patient is alive and without relapse, except where said otherwise."""

    period_starts_days: tuple[float, ...]
    severe_infection: Hazard
    relapse: Hazard
    death: Hazard
    """Death without relapse and not by infection."""
    mild_infection: Hazard
    second_malignancy: Hazard
    """While alive, before and after relapse."""
    death_after_relapse_per_day: dict[str, Positive]
    fatal_share: Share
    """Share of severe infections that are fatal."""
    fatal_lag_days: int
    """A fatal infection is followed by death after 1, 2, … or this many days, each equally likely."""

    @model_validator(mode="after")
    def _periods(self) -> Hazards:
        n = len(self.period_starts_days)
        if (
            n == 0
            or self.period_starts_days[0] != 0
            or list(self.period_starts_days) != sorted(self.period_starts_days)
        ):
            msg = "period_starts_days ascends from 0"
            raise ValueError(msg)
        for name in ("severe_infection", "relapse", "death", "mild_infection", "second_malignancy"):
            hazard: Hazard = getattr(self, name)
            if len(hazard.shape) != n or len(hazard.frailty_exponent or hazard.shape) != n:
                msg = f"{name}: shape and frailty_exponent name one number for each of the {n} periods"
                raise ValueError(msg)
        return self


class SideEffect(Frozen):
    """CRS or ICANS: an ordinal grade driven by activation."""

    shares: tuple[Share, Share, Share, Share]
    """P(grade ≥ 1), …, P(grade ≥ 4) with the reference product."""
    activation_loading: Share
    product_shift: dict[str, float]
    """Shift of the normal propensity by product; 0 when absent."""
    onset_days: tuple[int, int]


class CellType(Frozen):
    """A cell type: how common, how it varies, and what it expresses."""

    log_share: dict[Material, float]
    """Log of the typical share, up to a constant of the material."""
    loadings: Loadings = Field(default_factory=dict)
    sd: float
    """Own variation of the log share between patients."""
    expression: dict[str, float]
    """Log expression above background, by program."""


class Cells(Frozen):
    """The panel and how counts arise."""

    panel: str
    programs: dict[str, tuple[str, ...]]
    """Genes by program; a gene stands in one program."""
    types: dict[str, CellType]
    program_loadings: dict[str, dict[Trait, float]]
    """Change of a program's log expression in all cells of a patient, per standard deviation of a trait."""
    background_log_expression: float
    gene_sd: float
    """Spread of log expression between the genes of a program; drawn from `panel_seed`, the same in every cohort."""
    panel_seed: int
    sample_gene_sd: float
    """Batch effect: spread of log expression between samples, each gene by itself."""
    median_counts_per_cell: Positive
    counts_sd: float
    dispersion: Positive
    """Inverse of the negative-binomial overdispersion of counts."""
    blood_retains: Share
    """Correlation of a cell type's log share between blood on day 28 and the infusion product."""

    @property
    def genes(self) -> tuple[str, ...]:
        """The genes of the panel, in order."""
        return tuple(gene for genes in self.programs.values() for gene in genes)

    @model_validator(mode="after")
    def _names(self) -> Cells:
        if len(set(self.genes)) != len(self.genes):
            msg = "a gene stands in one program only"
            raise ValueError(msg)
        asked = {name for cell_type in self.types.values() for name in cell_type.expression} | set(
            self.program_loadings
        )
        if not asked <= set(self.programs):
            msg = f"unknown programs: {', '.join(sorted(asked - set(self.programs)))}"
            raise ValueError(msg)
        if not {"CD8 memory", "CD8 exhausted", "Treg"} <= set(self.types):
            msg = "cell types CD8 memory, CD8 exhausted and Treg are needed: hazards depend on them"
            raise ValueError(msg)
        return self


class FollowUp(Frozen):
    """Independent censoring."""

    least_days: int
    most_days: int
    drop_out_per_year: float


class Sampling(Frozen):
    """Which samples exist."""

    product_present: Share
    blood_present: Share
    blood_day: int


class SimulatorConfig(Frozen):
    """Everything the simulator knows."""

    title: str
    citation: str
    licence: str
    notes: str
    variables: dict[str, Variable]
    sites: dict[str, Share]
    site_depth: dict[str, Positive]
    """Relative counts per cell by site: a technical batch effect."""
    diseases: dict[str, Disease]
    ecog_shares: tuple[Share, ...]
    ecog_frailty_loading: Share
    bridging: dict[str, Share]
    """Shares of the kinds of bridging therapy among those who are bridged."""
    bridged: Share
    bridging_ldh_loading: Share
    labs: dict[str, Lab]
    trajectories: dict[str, Trajectory]
    hazards: Hazards
    crs: SideEffect
    icans: SideEffect
    severe_grade_4: Share
    """Share of grade 4 among severe infections that are not fatal."""
    mild_grade_2: Share
    infection_kinds: dict[str, Share]
    malignancy_kinds: dict[str, Share]
    cells: Cells
    sampling: Sampling
    follow_up: FollowUp

    @model_validator(mode="after")
    def _consistent(self) -> SimulatorConfig:
        per_disease = [self.hazards.death_after_relapse_per_day]
        causes = ("severe_infection", "relapse", "death", "mild_infection", "second_malignancy")
        per_disease += [getattr(self.hazards, name).per_day for name in causes]
        if any(set(rates) != set(self.diseases) for rates in per_disease):
            msg = f"hazards name a rate for each disease: {', '.join(self.diseases)}"
            raise ValueError(msg)
        unknown = (set(self.trajectories) - set(self.labs)) | (set(self.labs) - set(self.variables))
        if unknown:
            msg = f"trajectories need labs, and labs need variables, of the same name: {', '.join(sorted(unknown))}"
            raise ValueError(msg)
        if set(self.sites) != set(self.site_depth):
            msg = "sites and site_depth name the same sites"
            raise ValueError(msg)
        groups = [self.sites, self.infection_kinds, self.malignancy_kinds, self.bridging]
        groups += [disease.products for disease in self.diseases.values()]
        groups.append({name: disease.share for name, disease in self.diseases.items()})
        if any(abs(sum(shares.values()) - 1.0) > 1e-6 for shares in groups) or abs(sum(self.ecog_shares) - 1.0) > 1e-6:
            msg = "shares of one kind sum to 1"
            raise ValueError(msg)
        return self


def load_simulator_config(path: Path = DEFAULT_CONFIG) -> SimulatorConfig:
    """Read the configuration of a simulator.

    Raises:
        SequelaError: The file is absent, is not YAML, or says something that does not hold.
    """
    return read_document(path, SimulatorConfig)
