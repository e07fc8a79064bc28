"""Who the patients are: latent traits, covariates, baseline laboratory values, composition of the infusion product."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from features.patients import FloatArray, IntArray
from features.simulator.config import CellType, Effect, Lab, Latent, SimulatorConfig, Trait

LATENTS: tuple[Latent, ...] = ("frailty", "fitness", "activation")


@dataclass(frozen=True, slots=True)
class Population:
    """Patients before infusion; every array has one value, or one row, a patient."""

    site: IntArray
    """Index into the configured sites; likewise `disease`, `product`, `bridging`."""
    disease: IntArray
    product: IntArray
    product_names: tuple[str, ...]
    age_years: FloatArray
    female: FloatArray
    prior_lines: IntArray
    ecog: IntArray
    bridging: IntArray
    """0 = none, 1, … = the configured kinds."""
    traits: Mapping[Trait, FloatArray]
    lab_deviates: Mapping[str, FloatArray]
    """Standard normal deviates of the laboratory values."""
    labs: Mapping[str, FloatArray]
    """Values in the unit of the variable, before rounding."""
    product_log_shares: FloatArray
    """(patients, cell types): log shares of cell types in the infusion product, up to a constant."""

    def __len__(self) -> int:
        return len(self.site)

    def effects(self, config: SimulatorConfig) -> dict[Effect, FloatArray]:
        """The terms that hazards depend on, each (patients,)."""
        treg = config.cells.types["Treg"]
        own = self.product_log_shares[:, list(config.cells.types).index("Treg")] - treg.log_share["infusion_product"]
        return {
            "frailty": self.traits["frailty"],
            "activation": self.traits["activation"],
            "dysfunction": self.traits["dysfunction"],
            "regulatory": own / np.hypot(treg.sd, np.linalg.norm(list(treg.loadings.values()))),
            "age_per_decade": (self.age_years - 60.0) / 10.0,
            "heavily_pretreated": (self.prior_lines >= 3).astype(float),
            "ecog_2_or_worse": (self.ecog >= 2).astype(float),
            "ldh_per_sd": self.lab_deviates["ldh"],
            "igg_per_sd": self.lab_deviates["igg"],
        }


def draw_population(config: SimulatorConfig, n_patients: int, rng: np.random.Generator) -> Population:
    """Draw patients from the configuration."""
    latent: dict[Trait, FloatArray] = {name: rng.standard_normal(n_patients) for name in LATENTS}
    site = choose(config.sites.values(), n_patients, rng)
    disease = choose((entry.share for entry in config.diseases.values()), n_patients, rng)
    deviates = {name: _correlated(lab.loadings, latent, rng) for name, lab in config.labs.items()}
    product, product_names = _products(config, disease, rng)
    age, female, lines = _demography(config, disease, rng)
    shares = _product_log_shares(config, latent, rng)
    return Population(
        site=site,
        disease=disease,
        product=product,
        product_names=product_names,
        age_years=age,
        female=female,
        prior_lines=lines,
        ecog=_ecog(config, latent["frailty"], rng),
        bridging=_bridging(config, deviates["ldh"], rng),
        traits={**latent, "dysfunction": _dysfunction(config, shares)},
        lab_deviates=deviates,
        labs={name: _value(lab, deviates[name]) for name, lab in config.labs.items()},
        product_log_shares=shares,
    )


def choose(shares: Iterable[float], n: int, rng: np.random.Generator) -> IntArray:
    """(n,): indices drawn with the given probabilities."""
    upper = np.cumsum(list(shares))
    return np.minimum(np.searchsorted(upper, rng.random(n), side="right"), len(upper) - 1).astype(np.int64)


def loaded(loadings: Mapping[Latent, float] | Mapping[Trait, float], traits: Mapping[Trait, FloatArray]) -> FloatArray:
    """(patients,): sum of traits times loadings; zero without any."""
    zero = np.zeros_like(traits["frailty"])
    return sum((loading * traits[name] for name, loading in loadings.items()), start=zero)


def _correlated(
    loadings: Mapping[Latent, float], latent: Mapping[Trait, FloatArray], rng: np.random.Generator
) -> FloatArray:
    """A standard normal deviate with the given correlations to the latent traits."""
    rest = float(np.sqrt(1.0 - sum(loading**2 for loading in loadings.values())))
    return loaded(loadings, latent) + rest * rng.standard_normal(len(latent["frailty"]))


def _value(lab: Lab, deviate: FloatArray) -> FloatArray:
    return np.asarray(lab.centre * np.exp(lab.sd * deviate) if lab.log else lab.centre + lab.sd * deviate)


def _products(config: SimulatorConfig, disease: IntArray, rng: np.random.Generator) -> tuple[IntArray, tuple[str, ...]]:
    names = tuple(dict.fromkeys(name for entry in config.diseases.values() for name in entry.products))
    product = np.zeros(len(disease), dtype=np.int64)
    for d, entry in enumerate(config.diseases.values()):
        rows = np.flatnonzero(disease == d)
        picked = choose(entry.products.values(), len(rows), rng)
        product[rows] = np.array([names.index(name) for name in entry.products])[picked]
    return product, names


def _demography(
    config: SimulatorConfig, disease: IntArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Age in years (18 to 90), whether female, and number of prior lines."""
    entries = list(config.diseases.values())
    mean, sd, female, least, above = (
        np.array([getattr(entry, field) for entry in entries])[disease]
        for field in ("age_mean_years", "age_sd_years", "female", "prior_lines_least", "prior_lines_mean_above_least")
    )
    n = len(disease)
    age = np.clip(mean + sd * rng.standard_normal(n), 18.0, 90.0)
    return age, (rng.random(n) < female).astype(float), (least + rng.poisson(above, n)).astype(np.int64)


def _ecog(config: SimulatorConfig, frailty: FloatArray, rng: np.random.Generator) -> IntArray:
    loading = config.ecog_frailty_loading
    propensity = loading * frailty + np.sqrt(1.0 - loading**2) * rng.standard_normal(len(frailty))
    cuts = norm.ppf(np.cumsum(config.ecog_shares)[:-1])
    return np.asarray(np.searchsorted(cuts, propensity), dtype=np.int64)


def _bridging(config: SimulatorConfig, ldh: FloatArray, rng: np.random.Generator) -> IntArray:
    loading = config.bridging_ldh_loading
    propensity = loading * ldh + np.sqrt(1.0 - loading**2) * rng.standard_normal(len(ldh))
    kind = 1 + choose(config.bridging.values(), len(ldh), rng)
    return np.asarray(np.where(propensity > norm.isf(config.bridged), kind, 0))


def _product_log_shares(
    config: SimulatorConfig, latent: Mapping[Trait, FloatArray], rng: np.random.Generator
) -> FloatArray:
    """(patients, cell types): typical log share, loadings on latent traits, and variation of its own."""
    columns = [
        entry.log_share["infusion_product"] + own_deviation(entry, latent, rng) for entry in config.cells.types.values()
    ]
    return np.stack(columns, axis=1)


def own_deviation(entry: CellType, latent: Mapping[Trait, FloatArray], rng: np.random.Generator) -> FloatArray:
    """(patients,): deviation of a cell type's log share from the typical one."""
    return loaded(entry.loadings, latent) + entry.sd * rng.standard_normal(len(latent["frailty"]))


def _dysfunction(config: SimulatorConfig, log_shares: FloatArray) -> FloatArray:
    """Standardised log ratio of exhausted to memory CD8 cells: mean 0, variance 1 by the configured moments."""
    types = config.cells.types
    exhausted, memory = types["CD8 exhausted"], types["CD8 memory"]
    names = list(types)
    ratio = log_shares[:, names.index("CD8 exhausted")] - log_shares[:, names.index("CD8 memory")]
    mean = exhausted.log_share["infusion_product"] - memory.log_share["infusion_product"]
    slopes = [exhausted.loadings.get(name, 0.0) - memory.loadings.get(name, 0.0) for name in LATENTS]
    return (ratio - mean) / np.linalg.norm([*slopes, exhausted.sd, memory.sd])
