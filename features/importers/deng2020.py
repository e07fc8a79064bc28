"""`sequela import deng2020`: infusion products of 24 lymphoma patients before axi-cel (Deng et al., Nat Med 2020).

The source is a folder with the matrices of GEO GSE151511, as GSE151511_RAW.tar, as the archives in it
(``GSM4579891_ac01_bc_matrix.tar.gz``), or extracted (``ac01/ac01_matrix.mtx``, ``ac01_barcodes.tsv`` and
``ac01_genes.tsv``), and with clinical.csv, which the user makes from the paper's supplementary tables. The layout is
that which two public readers of the deposit expect (theislab/sfaira, vandontduong/CARTEx); the importer was not run on
the deposit itself.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple

import numpy as np
import pandas as pd

from features.cohort import write_cohort
from features.errors import SequelaError
from features.importers.delimited import Delimited, read_delimited
from features.importers.spec import DAYS_PER_UNIT
from features.importers.tenx import TenX, find_tenx, read_tenx_folder
from features.schema import CellsCard, CohortCard, Endpoint, EventRule, Variable

Progress = Callable[[int, int], None]
CLINIC = "clinical.csv"
SCAN_DAY = 3 * DAYS_PER_UNIT["months"]
"""Day of the response by convention: the scan three months after infusion."""
TOXICITY_DAY = 14.0
"""Day of CRS and ICANS by convention."""
_RESPONSES = {"CR": "complete_response", "PR": "partial_response", "SD": "stable_disease", "PD": "progression"}
_NOT_EVALUABLE = "NE"
_SAMPLE = re.compile(r"(?<![a-z])ac\d{2}(?!\d)")
_NOTES = f"""\
Response is that of the scan at three months and is dated day {SCAN_DAY:g} by convention (progression happened by then,
not on that day): only landmark 0 and a horizon of 92 days mean anything. Patients who could not be evaluated are
followed for {TOXICITY_DAY:g} days, as nothing later is known. CRS and ICANS are dated day {TOXICITY_DAY:g} by
convention. Each patient gave one sample, the infusion product, dated day 0. Matrices and clinical table were read as
two public readers of the deposit describe them; the importer was not verified on the deposit itself."""


class _Column(NamedTuple):
    """An optional variable of the clinical table, with the headers that it may have."""

    headers: tuple[str, ...]
    variable: Variable


_VARIABLES = {
    "age": _Column(("Age", "age"), Variable(kind="numeric", unit="a", range=(0, 120))),
    "sex": _Column(("Gender", "sex"), Variable(kind="categorical", levels=("F", "M"))),
    "histology": _Column(("Histology", "histology"), Variable(kind="categorical")),
}
_TOXICITIES = {"crs": "crs_grade", "icans": "icans_grade"}


def import_deng2020(source: Path, folder: Path, progress: Progress | None = None) -> None:
    """Write the cohort folder of the study; one sample is in memory at a time.

    Args:
        source: Folder with the matrices and clinical.csv: a row a patient, with ``Sample ID`` (or sample_id: ac01 …),
            and where known ``Age``, ``Gender`` (F, M), ``Histology``, response (CR, PR, SD, PD, NE), crs_grade and
            icans_grade.
        folder: Where; must be absent or empty.
        progress: Called with the samples done and those in all.

    Raises:
        SequelaError: A file is missing or damaged, or a value breaks a rule.
    """
    from features.importers.cells_writer import CellsWriter  # anndata is slow to import

    clinic = read_delimited(source / CLINIC)
    ids = clinic.present(_header(clinic, ("Sample ID", "sample_id"), required=True) or "")
    clinic.refuse_where(ids.duplicated(), str(ids.name), "patients have one row each", "Remove the row.")
    with TemporaryDirectory(prefix="sequela-") as beside:
        matrices = _find(source, Path(beside))
        unknown = sorted(set(matrices) - set(ids))
        if unknown:
            msg = f"{CLINIC}: sample {unknown[0]!r} has a matrix and no row; add one"
            raise SequelaError(msg)
        names = [name for name in ids if name in matrices]
        samples = pd.DataFrame(
            {"sample_id": names, "patient_id": names, "day": 0, "material": "infusion_product", "assay": "10x"}
        )
        tables = {
            "patients": _patients(clinic, ids),
            "events": _events(clinic, ids),
            "samples": samples,
        }

        def write_cells(unfinished: Path) -> None:
            first = _read(matrices[names[0]])
            with CellsWriter(unfinished / "cells.h5ad", first.gene_ids) as writer:
                for done, name in enumerate(names, start=1):
                    sample = first if done == 1 else _read(matrices[name])
                    if sample.gene_ids != first.gene_ids:
                        msg = f"{matrices[name].name}: its genes are not those of {names[0]}; take the deposited files"
                        raise SequelaError(msg)
                    writer.add(name, sample.counts, pd.DataFrame({"barcode": sample.barcodes}))
                    if progress is not None:
                        progress(done, len(names))

        endpoint = Endpoint(name="progression", event=EventRule(name="progression"), horizons_days=(92.0,))
        has_response = "response" in clinic.cells.columns
        write_cohort(
            folder,
            _card(clinic),
            tables,
            write_cells=write_cells,
            endpoints={"progression": endpoint} if has_response else {},
        )


def _card(clinic: Delimited) -> CohortCard:
    found = {name: column for name, column in _VARIABLES.items() if _header(clinic, column.headers)}
    return CohortCard(
        title="Deng 2020, axi-cel for large B-cell lymphoma: single cells of the infusion product",
        citation="Deng Q et al., Characteristics of anti-CD19 CAR T cell infusion products associated with efficacy "
        "and toxicity in patients with large B cell lymphomas, Nature Medicine 2020, doi 10.1038/s41591-020-1061-7; "
        "cells: GEO GSE151511",
        licence="not stated",
        provenance="real",
        variables={name: column.variable for name, column in found.items()},
        cells=CellsCard(values="counts", genes="genes"),
        notes=" ".join(_NOTES.split()),
    )


def _header(clinic: Delimited, headers: tuple[str, ...], *, required: bool = False) -> str | None:
    found = next((header for header in headers if header in clinic.cells.columns), None)
    if found is None and required:
        clinic.require(headers[:1])
    return found


def _patients(clinic: Delimited, ids: pd.Series) -> pd.DataFrame:
    response = _response(clinic)
    evaluable = response.isin(list(_RESPONSES))
    follow_up = np.where(evaluable, SCAN_DAY + 1, TOXICITY_DAY)
    patients = pd.DataFrame({"patient_id": ids, "follow_up_days": follow_up})
    for name, column in _VARIABLES.items():
        header = _header(clinic, column.headers)
        if header is not None:
            patients[name] = clinic.values(header, column.variable)
    return patients


def _response(clinic: Delimited) -> pd.Series:
    if "response" not in clinic.cells.columns:
        return pd.Series("", index=clinic.cells.index)
    response = clinic.text("response")
    rule = f"it is {', '.join(_RESPONSES)}, {_NOT_EVALUABLE} or empty"
    clinic.refuse_where(~response.isin([*_RESPONSES, _NOT_EVALUABLE, ""]), "response", rule, "Correct the cell.")
    return response


def _events(clinic: Delimited, ids: pd.Series) -> pd.DataFrame:
    """patient_id, day, event, grade, detail."""
    columns = ["patient_id", "day", "event", "grade", "detail"]
    rows: list[tuple[object, ...]] = []
    for patient, response in zip(ids, _response(clinic), strict=True):
        if response in _RESPONSES:
            rows.append((patient, SCAN_DAY, _RESPONSES[response], None, "by the scan at three months"))
    for event, column in _TOXICITIES.items():
        if column in clinic.cells.columns:
            grades = clinic.values(column, Variable(kind="numeric", range=(0, 5)))
            rows += [
                (patient, TOXICITY_DAY, event, int(grade), "day not published")
                for patient, grade in zip(ids, grades, strict=True)
                if grade > 0
            ]
    return pd.DataFrame(rows, columns=columns).astype({"grade": "Int64"})


def _find(source: Path, beside: Path) -> dict[str, Path]:
    """Archive or folder of each sample; archives in GSE151511_RAW.tar are copied out of it.

    Raises:
        SequelaError: There is none, or a sample stands twice.
    """
    archives = sorted(source.rglob("*.tar.gz"))
    for raw in sorted(source.rglob("*_RAW.tar")):
        with _archive(raw) as members:
            archives += [_copy(content, beside / name) for name, content in members if name.endswith(".tar.gz")]
    places = archives or [sample.path for sample in find_tenx(source)]
    found: dict[str, Path] = {}
    for place in places:
        name = _SAMPLE.search(place.name) or _SAMPLE.search(place.parent.name)
        if name is None:
            continue
        if name[0] in found:
            msg = f"{place}: sample {name[0]} stands a second time, beside {found[name[0]]}; remove one of them"
            raise SequelaError(msg)
        found[name[0]] = place
    if not found:
        msg = f"{source}: no matrix is named as in GSE151511, such as GSM4579891_ac01_bc_matrix.tar.gz; download them"
        raise SequelaError(msg)
    return found


def _read(place: Path) -> TenX:
    """The sample of an archive, or of the folder of a matrix.

    Raises:
        SequelaError: It is damaged, or a file is missing.
    """
    if not place.name.endswith(".tar.gz"):
        prefix = place.name.partition("matrix.mtx")[0]
        files = [path for path in place.parent.iterdir() if path.name.startswith(prefix) and path.is_file()]
        with TemporaryDirectory(prefix="sequela-") as beside:
            for path in files:
                (Path(beside) / path.name).symlink_to(path.resolve())
            return read_tenx_folder(Path(beside))
    with TemporaryDirectory(prefix="sequela-") as beside, _archive(place) as members:
        for name, content in members:
            _copy(content, Path(beside) / name)
        try:
            return read_tenx_folder(Path(beside))
        except SequelaError as error:
            msg = f"{place.name}: {str(error).replace(str(beside), '').lstrip('/')}"
            raise SequelaError(msg) from error


def _copy(content: IO[bytes], path: Path) -> Path:
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
    return path


@contextmanager
def _archive(path: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """The plain files of an archive, by their last name; nothing is unpacked to where a member's name points.

    Raises:
        SequelaError: It is damaged.
    """
    try:
        with tarfile.open(path) as archive:
            yield (
                (Path(member.name).name, content)
                for member in archive
                if member.isfile() and (content := archive.extractfile(member)) is not None
            )
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        msg = f"{path.name}: cannot be read as an archive ({' '.join(str(error).split())[:120]}); download it again"
        raise SequelaError(msg) from error
