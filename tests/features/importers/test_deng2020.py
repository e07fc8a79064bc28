"""`sequela import deng2020` on a synthetic deposit in the layout of GSE151511; no value in it is of the study."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from features.check import examine, read_cohort, read_endpoint
from features.errors import SequelaError
from features.importers import IMPORTERS

GENES = tuple((f"ENSG00000{i:06d}", symbol) for i, symbol in enumerate(("CD3D", "CD8A", "CD4", "GZMB")))
CLINIC = """Sample ID,Age,Gender,Histology,response,crs_grade,icans_grade
ac01,60,M,DLBCL,CR,2,0
ac02,50,F,tFL,PD,3,2
ac03,70,F,PMBCL,NE,0,NA
"""


def counts_of(name: str) -> np.ndarray:
    return np.random.default_rng(int(name[2:])).poisson(1.0, size=(3, len(GENES)))


def files_of(name: str) -> dict[str, bytes]:
    """The three files of a synthetic sample, as the deposit names them."""
    buffer = io.BytesIO()
    scipy.io.mmwrite(buffer, scipy.sparse.coo_matrix(counts_of(name).T))
    return {
        f"{name}_matrix.mtx": buffer.getvalue(),
        f"{name}_barcodes.tsv": "".join(f"{name}-{i}\n" for i in range(3)).encode(),
        f"{name}_genes.tsv": "".join(f"{gene}\t{symbol}\n" for gene, symbol in GENES).encode(),
    }


def archive_of(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        folder = tarfile.TarInfo(name)
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for file, content in files_of(name).items():
            member = tarfile.TarInfo(f"{name}/{file}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write_archives(folder: Path) -> None:
    for i, name in enumerate(("ac01", "ac02", "ac03")):
        (folder / f"GSM457989{1 + i}_{name}_bc_matrix.tar.gz").write_bytes(archive_of(name))


def write_raw(folder: Path) -> None:
    write_archives(folder)
    with tarfile.open(folder / "GSE151511_RAW.tar", "w") as raw:
        for path in sorted(folder.glob("*.tar.gz")):
            raw.add(path, path.name)
            path.unlink()


def write_extracted(folder: Path) -> None:
    for name in ("ac01", "ac02", "ac03"):
        (folder / name).mkdir()
        for file, content in files_of(name).items():
            (folder / name / file).write_bytes(content)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "deposit"
    folder.mkdir()
    (folder / "clinical.csv").write_text(CLINIC)
    return folder


@pytest.mark.parametrize(
    "write", [write_archives, write_raw, write_extracted], ids=["archives", "RAW.tar", "extracted"]
)
def test_a_deposit_becomes_a_cohort(source: Path, tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(source)
    IMPORTERS["deng2020"].run(source, tmp_path / "cohort")
    endpoint = read_endpoint(tmp_path / "cohort" / "endpoints" / "progression.yaml")
    assert examine(tmp_path / "cohort", endpoint).errors == ()
    cohort = read_cohort(tmp_path / "cohort")
    assert cohort.patients["patient_id"].tolist() == ["ac01", "ac02", "ac03"]
    assert cohort.patients["follow_up_days"].tolist() == [92.3125, 92.3125, 14]
    assert cohort.patients[["age", "sex", "histology"]].iloc[1].tolist() == [50, "F", "tFL"]
    events = cohort.events.sort_values(["patient_id", "event"])[["patient_id", "day", "event", "grade"]]
    assert events.fillna(-1).to_numpy().tolist() == [
        ["ac01", 91.3125, "complete_response", -1],
        ["ac01", 14, "crs", 2],
        ["ac02", 14, "crs", 3],
        ["ac02", 14, "icans", 2],
        ["ac02", 91.3125, "progression", -1],
    ]
    cells = anndata.read_h5ad(tmp_path / "cohort" / "cells.h5ad")
    np.testing.assert_array_equal(cells.X.toarray(), np.vstack([counts_of(name) for name in ("ac01", "ac02", "ac03")]))
    assert cells.obs["sample_id"].tolist() == ["ac01"] * 3 + ["ac02"] * 3 + ["ac03"] * 3
    assert list(cells.var_names) == [gene for gene, _ in GENES]
    assert "was not verified on the deposit itself" in cohort.card.notes


def text(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = (folder / "clinical.csv").read_text()
        assert old in content
        (folder / "clinical.csv").write_text(content.replace(old, new))

    return change


def _cut(folder: Path) -> None:
    path = folder / "GSM4579892_ac02_bc_matrix.tar.gz"
    path.write_bytes(path.read_bytes()[:-200])


def _twice(folder: Path) -> None:
    (folder / "GSM9_ac01_bc_matrix.tar.gz").write_bytes(archive_of("ac01"))


def _remove(folder: Path) -> None:
    for path in folder.glob("*.tar.gz"):
        path.unlink()


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no clinical table": (lambda folder: (folder / "clinical.csv").unlink(), r"clinical\.csv: cannot be read"),
    "no sample column": (text("Sample ID", "ID"), r"clinical\.csv: column 'Sample ID' is missing"),
    "a sample without a row": (text("ac03,", "ac04,"), r"sample 'ac03' has a matrix and no row"),
    "unknown response": (text("PD", "progress"), r"row 3: response = 'progress'; it is CR, PR, SD, PD, NE"),
    "unknown grade": (text("NE,0", "NE,7"), r"row 4: crs_grade = '7'; 0 to 5 is allowed"),
    "cut archive": (_cut, r"GSM4579892_ac02_bc_matrix\.tar\.gz: cannot be read"),
    "twice a sample": (_twice, r"sample ac01 stands a second time"),
    "no matrices": (_remove, r"no sample is in it or below it"),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_deposits_are_refused(
    source: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    write_archives(source)
    damage(source)
    with pytest.raises(SequelaError, match=message):
        IMPORTERS["deng2020"].run(source, tmp_path / "cohort")
    assert [path.name for path in tmp_path.iterdir()] == ["deposit"]


def test_a_member_that_points_outside_stays_inside(source: Path, tmp_path: Path) -> None:
    write_archives(source)
    with tarfile.open(source / "GSM4579893_ac03_bc_matrix.tar.gz", "w:gz") as archive:
        for file, content in files_of("ac03").items():
            member = tarfile.TarInfo(f"../../../../{tmp_path.name}/{file}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    IMPORTERS["deng2020"].run(source, tmp_path / "cohort")
    assert not list(tmp_path.glob("ac03*"))
    assert len(anndata.read_h5ad(tmp_path / "cohort" / "cells.h5ad")) == 9
