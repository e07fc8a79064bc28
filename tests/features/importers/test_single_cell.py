"""`sequela import single_cell`: the real AML study, and small synthetic sources for everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
import yaml

from features.check import examine, read_cohort, read_endpoint
from features.documents import read_document
from features.errors import SequelaError
from features.importers import IMPORTERS
from features.importers.cells_writer import CellsWriter
from features.importers.single_cell import import_single_cell
from features.importers.single_cell_spec import SingleCellSpec

CONFIGS = Path(__file__).parents[3] / "configs"
GENES = ("CD3D", "CD8A", "CD4", "GZMB", "MKI67")
SAMPLES = np.array(["a", "b", "a", "c", "b", "a"])
COUNTS = np.random.default_rng(0).poisson(1.0, size=(6, 5)).astype(np.float32)
CLINIC = "id,months,status,age,response\np1,12,0,50,CR\np2,3,2,60,PD\np3,6,1,,PD\n"
SPEC: dict[str, Any] = {
    "title": "Small",
    "samples": {"sample_id": "library", "patient_id": "donor", "day": {"column": "month", "unit": "months"}}
    | {"material": "blood", "cell_type": "type"},
    "clinical": {
        "file": "clinic.csv",
        "patient_id": "id",
        "time": {"column": "months", "unit": "months"},
        "event": {"column": "status", "causes": {1: "relapse", 2: "death"}},
        "variables": {"age": {"kind": "numeric", "unit": "a"}},
    },
    "horizons_days": [100, 200],
}
LABEL = {"column": "response", "event": "failure", "positive": "PD", "negative": ["CR", "PR"], "table": "clinical"}
OF_CLASSES = {"file": "clinic.csv", "patient_id": "id", "variables": {"age": {"kind": "numeric", "unit": "a"}}}


def write_h5ad(folder: Path, **obs: list[object]) -> Path:
    columns: dict[str, Any] = {
        "library": SAMPLES,
        "donor": np.array(["p1", "p2", "p1", "p3", "p2", "p1"]),
        "month": np.array([0, 1, 0, 0, 1, 0], dtype=float),
        "type": np.array(["T", None, "T", "B", "T", "B"], dtype=object),
    }
    table = pd.DataFrame(columns | obs, index=[f"cell{i}" for i in range(6)])
    cells = anndata.AnnData(scipy.sparse.csr_matrix(COUNTS), obs=table, var=pd.DataFrame(index=list(GENES)))
    cells.layers["double"] = COUNTS * 2
    folder.mkdir(exist_ok=True)
    cells.write_h5ad(folder / "cells.h5ad")
    (folder / "clinic.csv").write_text(CLINIC)
    return folder / "cells.h5ad"


def run(folder: Path, spec: dict[str, Any], source: Path) -> Path:
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    import_single_cell(folder / "spec.yaml", source, folder / "cohort")
    return folder / "cohort"


def test_aml_becomes_a_cohort_with_two_classes(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "aml_flow_cytodx" / "aml_flow.h5ad"
    IMPORTERS["single_cell"].run(source, tmp_path / "aml", CONFIGS / "import" / "aml_flow.yaml")
    endpoint = read_endpoint(CONFIGS / "endpoint" / "aml.yaml")
    assert examine(tmp_path / "aml", endpoint).findings == ()
    assert read_endpoint(tmp_path / "aml" / "endpoints" / "aml.yaml") == endpoint
    cohort = read_cohort(tmp_path / "aml")
    published = anndata.read_h5ad(source)
    label = published.obs.drop_duplicates("sample").set_index("sample")["label"]
    assert set(cohort.events["patient_id"]) == set(label.index[label == "aml"])
    assert (len(cohort.patients), len(cohort.events)) == (20, 10)
    cells = anndata.read_h5ad(tmp_path / "aml" / "cells.h5ad")
    np.testing.assert_allclose(cells.X.toarray(), np.arcsinh(published.X / 5), rtol=1e-6)
    assert cells.obs["sample_id"].astype(str).tolist() == published.obs["sample"].astype(str).tolist()


def test_cells_with_a_clinical_table(tmp_path: Path) -> None:
    cohort = read_cohort(run(tmp_path, SPEC, write_h5ad(tmp_path / "source")))
    assert cohort.samples.to_dict("list") == {
        "sample_id": ["a", "b", "c"],
        "patient_id": ["p1", "p2", "p3"],
        "day": [0, 30.4375, 0],
        "material": ["blood"] * 3,
    }
    assert cohort.patients["follow_up_days"].tolist() == [12 * 30.4375, 3 * 30.4375, 6 * 30.4375]
    assert cohort.events[["patient_id", "event"]].to_numpy().tolist() == [["p2", "death"], ["p3", "relapse"]]
    relapse = read_endpoint(tmp_path / "cohort" / "endpoints" / "relapse.yaml")
    assert (relapse.causes, relapse.horizons_days) == (("relapse", "death"), (100, 200))
    cells = anndata.read_h5ad(tmp_path / "cohort" / "cells.h5ad")
    order = np.argsort(SAMPLES, kind="stable")
    np.testing.assert_array_equal(cells.X.toarray(), COUNTS[order])
    assert cells.obs["sample_id"].tolist() == ["a", "a", "a", "b", "b", "c"]
    assert cells.obs["cell_type"].astype(str).tolist() == ["T", "T", "B", "nan", "T", "B"]
    assert tuple(cells.var_names) == GENES


def test_a_layer_and_cofactors_by_marker(tmp_path: Path) -> None:
    values = {"values": "intensities", "genes": "markers", "matrix": "double", "cofactor": {"CD4": 5}}
    cohort = run(tmp_path, SPEC | {"cells": values}, write_h5ad(tmp_path / "source"))
    expected = 2 * COUNTS[np.argsort(SAMPLES, kind="stable")]
    expected[:, 2] = np.arcsinh(expected[:, 2] / 5)
    np.testing.assert_allclose(anndata.read_h5ad(cohort / "cells.h5ad").X.toarray(), expected, rtol=1e-6)


def test_a_label_of_the_clinical_table(tmp_path: Path) -> None:
    samples = SPEC["samples"] | {"day": 0}
    spec = {"title": "Classes", "samples": samples, "clinical": OF_CLASSES, "label": LABEL}
    cohort = read_cohort(run(tmp_path, spec, write_h5ad(tmp_path / "source")))
    assert cohort.patients["follow_up_days"].tolist() == [2, 2, 2]
    assert cohort.events[["patient_id", "day", "event"]].to_numpy().tolist() == [
        ["p2", 1, "failure"],
        ["p3", 1, "failure"],
    ]
    assert cohort.patients["age"].fillna(-1).tolist() == [50, 60, -1]


def test_without_an_outcome_follow_up_is_the_last_sample(tmp_path: Path) -> None:
    spec = {"title": "No outcome", "samples": SPEC["samples"]}
    cohort = read_cohort(run(tmp_path, spec, write_h5ad(tmp_path / "source")))
    assert cohort.patients["follow_up_days"].tolist() == [0, 30.4375, 0]
    assert cohort.events.empty


def write_tenx(folder: Path, name: str, genes: tuple[str, ...] = GENES, seed: int = 1) -> np.ndarray:
    counts = np.random.default_rng(seed).poisson(1.0, size=(4, len(genes)))
    (folder / name).mkdir(parents=True)
    scipy.io.mmwrite(folder / name / "matrix.mtx", scipy.sparse.coo_matrix(counts.T))
    (folder / name / "barcodes.tsv").write_text("".join(f"c{i}\n" for i in range(4)))
    (folder / name / "genes.tsv").write_text("".join(f"{gene}\t{gene}\n" for gene in genes))
    return counts


EXAMPLE = CONFIGS / "import" / "single_cell_example.yaml"
TABLE = "library,patient,month,tissue\nx1,A,0,infusion_product\nx2,A,1,unknown\n"


def test_the_example_specification_runs_on_10x_matrices(tmp_path: Path) -> None:
    source = tmp_path / "deposit"
    counts = [write_tenx(source, "x1", seed=1), write_tenx(source, "x2", seed=2)]
    (source / "samples.csv").write_text(TABLE.replace("unknown", "blood"))
    (source / "clinical.csv").write_text("patient,os_months,status,age,product\nA,20,1,50,x\nB,10,0,60,y\n")
    seen: list[tuple[int, int]] = []
    IMPORTERS["single_cell"].run(source, tmp_path / "cohort", EXAMPLE, lambda done, of: seen.append((done, of)))
    assert seen == [(1, 2), (2, 2)]
    cohort = read_cohort(tmp_path / "cohort")
    assert cohort.samples["material"].tolist() == ["infusion_product", "blood"]
    assert cohort.patients["patient_id"].tolist() == ["A", "B"]
    cells = anndata.read_h5ad(tmp_path / "cohort" / "cells.h5ad")
    np.testing.assert_array_equal(cells.X.toarray(), np.vstack(counts))
    assert cells.obs["barcode"].tolist() == ["c0", "c1", "c2", "c3"] * 2


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"sample": {}}, r"sample: No such key\. Did you mean samples"),
    "no column": ({"samples": SPEC["samples"] | {"patient_id": "doner"}}, r"obs has no column 'doner'; it has .*donor"),
    "no sample column": ({"samples": {"material": "blood"}}, r"spec\.yaml: samples\.sample_id is missing"),
    "no layer": ({"cells": {"matrix": "counts"}}, r"has no layers/counts; .* a layer \(double\)"),
    "cofactor of counts": ({"cells": {"cofactor": 5}}, r"cells: A cofactor is of intensities"),
    "unknown marker": (
        {"cells": {"values": "intensities", "genes": "markers", "cofactor": {"CD5": 5}}},
        r"cells\.cofactor: there is no marker 'CD5'",
    ),
    "no table": ({"clinical": SPEC["clinical"] | {"file": "none.csv"}}, r"none\.csv: cannot be read"),
    "unknown code": (
        {"clinical": SPEC["clinical"] | {"event": {"column": "status", "causes": {1: "relapse"}}}},
        r"clinic\.csv row 3: status = '2'; the specification knows the codes 0, 1",
    ),
    "wrong patients": ({"samples": SPEC["samples"] | {"patient_id": "library"}}, r"clinic\.csv: patient 'a' has cells"),
    "cells disagree": (
        {"samples": SPEC["samples"] | {"material": {"column": "type"}}},
        r"cells of sample 'a' have type =",
    ),
    "two outcomes": ({"label": LABEL}, r"Name one outcome: a label, or time"),
    "event without time": (
        {"clinical": OF_CLASSES | {"event": {"column": "status", "causes": {1: "x"}}}, "horizons_days": None},
        r"clinical: Event, event_times, entry, start and visit need time",
    ),
    "class of nobody": (
        {"samples": SPEC["samples"] | {"day": 0}, "clinical": OF_CLASSES, "horizons_days": None}
        | {"label": {**LABEL, "positive": "SD", "negative": None}},
        r"label response: no patient is SD; the values are 'CR', 'PD'",
    ),
    "unknown class": (
        {"samples": SPEC["samples"] | {"day": 0}, "clinical": OF_CLASSES, "horizons_days": None}
        | {"label": {**LABEL, "negative": "PR"}},
        r"patient 'p1': response = 'CR'; every patient has one label, one of PD, PR",
    ),
    "late sample": (
        {"clinical": OF_CLASSES, "horizons_days": None, "label": LABEL},
        r"sample 'b' is after day 0; a label is told from samples known by then",
    ),
}


@pytest.mark.parametrize(("changes", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_wrong_is_named_and_nothing_is_written(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    source = write_h5ad(tmp_path / "source")
    with pytest.raises(SequelaError, match=message):
        run(tmp_path, SPEC | changes, source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "spec.yaml"]


def test_broken_10x_sources(tmp_path: Path) -> None:
    source = tmp_path / "deposit"
    write_tenx(source, "x1")
    write_tenx(source, "x2", genes=GENES[::-1])
    spec: dict[str, Any] = {"title": "10x", "samples": {"material": "blood"}}
    with pytest.raises(SequelaError, match=r"x2/matrix\.mtx: its 5 genes are not those of x1"):
        run(tmp_path, spec, source)
    with pytest.raises(SequelaError, match=r"column 'donor' is named, and 10x matrices have no columns"):
        run(tmp_path, {"title": "10x", "samples": {"material": "blood", "patient_id": "donor"}}, source)
    (source / "samples.csv").write_text("library\nx1\n")
    table = {"file": "samples.csv", "sample_id": "library", "material": "blood"}
    with pytest.raises(SequelaError, match=r"samples\.csv: sample 'x2' has cells and no row"):
        run(tmp_path, {"title": "10x", "samples": table}, source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deposit", "spec.yaml"]


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + b"\0" * 600], ids=["empty", "text", "cut"])
def test_a_damaged_h5ad_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.h5ad").write_bytes(content)
    with pytest.raises(SequelaError, match=r"bad\.h5ad: cannot be read as AnnData"):
        run(tmp_path, SPEC, tmp_path / "bad.h5ad")
    assert not (tmp_path / "cohort").exists()


def test_appended_samples_are_an_anndata_file(tmp_path: Path) -> None:
    blocks = [scipy.sparse.random_array((n, 5), density=0.5, rng=n, format="csr", dtype=np.float32) for n in (3, 0, 4)]
    with CellsWriter(tmp_path / "cells.h5ad", GENES) as writer:
        for i, block in enumerate(blocks):
            writer.add(f"S{i}", scipy.sparse.csr_matrix(block))
        with pytest.raises(SequelaError, match=r"sample S9: 2 cells and 3 genes do not fit 5 genes"):
            writer.add("S9", scipy.sparse.csr_matrix((2, 3)))
    read = anndata.read_h5ad(tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(read.X.toarray(), scipy.sparse.vstack(blocks).toarray())
    assert read.obs["sample_id"].tolist() == ["S0"] * 3 + ["S2"] * 4


def test_the_specifications_of_the_repository_are_sound() -> None:
    for name in ("aml_flow", "single_cell_example"):
        assert read_document(CONFIGS / "import" / f"{name}.yaml", SingleCellSpec).title
