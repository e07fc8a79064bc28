"""The corpus of broken cohort folders: each breaks one rule of the valid tiny cohort, at one place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import anndata
import h5py
import numpy as np
import pandas as pd


class Broken(NamedTuple):
    """One way to break a folder, and the finding that must come of it."""

    code: str
    file: str
    row: int | None
    apply: Callable[[Path], object]
    field: str | None = None
    severity: str = "error"
    says: str = ""
    """Must be in the finding's text."""


def replace(file: str, old: str, new: str) -> Callable[[Path], object]:
    """Replace text that is there once."""

    def apply(folder: Path) -> None:
        text = (folder / file).read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        (folder / file).write_text(text.replace(old, new))

    return apply


def append(file: str, line: str) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        with (folder / file).open("a") as table:
            table.write(line + "\n")

    return apply


def with_after_day(line: str) -> Callable[[Path], object]:
    """The column after_day of events, empty but in one more line."""

    def apply(folder: Path) -> None:
        header, *lines = (folder / "events.csv").read_text().splitlines()
        (folder / "events.csv").write_text("\n".join([header + ",after_day", *(f"{own}," for own in lines), line, ""]))

    return apply


def write(file: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_bytes(content)


def remove(*files: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / file).unlink() for file in files]


def both(*steps: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [step(folder) for step in steps]


def genes(names: list[str]) -> Callable[[Path], object]:
    """Rename the genes of cells.h5ad."""

    def apply(folder: Path) -> None:
        cells = anndata.read_h5ad(folder / "cells.h5ad")
        cells.var = pd.DataFrame(index=pd.Index(names, dtype=object))
        cells.write_h5ad(folder / "cells.h5ad")

    return apply


def values(change: Callable[[np.ndarray], object]) -> Callable[[Path], object]:
    """Change the stored values of cells.h5ad in place."""

    def apply(folder: Path) -> None:
        with h5py.File(folder / "cells.h5ad", "r+") as file:
            data = file["X/data"][:]
            change(data)
            file["X/data"][:] = data

    return apply


def truncate(folder: Path) -> None:
    content = (folder / "cells.h5ad").read_bytes()
    (folder / "cells.h5ad").write_bytes(content[: len(content) // 2])


def without_sample(folder: Path) -> None:
    with h5py.File(folder / "cells.h5ad", "r+") as file:
        del file["obs/sample_id"]


def lose_a_sample(folder: Path) -> None:
    with h5py.File(folder / "cells.h5ad", "r+") as file:
        codes = file["obs/sample_id/codes"][:]
        codes[:2] = -1
        file["obs/sample_id/codes"][:] = codes


def as_parquet(name: str, change: Callable[[pd.DataFrame], object]) -> Callable[[Path], object]:
    """Turn a table into Parquet."""

    def apply(folder: Path) -> None:
        table = pd.read_csv(folder / f"{name}.csv")
        change(table)
        table.to_parquet(folder / f"{name}.parquet")
        (folder / f"{name}.csv").unlink()

    return apply


P, E, M, S, Y, C = "patients.csv", "events.csv", "measurements.csv", "samples.csv", "cohort.yaml", "cells.h5ad"
K = "clones.csv"
MOUSE = ["Cd3e", "Cd8a", "Cd4", "Gzmb", "Pdcd1", "Mki67", "H2-K1", "mt-Co1"]
HUMAN = ["CD3E", "CD8A", "CD4", "GZMB", "PDCD1", "MKI67", "C1orf56"]

BROKEN: dict[str, Broken] = {
    # cohort.yaml
    "no-card": Broken("not-a-cohort", "", None, remove(Y)),
    "yaml-syntax": Broken("bad-yaml", Y, None, write(Y, b"title: [unclosed\n"), says="line 2"),
    "yaml-list": Broken("bad-yaml", Y, None, write(Y, b"- a\n- b\n"), says="must be a mapping"),
    "yaml-empty": Broken("bad-yaml", Y, None, write(Y, b""), says="must be a mapping"),
    "yaml-latin-1": Broken("bad-yaml", Y, None, write(Y, b"title: K\xf6ln\n"), says="not UTF-8"),
    "yaml-date": Broken("bad-yaml", Y, None, write(Y, b"title: 2024-13-45\n"), says="not valid YAML"),
    "key-twice": Broken("bad-yaml", Y, None, append(Y, "title: again"), says="'title' twice"),
    "key-misspelt": Broken("bad-card", Y, None, replace(Y, "licence:", "license:"), "license", says="licence"),
    "key-missing": Broken("bad-card", Y, None, replace(Y, "citation: none\n", ""), "citation", says="missing"),
    "key-misspelt-below": Broken(
        "bad-card", Y, None, replace(Y, "unit: ng/mL", "units: ng/mL"), "variables.ferritin.units", says="unit?"
    ),
    "kind-unknown": Broken(
        "bad-card", Y, None, replace(Y, "kind: ordinal", "kind: ordered"), "variables.stage.kind", says="'ordinal'"
    ),
    "level-is-bool": Broken(
        "bad-card", Y, None, replace(Y, "- axi-cel", "- yes"), "variables.product.levels.0", says="quotes"
    ),
    "range-reversed": Broken(
        "bad-card",
        Y,
        None,
        replace(Y, "- 18.0\n    - 100.0", "- 100.0\n    - 18.0"),
        "variables.age",
        says="low < high",
    ),
    "variable-reserved": Broken(
        "reserved-name",
        Y,
        None,
        replace(Y, "  comment:\n", "  follow_up_days:\n    kind: numeric\n  comment:\n"),
        "variables.follow_up_days",
    ),
    "unit-unknown": Broken(
        "unknown-unit", Y, None, replace(Y, "unit: 10*9/L", "unit: G/L"), "variables.neutrophils.unit", says="10*9/L?"
    ),
    "variable-absent": Broken(
        "absent-variable",
        Y,
        None,
        replace(Y, "  comment:\n", "  crp:\n    kind: numeric\n  comment:\n"),
        "variables.crp",
        "warning",
    ),
    # any table
    "two-tables": Broken("ambiguous-file", E, None, write("events.parquet", b""), says="events.parquet"),
    "not-utf8": Broken("not-utf8", P, 2, lambda f: write(P, (f / P).read_bytes().replace(b"Leipzig", b"L\xfc"))(f)),
    "utf-16": Broken("not-utf8", P, 1, lambda f: write(P, (f / P).read_text().encode("utf-16"))(f)),
    "empty-file": Broken("empty-file", E, None, write(E, b"")),
    "blank-file": Broken("empty-file", E, None, write(E, b"\n \n")),
    "blank-header": Broken("empty-file", E, 1, write(E, b",,\nP1,3,infection\n")),
    "open-quote": Broken("unbalanced-quote", E, None, append(E, 'P1,40,infection,3,"bad')),
    "semicolons": Broken("wrong-separator", E, 1, write(E, b"patient_id;day;event\nP1;3;infection\n")),
    "tabs": Broken("wrong-separator", E, 1, write(E, b"patient_id\tday\tevent\nP1\t3\tinfection\n")),
    "row-too-long": Broken("ragged-row", E, 6, append(E, "P1,40,infection,3,text,more"), says="6 values"),
    "row-too-short": Broken("ragged-row", E, 6, append(E, "P1,40"), says="has 2 values where the header has 5"),
    "row-after-a-quoted-line-break": Broken(
        "ragged-row", E, 7, both(append(E, 'P1,40,infection,3,"a\nb"'), append(E, "P1,40"))
    ),
    "column-twice": Broken("duplicate-column", E, 1, replace(E, "grade,detail", "grade,grade"), "grade"),
    "column-missing": Broken(
        "missing-column", P, 1, replace(P, "follow_up_days", "followup_days"), "follow_up_days", says="followup_days?"
    ),
    "column-undeclared": Broken(
        "undeclared-column", P, 1, replace(P, ",comment", ",remark"), "remark", "warning", says="left out"
    ),
    "line-break": Broken("line-break", E, 6, append(E, 'P1,40,infection,3,"a\nb"'), "detail", "warning"),
    "parquet-damaged": Broken(
        "unreadable-table", "events.parquet", None, both(remove(E), write("events.parquet", b"PAR1x"))
    ),
    "parquet-nested": Broken(
        "unreadable-column",
        "events.parquet",
        None,
        as_parquet("events", lambda t: t.insert(0, "detail2", [[1], [2], [3], [4]])),
        "detail2",
    ),
    "table-is-a-folder": Broken("unreadable-table", E, None, both(remove(E), lambda f: (f / E).mkdir())),
    # patients
    "patients-absent": Broken("no-patients", P, None, remove(P)),
    "patients-none": Broken(
        "no-patients",
        P,
        None,
        both(remove(E, M, S, K, C), lambda f: write(P, (f / P).read_bytes().splitlines(keepends=True)[0])(f)),
    ),
    "patient-twice": Broken("duplicate-patient", P, 6, append(P, "P2,100,,,50,1,axi-cel,"), "patient_id"),
    "patient-without-id": Broken("missing-id", P, 6, append(P, " ,100,,,50,1,axi-cel,"), "patient_id"),
    "follow-up-missing": Broken("missing-value", P, 6, append(P, "P5,NA,,,50,1,axi-cel,"), "follow_up_days"),
    "follow-up-text": Broken("not-a-number", P, 6, append(P, "P5,100 d,,,50,1,axi-cel,"), "follow_up_days"),
    "follow-up-infinite": Broken("not-a-number", P, 6, append(P, "P5,inf,,,50,1,axi-cel,"), "follow_up_days"),
    "follow-up-negative": Broken("negative-duration", P, 6, append(P, "P5,-3,,,50,1,axi-cel,"), "follow_up_days"),
    "follow-up-zero": Broken("zero-follow-up", P, 6, append(P, "P5,0,,,50,1,axi-cel,"), "follow_up_days", "warning"),
    "entry-after-exit": Broken("entry-after-exit", P, 6, append(P, "P5,50,60,,50,1,axi-cel,"), "entry_day"),
    "entry-at-exit": Broken("entry-after-exit", P, 6, append(P, "P5,50,50,,50,1,axi-cel,"), "entry_day"),
    "decimal-comma": Broken("not-a-number", P, 6, append(P, 'P5,50,,,"61,5",1,axi-cel,'), "age", says="61,5"),
    "age-impossible": Broken(
        "impossible-value", P, 6, append(P, "P5,50,,,610,1,axi-cel,"), "age", "warning", "missing"
    ),
    "ordinal-level": Broken("unknown-level", P, 6, append(P, "P5,50,,,61,4,axi-cel,"), "stage", says="1, 2, 3"),
    "categorical-level": Broken(
        "unknown-level", P, 6, append(P, "P5,50,,,61,3,axicel,"), "product", "warning", "Did you mean axi-cel?"
    ),
    # events
    "event-of-nobody": Broken("unknown-patient", E, 6, append(E, "P9,40,infection,3,"), "patient_id", says="P9"),
    "event-without-patient": Broken("missing-id", E, 6, append(E, ",40,infection,3,"), "patient_id"),
    "event-without-day": Broken("missing-value", E, 6, append(E, "P1,,infection,3,"), "day"),
    "event-without-name": Broken("event-name-missing", E, 6, append(E, "P1,40,,3,"), "event"),
    "event-late": Broken("event-after-follow-up", E, 6, append(E, "P1,401,infection,3,"), "day", says="401"),
    "event-after-blank-row": Broken("event-after-follow-up", E, 8, append(E, "\n,,,,\nP1,401,infection,3,"), "day"),
    "grade-six": Broken("bad-grade", E, 6, append(E, "P1,40,infection,6,"), "grade"),
    "grade-half": Broken("bad-grade", E, 6, append(E, "P1,40,infection,2.5,"), "grade"),
    "grade-zero": Broken("bad-grade", E, 6, append(E, "P1,40,infection,0,"), "grade"),
    "free-after-event": Broken(
        "free-after-event", E, 6, with_after_day("P1,40,infection,3,,60"), "after_day", says="after_day = 60"
    ),
    "free-on-the-day": Broken("free-after-event", E, 6, with_after_day("P1,40,infection,3,,40"), "after_day"),
    "after-day-in-words": Broken("not-a-number", E, 6, with_after_day("P1,40,infection,3,,visit 2"), "after_day"),
    "death-before-last-contact": Broken("follow-up-after-death", E, 6, append(E, "P1,40,death,,"), "day", "warning"),
    # measurements
    "measured-nobody": Broken("unknown-patient", M, 6, append(M, "P9,1,ferritin,3,"), "patient_id"),
    "measured-undeclared": Broken(
        "undeclared-variable", M, 6, append(M, "P1,1,feritin,3,"), "variable", says="Did you mean ferritin?"
    ),
    "measured-nothing": Broken("missing-value", M, 6, append(M, "P1,1,,3,"), "variable"),
    "measured-ordinal": Broken("measured-not-numeric", M, 6, append(M, "P1,1,stage,2,"), "variable"),
    "measured-text": Broken("not-a-number", M, 6, append(M, "P1,1,ferritin,<0.5,"), "value", says="<0.5"),
    "measured-empty": Broken("empty-measurement", M, 6, append(M, "P1,1,ferritin,NaN,"), "value", "warning"),
    "measured-impossible": Broken("impossible-value", M, 6, append(M, "P1,1,ferritin,-1,"), "value", "warning"),
    "measured-impossible-in-its-unit": Broken(
        "impossible-value", M, 6, append(M, "P1,1,ferritin,101,mg/L"), "value", "warning", says="101000"
    ),
    "measured-unit-unknown": Broken(
        "unknown-unit", M, 6, append(M, "P1,1,ferritin,3,microg/l"), "unit", says="not a UCUM unit known here"
    ),
    "measured-unit-mismatch": Broken("unit-mismatch", M, 6, append(M, "P1,1,ferritin,3,pmol/L"), "unit", says="ng/mL"),
    # clones
    "clone-of-no-sample": Broken("unknown-sample", K, 6, append(K, "S9,tcr,CASS,1,"), "sample_id"),
    "clone-without-name": Broken("missing-id", K, 6, append(K, "S1,tcr,,1,"), "clone"),
    "clone-of-a-strange-locus": Broken("unknown-locus", K, 6, append(K, "S1,bcr,CASS,1,"), "locus"),
    "clone-of-no-cell": Broken("bad-abundance", K, 6, append(K, "S1,tcr,CASS,0,"), "abundance"),
    "clone-twice": Broken("duplicate-clone", K, 6, append(K, "S1,tcr,CASSF,3,"), "clone"),
    "clone-half-near-an-oncogene": Broken("bad-flag", K, 6, append(K, "S1,tcr,CASS,1,0.5"), "near_oncogene"),
    # samples and cells
    "sample-twice": Broken("duplicate-sample", S, 5, append(S, "S1,P1,3,blood,"), "sample_id"),
    "sample-without-id": Broken("missing-id", S, 5, append(S, ",P1,3,blood,"), "sample_id"),
    "sample-of-nobody": Broken("unknown-patient", S, 5, append(S, "S9,P9,3,blood,"), "patient_id"),
    "sample-without-material": Broken("missing-value", S, 5, append(S, "S9,P1,3,,"), "material"),
    "sample-without-cells": Broken(
        "sample-without-cells", C, None, append(S, "S9,P1,3,blood,"), "obs.sample_id", "warning", says="S9"
    ),
    "cells-without-sample": Broken(
        "cells-without-sample",
        C,
        None,
        replace(S, "S3,P4,0,infusion_product,10x\n", ""),
        "obs.sample_id",
        says="5 cells",
    ),
    "cells-without-samples-table": Broken(
        "cells-without-sample", C, None, remove(S, K), "obs.sample_id", says="6 cells"
    ),
    "cells-of-no-sample": Broken("missing-sample", C, None, lose_a_sample, "obs.sample_id", says="2 cells"),
    "cells-truncated": Broken("unreadable-cells", C, None, truncate, says="copy or write it again"),
    "cells-are-text": Broken("unreadable-cells", C, None, write(C, b"not HDF5")),
    "cells-without-sample-id": Broken("missing-column", C, None, without_sample, "obs.sample_id"),
    "cells-twice": Broken("ambiguous-file", C, None, lambda f: (f / "cells.zarr").mkdir(), says="cells.zarr"),
    "cells-declared-only": Broken("absent-cells", Y, None, remove(C), "cells", "warning"),
    "counts-negative": Broken(
        "bad-counts", C, None, values(lambda x: x.__setitem__(3, -1)), "X[1, HLA-DRA]", says="= -1"
    ),
    "counts-fractional": Broken(
        "bad-counts",
        C,
        None,
        values(lambda x: np.log1p(x, out=x)),
        "X[1, CD3E]",
        says="declare `cells: {values: intensities}`",
    ),
    "counts-not-finite": Broken(
        "bad-counts", C, None, values(lambda x: x.__setitem__(3, np.nan)), "X[1, HLA-DRA]", says="1 values"
    ),
    "genes-of-a-mouse": Broken("foreign-genes", C, None, genes(MOUSE), "var", says="0% of 8 names are human"),
    "genes-are-numbers": Broken("foreign-genes", C, None, genes([str(i) for i in range(8)]), "var"),
    "mouse-ensembl": Broken("foreign-genes", C, None, genes([f"ENSMUSG{i:011d}" for i in range(8)]), "var"),
    "gene-twice": Broken("duplicate-gene", C, None, genes(["CD3E", *HUMAN]), "var", says="CD3E"),
    "gene-twice-by-version": Broken(
        "duplicate-gene",
        C,
        None,
        genes([f"ENSG{max(i, 1):011d}.{i}" for i in range(8)]),
        "var",
        says="ENSG00000000001",
    ),
    "genes-mixed": Broken(
        "mixed-genes", C, None, genes([*HUMAN[:4], *(f"ENSG{i:011d}" for i in range(4))]), "var", "warning"
    ),
}
