"""The tables of a simulated cohort: patients, events, samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.patients import FloatArray, IntArray
from features.simulator.clinic import Clinic
from features.simulator.config import SimulatorConfig
from features.simulator.population import choose


def patients_table(config: SimulatorConfig, clinic: Clinic, rng: np.random.Generator) -> pd.DataFrame:
    """One row a patient; some laboratory values are missing, completely at random."""
    people = clinic.population
    columns: dict[str, object] = {
        "patient_id": clinic.patient_ids,
        "follow_up_days": clinic.course.follow_up_days,
        "site": _named(list(config.sites), people.site),
        "age": np.round(people.age_years, 1),
        "sex": _named(["male", "female"], people.female.astype(np.int64)),
        "disease": _named(list(config.diseases), people.disease),
        "product": _named(list(people.product_names), people.product),
        "prior_lines": people.prior_lines,
        "ecog": _named([str(level) for level in range(len(config.ecog_shares))], people.ecog),
        "bridging": _named(["no", *config.bridging], people.bridging),
    }
    for name, lab in config.labs.items():
        missing = rng.random(len(clinic)) < lab.missing
        if lab.baseline:
            low, high = config.variables[name].range or (-np.inf, np.inf)
            value = np.round(np.clip(people.labs[name], low, high), lab.decimals)
            columns[name] = np.where(missing, np.nan, value)
    return pd.DataFrame(columns)


def events_table(config: SimulatorConfig, clinic: Clinic, rng: np.random.Generator) -> pd.DataFrame:
    """Every event within follow-up: patient_id, day, event, grade, detail; ordered by patient and day.

    A fatal infection whose death lies beyond the end of follow-up is reported as grade 4.
    """
    course = clinic.course
    blocks = [
        _infection_events(config, clinic, rng),
        _events("relapse", course.relapse_day),
        _events("second_malignancy", course.second_malignancy_day, detail=_kinds(config.malignancy_kinds, clinic, rng)),
        _events("death", course.death_day, detail=_death_detail(clinic)),
        _events("crs", np.where(course.crs_grade > 0, course.crs_day, np.inf), grade=course.crs_grade),
        _events("icans", np.where(course.icans_grade > 0, course.icans_day, np.inf), grade=course.icans_grade),
    ]
    table = pd.concat(blocks, ignore_index=True)
    table = table[table["day"] <= course.follow_up_days[table["patient"]]]
    table = table.sort_values(["patient", "day", "event"], kind="stable", ignore_index=True)
    table.insert(0, "patient_id", np.array(clinic.patient_ids, dtype=object)[table["patient"]])
    return table.drop(columns="patient").astype({"day": np.int64})


def samples_table(config: SimulatorConfig, clinic: Clinic, rng: np.random.Generator) -> pd.DataFrame:
    """The infusion product of most patients, and blood of most of those still followed on its day."""
    sampling = config.sampling
    ids = np.array(clinic.patient_ids, dtype=object)
    product = rng.random(len(clinic)) < sampling.product_present
    blood = (rng.random(len(clinic)) < sampling.blood_present) & (clinic.course.follow_up_days >= sampling.blood_day)
    blocks = [
        pd.DataFrame({"patient_id": ids[here], "day": day, "material": material})
        for here, day, material in ((product, 0, "infusion_product"), (blood, sampling.blood_day, "blood"))
    ]
    table = pd.concat(blocks, ignore_index=True).sort_values(["patient_id", "day"], ignore_index=True)
    short = table["material"].map({"infusion_product": "product", "blood": f"day{sampling.blood_day}"})
    table.insert(0, "sample_id", table["patient_id"] + "-" + short)
    table["assay"] = "simulated targeted transcriptome"
    return table


def _named(names: list[str], index: IntArray) -> NDArray[np.object_]:
    return np.array(names, dtype=object)[index]


def _events(
    event: str, day: FloatArray, *, grade: IntArray | None = None, detail: NDArray[np.object_] | None = None
) -> pd.DataFrame:
    """Events of one kind, at most one a patient; infinity: none."""
    patient = np.flatnonzero(np.isfinite(day))
    return pd.DataFrame(
        {
            "patient": patient,
            "day": day[patient],
            "event": event,
            "grade": pd.array([pd.NA] * len(patient) if grade is None else grade[patient], dtype="Int64"),
            "detail": pd.Series(["" if detail is None else str(detail[row]) for row in patient], dtype=object),
        }
    )


def _infection_events(config: SimulatorConfig, clinic: Clinic, rng: np.random.Generator) -> pd.DataFrame:
    infections, course = clinic.course.infections, clinic.course
    unresolved = (infections.grade == 5) & (course.death_day > course.follow_up_days)[infections.patient]
    kind = choose(config.infection_kinds.values(), len(infections.day), rng)
    return pd.DataFrame(
        {
            "patient": infections.patient,
            "day": infections.day.astype(float),
            "event": "infection",
            "grade": pd.array(np.where(unresolved, 4, infections.grade), dtype="Int64"),
            "detail": _named(list(config.infection_kinds), kind),
        }
    )


def _kinds(shares: dict[str, float], clinic: Clinic, rng: np.random.Generator) -> NDArray[np.object_]:
    return _named(list(shares), choose(shares.values(), len(clinic), rng))


def _death_detail(clinic: Clinic) -> NDArray[np.object_]:
    relapsed = np.isfinite(clinic.course.relapse_day)
    cause = np.where(clinic.course.death_by_infection, 0, np.where(relapsed, 1, 2))
    return _named(["infection", "after_relapse", "other"], cause)
