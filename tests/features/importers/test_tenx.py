"""10x matrices: what Cell Ranger and GEO deposits hold, and what is refused. All files are synthetic."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import SequelaError
from features.importers.tenx import find_tenx, read_tenx_folder

IDS = ("ENSG00000167286", "ENSG00000153563", "ENSG00000010610")
SYMBOLS = ("CD3D", "CD8A", "CD4")
COUNTS = np.array([[0, 3, 1], [2, 0, 0], [0, 0, 7], [1, 1, 0]])
"""(cells, genes)."""


def matrix_market(counts: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    scipy.io.mmwrite(buffer, scipy.sparse.coo_matrix(counts.T), field="integer")
    return buffer.getvalue()


def write_folder(
    folder: Path, prefix: str = "", features: str = "features.tsv", zipped: bool = True, counts: np.ndarray = COUNTS
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    kind = "\tGene Expression" if features == "features.tsv" else ""
    texts = {
        "matrix.mtx": matrix_market(counts),
        "barcodes.tsv": "".join(f"CELL{i}-1\n" for i in range(len(counts))).encode(),
        features: "".join(f"{g}\t{s}{kind}\n" for g, s in zip(IDS, SYMBOLS, strict=True)).encode(),
    }
    for name, content in texts.items():
        path = folder / f"{prefix}{name}{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


@pytest.mark.parametrize(
    ("features", "zipped"),
    [("features.tsv", True), ("genes.tsv", False), ("features.tsv", False)],
    ids=["Cell Ranger 3", "Cell Ranger 2", "unzipped"],
)
def test_a_sample_is_read_as_it_was_written(tmp_path: Path, features: str, zipped: bool) -> None:
    read = read_tenx_folder(write_folder(tmp_path / "s", features=features, zipped=zipped))
    assert scipy.sparse.issparse(read.counts)
    np.testing.assert_array_equal(read.counts.toarray(), COUNTS)
    assert read.counts.dtype == np.float32
    assert (read.genes, read.gene_ids) == (SYMBOLS, IDS)
    assert read.barcodes == ("CELL0-1", "CELL1-1", "CELL2-1", "CELL3-1")


def test_samples_are_named_by_prefix_or_by_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "geo", prefix="GSM1_ac01_")
    write_folder(tmp_path / "geo", prefix="GSM2_ac02_")
    write_folder(tmp_path / "donor7" / "outs" / "filtered_feature_bc_matrix")
    assert [sample.name for sample in find_tenx(tmp_path)] == ["GSM1_ac01", "GSM2_ac02", "donor7"]
    with pytest.raises(SequelaError, match=r"has 3 samples \(GSM1_ac01, GSM2_ac02, donor7\), one is wanted"):
        read_tenx_folder(tmp_path)
    write_folder(tmp_path / "again", prefix="GSM1_ac01.")
    with pytest.raises(SequelaError, match=r"both are sample 'GSM1_ac01'"):
        find_tenx(tmp_path)


def test_features_that_are_no_genes_are_left_out(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "cite", zipped=False)
    rows = "ENSG1\tCD3D\tGene Expression\nCD4_ab\tCD4\tAntibody Capture\nENSG3\tCD4\tGene Expression\n"
    (folder / "features.tsv").write_text(rows)
    read = read_tenx_folder(folder)
    assert read.gene_ids == ("ENSG1", "ENSG3")
    np.testing.assert_array_equal(read.counts.toarray(), COUNTS[:, [0, 2]])


def write_h5(path: Path, *, old: bool = False) -> Path:
    cells = scipy.sparse.csr_matrix(COUNTS)
    with h5py.File(path, "w") as file:
        group = file.create_group("GRCh38" if old else "matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(cells, name)
        group["shape"] = np.array([3, 4])
        group["barcodes"] = np.array([f"CELL{i}-1" for i in range(4)], dtype="S")
        where = group if old else group.create_group("features")
        where["genes" if old else "id"] = np.array(IDS, dtype="S")
        where["gene_names" if old else "name"] = np.array(SYMBOLS, dtype="S")
        if not old:
            where["feature_type"] = np.array(["Gene Expression"] * 3, dtype="S")
    return path


@pytest.mark.parametrize("old", [False, True], ids=["Cell Ranger 3", "Cell Ranger 2"])
def test_hdf5_files_say_the_same(tmp_path: Path, old: bool) -> None:
    path = write_h5(tmp_path / "donor1_filtered_feature_bc_matrix.h5", old=old)
    assert [sample.name for sample in find_tenx(tmp_path)] == ["donor1"]
    read = read_tenx_folder(path)
    np.testing.assert_array_equal(read.counts.toarray(), COUNTS)
    assert (read.genes, read.gene_ids) == (SYMBOLS, IDS)


def edit_h5(change: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for path in folder.iterdir():
            path.unlink()
        with h5py.File(write_h5(folder / "a.h5"), "r+") as file:
            change(file)

    return damage


def put(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def _second_matrix(file: h5py.File) -> None:
    file.copy(file["matrix"], "mm10")


def _index_beyond(file: h5py.File) -> None:
    file["matrix/indices"][0] = 99


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no barcodes": (
        lambda folder: (folder / "barcodes.tsv").unlink(),
        r"matrix\.mtx: barcodes\.tsv \(or \.gz\) is mis",
    ),
    "no genes": (lambda folder: (folder / "features.tsv").unlink(), r"features\.tsv or genes\.tsv \(or \.gz\) is miss"),
    "one barcode less": (put("barcodes.tsv", b"a\nb\nc\n"), r"3 genes and 4 cells.* its barcodes file 3"),
    "twice a barcode": (put("barcodes.tsv", b"a\nb\na\nc\n"), r"barcodes\.tsv: barcode 'a' stands twice"),
    "twice a gene": (put("features.tsv", b"g\tx\ng\ty\nh\tz\n"), r"features\.tsv: gene id 'g' stands twice"),
    "empty row": (put("barcodes.tsv", b"a\n\nc\nd\n"), r"barcodes\.tsv row 2: is empty"),
    "no text": (put("barcodes.tsv", b"\xff\xfe\n"), r"barcodes\.tsv: cannot be read \(.*utf-8"),
    "antibodies only": (put("features.tsv", b"a\tA\tX\nb\tB\tX\nc\tC\tX\n"), r"no feature is of the type Gene Expre"),
    "no matrix market": (put("matrix.mtx", b"1 2 3\n"), r"matrix\.mtx: cannot be read \(the first line is not"),
    "cut short": (put("matrix.mtx", matrix_market(COUNTS)[:-8]), r"matrix\.mtx: cannot be read"),
    "cut gzip": (
        put("matrix.mtx", gzip.compress(matrix_market(COUNTS))[:-9]),
        r"matrix\.mtx: cannot be read \(Compress",
    ),
    "impossible size": (
        put("matrix.mtx", b"%%MatrixMarket matrix coordinate integer general\n3 4 999999999999\n1 1 1\n"),
        r"999999999999 values are announced, more than the file can hold",
    ),
    "index beyond": (
        put("matrix.mtx", b"%%MatrixMarket matrix coordinate integer general\n3 4 1\n1 5 1\n"),
        r"matrix\.mtx: cannot be read \(a value is no number, or lies outside",
    ),
    "fewer values": (
        put("matrix.mtx", b"%%MatrixMarket matrix coordinate integer general\n3 4 2\n1 4 1\n"),
        r"2 values are announced, 1 given",
    ),
    "no counts": (
        put("matrix.mtx", b"%%MatrixMarket matrix coordinate pattern general\n3 4 1\n1 4\n"),
        r"the first line is not .*nor of real values",
    ),
    "no hdf5": (
        lambda folder: [path.unlink() for path in folder.iterdir()] + [put("a.h5", b"x")(folder)],
        r"a\.h5: cann",
    ),
    "hdf5 without counts": (edit_h5(lambda file: file.__delitem__("matrix/data")), r"a\.h5: cannot be read"),
    "hdf5 of two genomes": (edit_h5(_second_matrix), r"a\.h5: has the matrices matrix, mm10; one is wanted"),
    "hdf5 index beyond": (edit_h5(_index_beyond), r"a\.h5: cannot be read"),
    "nothing": (lambda folder: [path.unlink() for path in folder.iterdir()], r"no sample is in it or below it"),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_samples_are_refused(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    folder = write_folder(tmp_path / "s", zipped=False)
    damage(folder)
    with pytest.raises(SequelaError, match=message):
        read_tenx_folder(folder)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["matrix.mtx", "barcodes.tsv", "features.tsv"]),
    at=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
)
def test_any_changed_byte_is_read_or_refused(name: str, at: float, byte: int) -> None:
    with TemporaryDirectory() as folder:
        path = write_folder(Path(folder) / "s", zipped=False) / name
        content = bytearray(path.read_bytes())
        content[int(at * len(content))] = byte
        path.write_bytes(content)
        try:
            read = read_tenx_folder(path.parent)
        except SequelaError as error:
            assert str(path.parent) in str(error)  # noqa: PT017 - reading it is right, too
        else:
            assert read.counts.shape == (len(read.barcodes), len(read.genes))
