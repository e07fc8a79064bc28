"""Training and serving see the same: a cohort folder with its feature store, and requests, give the same columns."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import everything
import numpy as np
import pandas as pd
import pytest
from everything import CARD, CONFIG, GENES, VARIABLES, Record

from features.cells.anndata_io import write_cells
from features.cells.gene_table import gene_table
from features.cells.store import build
from features.check import read_cohort
from features.cohort import to_patients, write_cohort
from features.cohort_records import Wanted, patient_records
from features.encoder import PatientEncoder
from features.patients import Patients
from features.records import PackedSample, PatientRecord, SampleRecord
from features.request import to_patients as from_records
from features.schema import CellsCard

KNOWN = everything.records(11, 16)


def dense(sample: Record) -> Any:
    """(cells, genes): counts of a sample's record."""
    bag = everything.bag_of(sample)
    table = np.zeros((len(bag), len(bag.genes)))
    table[np.repeat(np.arange(len(bag)), np.diff(bag.indptr)), bag.indices] = bag.values
    return table


def sparse(table: Any, genes: list[str], labels: list[str]) -> Record:
    """The fields of a record for these counts."""
    cell, gene = np.nonzero(table)
    indptr = [0, *np.cumsum(np.bincount(cell, minlength=len(table))).tolist()]
    return {
        "genes": genes,
        "indptr": indptr,
        "indices": gene.tolist(),
        "values": table[cell, gene].tolist(),
        "cell_types": labels,
    }


def tables(known: list[Record]) -> dict[str, pd.DataFrame]:
    """The same facts as the tables of a cohort folder."""
    near = {None: None, False: 0, True: 1}
    ids = [record["patient_id"] for record in known]
    numbered = [(record["patient_id"], k, s) for record in known for k, s in enumerate(record["samples"])]
    return {
        "patients": pd.DataFrame(
            {"patient_id": ids, "follow_up_days": 1000.0} | pd.DataFrame([r["baseline"] for r in known]).to_dict("list")
        ),
        "measurements": pd.DataFrame([{"patient_id": r["patient_id"], **m} for r in known for m in r["measurements"]]),
        "events": pd.DataFrame([{"patient_id": r["patient_id"], **e} for r in known for e in r["events"]]),
        "samples": pd.DataFrame(
            [
                {"sample_id": f"{p}-{k}", "patient_id": p, "day": s["day"], "material": s["material"]}
                for p, k, s in numbered
            ]
        ),
        "clones": pd.DataFrame(
            [
                {"sample_id": f"{p}-{k}", **c, "near_oncogene": near[c["near_oncogene"]]}
                for p, k, s in numbered
                for c in s["clones"]
            ]
        ),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The patients as a cohort folder, ``cohort``, in it."""
    folder = tmp_path_factory.mktemp("parity")

    def cells(where: Path) -> None:
        samples = [(f"{r['patient_id']}-{k}", s) for r in KNOWN for k, s in enumerate(r["samples"])]
        counts = np.concatenate([dense(s) for _, s in samples]).astype(np.float32)
        names = np.concatenate([[name] * len(s["cell_types"]) for name, s in samples])
        labels = np.concatenate([np.array(s["cell_types"], dtype=object) for _, s in samples])
        write_cells(where / "cells.h5ad", counts, GENES, names, labels)

    write_cohort(folder / "cohort", CARD, tables(KNOWN), write_cells=cells)
    return folder


@pytest.fixture(scope="module")
def cohort(folder: Path) -> Patients:
    """The patients by the way of training: checked tables, and cells from the feature store."""
    read = read_cohort(folder / "cohort")
    assert read.cells is not None
    store = build(read.cells, folder / "store", CellsCard(), CONFIG.processing)
    landmarks = np.array([record["landmark_day"] for record in KNOWN])
    return to_patients(read, store.measured()).at_landmark(landmarks)


@pytest.fixture(scope="module")
def encoder(cohort: Patients) -> PatientEncoder:
    """Fitted on the cohort, and through its state, as serving has it."""
    fitted = PatientEncoder.fit(cohort, CARD, CONFIG)
    return PatientEncoder.from_state(*fitted.state())


def renamed(record: Record, name: Callable[[str], str]) -> None:
    for sample in record["samples"]:
        sample["genes"] = [name(gene) for gene in sample["genes"]]


def ensembl(record: Record) -> None:
    ids = {symbol: gene_id for gene_id, symbol in gene_table().name_of_id.items()}
    renamed(record, lambda gene: ids.get(gene, gene))
    assert sum(gene.startswith("ENSG") for gene in record["samples"][0]["genes"]) == len(GENES) - 1


def versions(record: Record) -> None:
    ensembl(record)
    renamed(record, lambda gene: f"{gene}.{len(gene)}" if gene.startswith("ENSG") else gene)


def synonyms(record: Record) -> None:
    old = {symbol: name for name, symbol in sorted(gene_table().synonyms.items())}
    renamed(record, lambda gene: old.get(gene, gene))
    assert len(set(record["samples"][0]["genes"]) - set(GENES)) >= 8, "many of the genes have another name"


def spaces(record: Record) -> None:
    renamed(record, lambda gene: f" {gene} ")


def merged_columns(record: Record) -> None:
    """Counts of each gene come in two columns: one by symbol, one by Ensembl id."""
    ids = {symbol: gene_id for gene_id, symbol in gene_table().name_of_id.items()}
    for sample in record["samples"]:
        table = dense(sample)
        part = np.floor(table / 2)
        other = [i for i, gene in enumerate(GENES) if gene in ids]
        both = np.concatenate([part[:, other], table - np.where(np.isin(range(len(GENES)), other), part, 0)], axis=1)
        sample |= sparse(both, [*(ids[GENES[i]] for i in other), *GENES], sample["cell_types"])


def cells_shuffled(record: Record) -> None:
    rng = np.random.default_rng(3)
    for sample in record["samples"]:
        order = rng.permutation(len(sample["cell_types"]))
        labels = [sample["cell_types"][i] for i in order]
        sample |= sparse(dense(sample)[order], list(GENES), labels)


def genes_shuffled(record: Record) -> None:
    order = np.random.default_rng(4).permutation(len(GENES))
    for sample in record["samples"]:
        sample |= sparse(dense(sample)[:, order], [GENES[i] for i in order], sample["cell_types"])


def unknown_genes(record: Record) -> None:
    """Silent genes that the model does not know: the depth of a cell is that of all its genes, as in training."""
    for sample in record["samples"]:
        sample["genes"] = [*sample["genes"], "NOVEL1", "TTN"]


def order_of_facts(record: Record) -> None:
    for part in ("measurements", "events", "samples"):
        record[part] = record[part][::-1]
    for sample in record["samples"]:
        sample["clones"] = sample["clones"][::-1]


def other_units(record: Record) -> None:
    """Creatinine in mg/dL, CRP in mg/dL, platelets per µL."""
    factors = {"creatinine": (1 / 88.4017, "mg/dL"), "crp": (0.1, "mg/dL"), "platelets": (1000.0, "/uL")}
    for measurement in record["measurements"]:
        factor, unit = factors.get(measurement["variable"], (1.0, None))
        measurement |= {"value": measurement["value"] * factor, "unit": unit}
    if record["baseline"]["crp_before"] is not None:
        record["baseline"]["crp_before"] = {"value": record["baseline"]["crp_before"] / 10, "unit": "mg/dL"}


def nulls_left_out(record: Record) -> None:
    record["baseline"] = {name: value for name, value in record["baseline"].items() if value is not None}


WAYS: dict[str, tuple[Callable[[Record], None] | None, float]] = {
    "as they are": (None, 1e-12),
    "Ensembl ids": (ensembl, 1e-12),
    "Ensembl ids with versions": (versions, 1e-12),
    "synonyms": (synonyms, 1e-12),
    "names with spaces": (spaces, 1e-12),
    "columns of one gene": (merged_columns, 1e-12),
    "cells shuffled": (cells_shuffled, 1e-6),
    "genes shuffled": (genes_shuffled, 1e-6),
    "silent unknown genes": (unknown_genes, 1e-6),
    "facts in another order": (order_of_facts, 1e-12),
    "other units": (other_units, 1e-5),
    "nulls left out": (nulls_left_out, 1e-12),
}
"""How the same facts may be written, and the largest relative difference of a column: density is in float32, and the
molar mass of creatinine has six digits here."""


@pytest.mark.parametrize(("change", "tolerance"), WAYS.values(), ids=WAYS)
def test_a_request_gives_the_columns_of_the_cohort(
    change: Callable[[Record], None] | None, tolerance: float, cohort: Patients, encoder: PatientEncoder
) -> None:
    known = copy.deepcopy(KNOWN)
    for record in known:
        if change is not None:
            change(record)
    served = from_records([PatientRecord.model_validate(record) for record in known], encoder)
    expected, found = encoder.columns(cohort), encoder.columns(served)
    assert list(found) == list(expected)
    for name, column in expected.items():
        scale = np.nanmax(np.abs(column), initial=1e-300)
        np.testing.assert_allclose(found[name], column, rtol=tolerance, atol=tolerance * scale, err_msg=name)
    said, known_of_training = encoder.encode(served), encoder.encode(cohort)
    for report in ("missing", "impossible", "unseen"):
        assert getattr(said, report) == getattr(known_of_training, report)
    np.testing.assert_allclose(said.x, known_of_training.x, atol=1e3 * tolerance)


def test_a_request_alone_gives_what_it_gives_among_others(cohort: Patients, encoder: PatientEncoder) -> None:
    records = [PatientRecord.model_validate(record) for record in KNOWN]
    together = encoder.transform(cohort)
    for i in (0, 7, 15):
        np.testing.assert_allclose(encoder.transform(from_records([records[i]], encoder))[0], together[i], atol=1e-6)


def test_the_configuration_gives_every_kind_of_column(encoder: PatientEncoder) -> None:
    """So that the parity above is not one of a few columns."""
    names = encoder.feature_names
    for part in (
        "car_hematotox",
        "easix",
        "inflamix",
        "prior infection:any",
        "blood:car_positive",
        "pseudobulk:pc1",
        "dispersion:pc1",
    ):
        assert part in names
    for part in ("tcr:", "integration:", "density:", "clr(", "icaht", "auc_0_28", "days_below"):
        assert any(part in name for name in names), part


def test_inputs_of_scores_may_stand_at_baseline_or_among_measurements(encoder: PatientEncoder) -> None:
    """CAR-HEMATOTOX and EASIX take platelets and CRP from either; a baseline value goes first."""
    base: Record = {"baseline": {"ldh": 300.0, "haemoglobin": 8.0}, "landmark_day": 0.0}
    shared = {"anc": 0.4, "ferritin": 3000.0, "creatinine": 100.0}
    rest = [{"variable": name, "day": -3.0, "value": value} for name, value in shared.items()]
    moved: list[Record] = [
        {"variable": "platelets", "day": -3.0, "value": 60.0},
        {"variable": "crp", "day": -3.0, "value": 45.0},
    ]
    at_baseline = base | {
        "baseline": base["baseline"] | {"platelets_before": 60.0, "crp_before": 45.0},
        "measurements": rest,
    }
    measured = base | {"measurements": [*rest, *moved]}
    both = at_baseline | {"measurements": [*rest, *({**m, "value": m["value"] * 9} for m in moved)]}
    neither = base | {"measurements": rest}
    columns = encoder.columns(
        from_records([PatientRecord.model_validate(r) for r in (at_baseline, measured, both, neither)], encoder)
    )
    np.testing.assert_array_equal(columns["car_hematotox"], [7.0, 7.0, 7.0, np.nan])
    easix = 300.0 * (100.0 / 88.4017) / 60.0
    np.testing.assert_allclose(columns["easix"], [easix, easix, easix, np.nan], rtol=1e-5)
    assert VARIABLES["creatinine"].unit == "umol/L", "the score converts it"


@pytest.mark.parametrize("day", [0.0, 14.0, 60.0])
def test_records_made_of_a_folder_give_the_columns_of_the_cohort(
    day: float, folder: Path, cohort: Patients, encoder: PatientEncoder
) -> None:
    assert encoder.samples is not None
    wanted = Wanted(
        frozenset(encoder.baseline_inputs),
        frozenset(encoder.measured_inputs),
        frozenset(encoder.events),
        frozenset(encoder.samples.materials),
        cells=True,
        clones=True,
    )
    records = list(patient_records(read_cohort(folder / "cohort"), wanted, day))
    assert any("cells" in sample for record in records for sample in record["samples"])
    plain = [record | {"samples": [s for s in record["samples"] if "cells" not in s]} for record in records]
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    days = [
        fact["day"] for record in records for part in ("measurements", "events", "samples") for fact in record[part]
    ]
    assert max(days) <= day
    served = from_records([received(record) for record in records], encoder)
    expected, found = encoder.columns(cohort.at_landmark(day)), encoder.columns(served)
    for name, column in expected.items():
        np.testing.assert_allclose(found[name], column, rtol=1e-9, atol=1e-9, err_msg=name)


def received(record: dict[str, Any]) -> PatientRecord:
    """A record as the service reads it: cells came as arrays."""
    samples = [
        PackedSample(**sample, genes=sample["cells"].genes) if "cells" in sample else SampleRecord(**sample)
        for sample in record["samples"]
    ]
    rest = {name: value for name, value in record.items() if name != "samples"}
    return PatientRecord.model_validate(rest).model_copy(update={"samples": tuple(samples)})


def test_what_a_model_does_not_take_is_not_sent(folder: Path) -> None:
    for record in patient_records(read_cohort(folder / "cohort"), Wanted(), 1000.0):
        assert {name for name, value in record.items() if value} <= {"patient_id", "landmark_day"}
