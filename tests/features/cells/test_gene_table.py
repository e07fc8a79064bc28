"""The packaged tables of genes and synonyms, and the script that makes them."""

from __future__ import annotations

import gzip
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from features.cells import gene_table as module
from features.cells.build_gene_table import (
    FIELD,
    GENCODE_CSV,
    GENCODE_SHA256,
    KEPT,
    NCBI_SHA256,
    NcbiGene,
    gencode_genes,
    main,
    ncbi_genes,
    plain,
    unambiguous,
    write_table,
)
from features.cells.gene_table import DATA, GENES_FILE, SYNONYMS_FILE, Gene, gene_table, names_of_ids
from features.errors import SequelaError


def test_the_release_is_whole() -> None:
    table = gene_table()
    assert len(table.name_of_id) == 62_754
    assert len(table.symbols) == 40_874
    assert table.name_of_id["ENSG00000198851"] == "CD3E"
    assert table.name_of_id["ENSG00000277734"] == "TRAC"
    assert {"CD3E", "TRBC2", "MT-CO1", "C1orf112", "MATR3"} <= table.symbols
    assert "" not in table.symbols


def test_only_a_symbol_of_one_gene_names_an_id() -> None:
    genes = [
        Gene("ENSG1", "AAA"),
        Gene("ENSG2", "BBB"),
        Gene("ENSG3", "BBB"),
        Gene("ENSG4", ""),
        Gene("ENSG5", "AAA", "ENSG1"),
        Gene("ENSG6", "", "ENSG4"),
    ]
    assert names_of_ids(genes) == {
        "ENSG1": "AAA",
        "ENSG2": "ENSG2",
        "ENSG3": "ENSG3",
        "ENSG4": "ENSG4",
        "ENSG5": "AAA",
        "ENSG6": "ENSG4",
    }


def test_names_of_ids_are_ids_or_symbols_of_their_own() -> None:
    table = gene_table()
    x_genes = [name for gene_id, name in table.name_of_id.items() if not 292327 <= int(gene_id[4:]) <= 292373]
    assert len(set(x_genes)) == len(x_genes)
    assert all(
        name in table.symbols or name == gene_id
        for gene_id, name in zip(table.name_of_id, table.name_of_id.values(), strict=True)
        if not 292327 <= int(gene_id[4:]) <= 292373
    )


def test_synonyms_lead_to_symbols_and_are_none() -> None:
    table = gene_table()
    assert len(table.synonyms) > 45_000
    assert table.synonyms.keys().isdisjoint(table.symbols)
    assert set(table.synonyms.values()) <= table.symbols
    assert not [name for name in table.synonyms if name.startswith("ENS") or len(plain(name)) < 3]


def test_names_of_several_genes_are_no_synonyms() -> None:
    """Two spellings of one name lead to one gene; the exceptions are written out."""
    table = gene_table()
    symbol_of: dict[str, str] = {plain(symbol): symbol for symbol in table.symbols}
    for name, symbol in table.synonyms.items():
        if name not in FIELD:
            assert symbol_of.setdefault(plain(name), symbol) == symbol, name
    assert not [name for name in table.synonyms if plain(name) in set(map(plain, KEPT))]
    assert {name: table.synonyms[name] for name in FIELD} == FIELD


def test_headers_name_the_sources() -> None:
    genes = gzip.decompress((DATA / GENES_FILE).read_bytes()).decode()
    synonyms = gzip.decompress((DATA / SYNONYMS_FILE).read_bytes()).decode()
    assert GENCODE_SHA256 in genes.splitlines()[0]
    assert NCBI_SHA256 in synonyms.splitlines()[1]
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 700_000


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        pytest.param(None, r"absent or damaged .*; install Sequela again", id="absent"),
        pytest.param(b"\x1f\x8b\x08", r"absent or damaged", id="cut-short"),
        pytest.param(b"no gzip", r"absent or damaged", id="no-gzip"),
        pytest.param(gzip.compress(b"ENSG1\tAAA\n"), r"each row must have 3 fields", id="other-columns"),
    ],
)
def test_a_damaged_table_is_one_line(
    damage: bytes | None, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DATA", tmp_path)
    if damage is not None:
        (tmp_path / GENES_FILE).write_bytes(damage)
    with pytest.raises(SequelaError, match=match):
        gene_table.__wrapped__()


GENOME = [
    ("ENSG00000000001", "LONE"),
    ("ENSG00000000002", "PARA"),
    ("ENSG00000000003", "ENSG00000000003"),
    ("ENSG00000000004", "XIST"),
    ("ENSG00000000009", "PARA"),
    ("ENSG00000000008", "ENSG00000000008"),
]


def test_copies_on_y_find_their_gene_on_x() -> None:
    genes = gencode_genes(GENOME, [9, 8])
    assert genes == [
        Gene("ENSG00000000001", "LONE"),
        Gene("ENSG00000000002", "PARA"),
        Gene("ENSG00000000003", ""),
        Gene("ENSG00000000004", "XIST"),
        Gene("ENSG00000000008", "", "ENSG00000000003"),
        Gene("ENSG00000000009", "PARA", "ENSG00000000002"),
    ]
    with pytest.raises(SequelaError, match=r"rows 5 to 5: copies on Y .* is this GENCODE 44\?"):
        gencode_genes([*GENOME[:4], ("ENSG00000000009", "OTHER")], [9])


def test_the_packaged_copies_are_the_pseudoautosomal_genes() -> None:
    lines = gzip.decompress((DATA / GENES_FILE).read_bytes()).decode().splitlines()[1:]
    symbol = {gene_id: name for gene_id, name, _ in (line.split("\t") for line in lines)}
    pairs = {gene_id: x for gene_id, _, x in (line.split("\t") for line in lines) if x}
    assert len(pairs) == len(set(pairs.values())) == 47
    assert all(symbol[y] == symbol[x] for y, x in pairs.items())
    assert {"CD99", "CRLF2", "CSF2RA", "IL3RA", "IL9R", "P2RY8", "VAMP7"} <= {symbol[y] for y in pairs}


def _gene(symbol: str, aliases: str = "", ids: str = "") -> NcbiGene:
    return NcbiGene(symbol, frozenset({symbol, *aliases.split()}), frozenset(ids.split()))


@pytest.mark.parametrize(
    ("ncbi", "expected"),
    [
        pytest.param([_gene("AAA", "OLD1")], {"OLD1": "AAA"}, id="alias"),
        pytest.param([_gene("AAA", "OLD1"), _gene("BBB", "OLD1")], {}, id="alias-of-two"),
        pytest.param([_gene("AAA", "OLD-1"), _gene("BBB", "OLD1")], {}, id="two-spellings-of-two"),
        pytest.param([_gene("AAA", "OLD-1 OLD1")], {"OLD-1": "AAA", "OLD1": "AAA"}, id="two-spellings-of-one"),
        pytest.param([_gene("AAA", "BBB")], {}, id="symbol-of-another"),
        pytest.param([_gene("AAA", "B-BB")], {}, id="spelling-of-a-symbol"),
        pytest.param([_gene("AAA", "OLD1"), _gene("GONE", "OLD1")], {}, id="gene-that-is-not-in-the-release"),
        pytest.param([_gene("NEWER", "OLD1", "ENSG1")], {"NEWER": "AAA", "OLD1": "AAA"}, id="renamed-since"),
        pytest.param([_gene("THRU", "OLD1", "ENSG1"), _gene("AAA", "", "ENSG1")], {}, id="read-through"),
        pytest.param([_gene("NEWER", "", "ENSG1"), _gene("OTHER", "", "ENSG1")], {}, id="two-genes-of-one-id"),
        pytest.param([_gene("AAA", "OLD1", "ENSG2")], {}, id="symbol-moved"),
        pytest.param([_gene("AAA", "Old1 p53 12 O1 ENSG7 CD3 a_b")], {}, id="names-that-are-left-out"),
        pytest.param([_gene("AAA", "C1orf7 4-1BB")], {"C1orf7": "AAA", "4-1BB": "AAA"}, id="odd-names"),
    ],
)
def test_ambiguous_names_are_left_out(ncbi: list[NcbiGene], expected: dict[str, str]) -> None:
    assert unambiguous(ncbi, [Gene("ENSG1", "AAA"), Gene("ENSG2", "BBB"), Gene("ENSG3", "")]) == FIELD | expected


def test_the_genes_of_ncbi_are_read(tmp_path: Path) -> None:
    path = tmp_path / "org.Hs.eg.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            """
            CREATE TABLE gene_info (_id INTEGER, gene_name TEXT, symbol TEXT);
            CREATE TABLE alias (_id INTEGER, alias_symbol TEXT);
            CREATE TABLE ensembl (_id INTEGER, ensembl_id TEXT);
            INSERT INTO gene_info VALUES (2, 'two', 'BBB'), (1, 'one', 'AAA');
            INSERT INTO alias VALUES (1, 'OLD1'), (1, 'AAA'), (2, 'BBB');
            INSERT INTO ensembl VALUES (1, 'ENSG1');
            """
        )
    assert ncbi_genes(path) == [_gene("AAA", "OLD1", "ENSG1"), _gene("BBB")]


def test_equal_rows_make_equal_bytes(tmp_path: Path) -> None:
    write_table(tmp_path / "a.tsv.gz", ["source"], [("x", "y")])
    packed = (tmp_path / "a.tsv.gz").read_bytes()
    assert packed[4:8] == bytes(4), "the time of writing, which gzip would keep (RFC 1952, MTIME)"
    assert gzip.decompress(packed) == b"# source\nx\ty\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.tsv.gz"]


def test_another_source_is_refused(tmp_path: Path) -> None:
    wheel, target = tmp_path / "celltypist.whl", tmp_path / "data"
    target.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(GENCODE_CSV, "ENSG00000000001,LONE\n")
    with pytest.raises(SequelaError, match=r"GENCODEv44_Gene_id2name.csv: sha256 [0-9a-f]{64}, expected"):
        main([str(wheel), str(tmp_path / "none.sqlite"), str(target)])
    assert not list(target.iterdir())
