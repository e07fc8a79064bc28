"""Delimited text as studies publish it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import SequelaError
from features.importers.delimited import parse_number, read_delimited
from features.schema import Variable


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("a,b\n1,x\n2,é\n", "t.csv"),
        ("a;b\r\n1;x\r\n2;é\r\n", "t.csv"),
        ("a\tb\n1\tx\n2\té\n", "t.tsv"),
        ("\ufeffa,b\n1,x\n2,é\n", "t.csv"),
        ("a;b\n1;x\n2;é\n".encode("cp1252"), "t.csv"),
        (gzip.compress("a,b\n1,x\n2,é\n".encode()), "t.csv.gz"),
        ('"a","b"\n"1","x"\n\n2, é \n', "t.csv"),
    ],
    ids=["comma", "semicolon-crlf", "tab", "bom", "windows-1252", "gzip", "quoted-with-blank-line"],
)
def test_reads_the_same_table_from_every_form(tmp_path: Path, content: str | bytes, name: str) -> None:
    table = read_delimited(write(tmp_path, content, name))
    assert list(table.text("a")) == ["1", "2"]
    assert list(table.text("b")) == ["x", "é"]


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    table = read_delimited(write(tmp_path, "a,b\n1,x\n,\nten,y\n"))
    with pytest.raises(SequelaError, match=r"t\.csv row 4: a = 'ten'; a number is expected\. Correct the cell"):
        table.numbers("a")


@pytest.mark.parametrize("code", ["", "NA", "n/a", "NaN", "null", ".", "-9", "n.D."])
def test_missing_codes(tmp_path: Path, code: str) -> None:
    table = read_delimited(write(tmp_path, f"a,b\n{code},x\n2,y\n"), missing=("-9", "N.D."))
    np.testing.assert_array_equal(table.numbers("a"), [np.nan, 2.0])


@pytest.mark.parametrize(
    ("text", "decimal_comma", "number"),
    [
        ("1.5", False, 1.5),
        ("1,5", False, 1.5),
        ("1,5", True, 1.5),
        ("1,500", True, 1.5),
        ("-.5e2", False, -50.0),
        ("1,500", False, None),
        ("1.234,5", True, None),
        ("1_000", False, None),
        ("inf", False, None),
        ("1e999", False, None),
        ("<0.5", False, None),
        ("", False, None),
        ("٣", False, None),
    ],
    ids=str,
)
def test_parse_number(text: str, decimal_comma: bool, number: float | None) -> None:
    assert parse_number(text, decimal_comma=decimal_comma) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_written_numbers_are_read_exactly(number: float) -> None:
    assert parse_number(repr(number), decimal_comma=False) == number
    assert parse_number(repr(number).replace(".", ","), decimal_comma=True) == number


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"no rows; a table has a header row"),
        ("a,b\n", r"no rows; a table has a header row"),
        ("a,a\n1,2\n", r"row 1: column 'a' stands twice"),
        ("a,b\n1,2\n1,2,3\n", r"t\.csv row 3: 3 cells, while the header has 2"),
        ('a,b\n1,"x\n', r"not readable as delimited text"),
        (b"a,b\n\x00\x01,2\n", r"not text; save the table as CSV"),
    ],
    ids=["empty", "header-only", "twin-columns", "ragged", "open-quote", "binary"],
)
def test_refuses_what_is_no_table(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(SequelaError, match=message):
        read_delimited(write(tmp_path, content))


def test_refuses_absent_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(SequelaError, match=r"cannot be read \(No such file"):
        read_delimited(tmp_path / "none.csv")
    with pytest.raises(SequelaError, match=r"cannot be read \(Not a gzipped file"):
        read_delimited(write(tmp_path, "a,b\n1,2\n", "t.csv.gz"))
    with pytest.raises(SequelaError, match=r"cannot be read \(Compressed file ended"):
        read_delimited(write(tmp_path, gzip.compress(b"a,b\n1,2\n")[:-4], "u.csv.gz"))


def test_a_missing_column_is_named_with_its_neighbour(tmp_path: Path) -> None:
    table = read_delimited(write(tmp_path, "age,sex\n1,f\n"))
    with pytest.raises(SequelaError, match=r"t\.csv: column 'aeg' is missing.*did you mean 'age'"):
        table.text("aeg")


def test_values_follow_their_variable(tmp_path: Path) -> None:
    table = read_delimited(write(tmp_path, "stage,edema,sex\n2.0,0.5,f\n,1.0,\n"))
    stage = table.values("stage", Variable(kind="ordinal", levels=("1", "2")))
    assert list(stage) == ["2", None]
    assert list(table.values("edema", Variable(kind="ordinal", levels=("0", "0.5", "1")))) == ["0.5", "1"]
    assert list(table.values("sex", Variable(kind="categorical"))) == ["f", None]
    with pytest.raises(SequelaError, match=r"row 2: sex = 'f'; the levels are m, w"):
        table.values("sex", Variable(kind="categorical", levels=("m", "w")))
    with pytest.raises(SequelaError, match=r"row 3: edema = '1\.0'; 0 to 0\.9 is allowed"):
        table.values("edema", Variable(kind="numeric", range=(0, 0.9)))


def test_recoded_refuses_a_value_without_a_name(tmp_path: Path) -> None:
    table = read_delimited(write(tmp_path, "sex\nw\nx\n"))
    with pytest.raises(SequelaError, match=r"row 3: sex = 'x'; known are w"):
        table.recoded("sex", {"w": "female"})
    assert list(table.recoded("sex", {"w": "female", "x": "unknown"}).text("sex")) == ["female", "unknown"]
