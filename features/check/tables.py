"""Reads a table of a cohort folder, .csv or .parquet, as text columns that know their spreadsheet rows."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from features.check.findings import MOST, Findings, shorten
from features.patients import FloatArray, IntArray, TextArray

MISSING_TEXT = frozenset({"", "NA", "N/A"})
MISSING_NUMBER = MISSING_TEXT | {"NaN", "nan", "NULL", "null", "None"}
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True, slots=True)
class Text:
    """A column of text, each distinct value held once."""

    levels: TextArray
    """(levels,): distinct values, trimmed; None for missing."""
    code: IntArray
    """(rows,): index into `levels`."""

    def __len__(self) -> int:
        return len(self.code)

    @property
    def each(self) -> TextArray:
        """(rows,): str, or None where missing."""
        return self.levels[self.code]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """(rows,): whether the value is missing."""
        return self.rows_of(np.array([level is None for level in self.levels], dtype=bool))

    def rows_of(self, of_level: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(rows,): a property of levels, of each row."""
        return of_level[self.code]

    def mapped(self, numbers: Mapping[str, float]) -> FloatArray:
        """(rows,): the number of each row's value, NaN where there is none."""
        of_level = np.array([numbers.get(level, np.nan) for level in self.levels], dtype=float)
        return of_level[self.code]

    def first_rows(self, table: Table, wrong: Callable[[str], bool]) -> list[tuple[int, str]]:
        """Spreadsheet row of the first use, and value, of each distinct value that is `wrong`."""
        codes, first = np.unique(self.code, return_index=True)
        used = [(int(row), self.levels[code]) for code, row in zip(codes, first, strict=True)]
        return [(int(table.rows[row]), level) for row, level in sorted(used) if level is not None and wrong(level)]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as read: nothing converted yet."""

    file: str
    columns: Mapping[str, pa.StringArray]
    rows: IntArray
    """(rows,): row of a spreadsheet; the header is row 1."""

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def text(self, column: str) -> Text:
        """A column as text; `MISSING_TEXT` is missing."""
        encoded = self.columns[column].dictionary_encode()
        levels = np.array([None if v in MISSING_TEXT else v for v in encoded.dictionary.to_pylist()], dtype=object)
        return Text(levels, encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64))

    def numbers(self, column: str, findings: Findings, *, required: bool = False) -> FloatArray:
        """(rows,): a column as float, NaN where missing.

        What is no finite number is a finding ``not-a-number``; what is missing although required, ``missing-value``.
        """
        values = self.columns[column]
        numeric = pc.match_substring_regex(values, _NUMBER)
        missing = _mask(pc.is_in(values, pa.array(sorted(MISSING_NUMBER))))
        numbers = pc.if_else(numeric, values, None).cast(pa.float64()).to_numpy(zero_copy_only=False).astype(float)
        bad = (np.isnan(numbers) & ~missing) | np.isinf(numbers)
        if bad.any():
            shown = values.filter(pa.array(bad)).slice(0, MOST).to_pylist()
            findings.add_rows("not-a-number", self.file, self.rows[bad], shown, field=column)
        if required and missing.any():
            findings.add_rows("missing-value", self.file, self.rows[missing], field=column)
        return np.where(bad, np.nan, numbers)


def _mask(values: pa.BooleanArray) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = values.to_numpy(zero_copy_only=False).astype(bool)
    return mask


def table_files(folder: Path, name: str) -> list[Path]:
    """The files of a table that there are: one, none, or one too many."""
    return [path for suffix in (".csv", ".parquet") if (path := folder / f"{name}{suffix}").exists()]


def read_table(folder: Path, name: str, findings: Findings) -> Table | None:
    """Read ``<name>.csv`` or ``<name>.parquet``; None when there is none, or when it cannot be read (a finding)."""
    files = table_files(folder, name)
    if not files:
        return None
    if len(files) > 1:
        findings.add("ambiguous-file", files[0].name, other=files[1].name)
        return None
    try:
        table = _read_csv(files[0], findings) if files[0].suffix == ".csv" else _read_parquet(files[0], findings)
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        findings.add("unreadable-table", files[0].name, why=shorten(str(error)))
        return None
    return None if table is None else _without_blank_rows(table)


def _read_csv(path: Path, findings: Findings) -> Table | None:
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if not _is_sound_text(content, path.name, findings):
        return None
    header = _header(content)
    if not _is_sound_header(header, path.name, findings):
        return None
    table, ragged = _parse(content, len(header))
    if ragged and ragged[0].number == 1:
        msg = "the quotation marks of its header do not match"
        raise ValueError(msg)
    for row in ragged:
        findings.add("ragged-row", path.name, row=row.number, n=row.actual_columns, expected=row.expected_columns)
    skipped = np.array([row.number for row in ragged], dtype=np.int64)
    rows = np.delete(np.arange(1, table.num_rows + len(ragged) + 1), skipped - 1)[1:]
    columns = _named(header, [_trimmed(table.column(i).slice(1)) for i in range(len(header))])
    for name, values in columns.items():
        broken = _mask(pc.match_substring(values, "\n"))
        if broken.any():
            findings.add_rows("line-break", path.name, rows[broken], field=name)
    return Table(path.name, columns, rows)


def _named(header: list[str], columns: list[pa.StringArray]) -> dict[str, pa.StringArray]:
    """Columns by name. Spreadsheets leave columns with neither name nor value behind; they are no columns."""
    named = {name or f"(column {i + 1})": column for i, (name, column) in enumerate(zip(header, columns, strict=True))}
    empty = {name for name in set(named) - set(header) if not pc.any(pc.not_equal(named[name], "")).as_py()}
    return {name: column for name, column in named.items() if name not in empty}


def _parse(content: bytes, n_columns: int) -> tuple[pa.Table, list[pyarrow.csv.InvalidRow]]:
    """All rows, the header among them, as text; and the rows that have more or fewer values than the header."""
    ragged: list[pyarrow.csv.InvalidRow] = []

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    names = [str(i) for i in range(n_columns)]
    table = pyarrow.csv.read_csv(
        io.BytesIO(content),
        # Without threads and in one block, so that rows are counted.
        pyarrow.csv.ReadOptions(use_threads=False, column_names=names, block_size=len(content) + 1),
        pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip),
        pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )
    return table, ragged


def _is_sound_text(content: bytes, file: str, findings: Findings) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        findings.add("not-utf8", file, row=row)
        return False
    if not content.strip():
        findings.add("empty-file", file)
        return False
    if content.count(b'"') % 2:
        findings.add("unbalanced-quote", file)
        return False
    return True


def _header(content: bytes) -> list[str]:
    first = next(csv.reader(io.StringIO(content[:_LONGEST_HEADER].decode("utf-8", errors="ignore"), newline="")), [])
    return [name.strip() for name in first]


def _is_sound_header(header: list[str], file: str, findings: Findings) -> bool:
    if not any(header):
        findings.add("empty-file", file, row=1)
        return False
    separator = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), None)
    if separator is not None:
        findings.add("wrong-separator", file, row=1, mark=repr(separator))
        return False
    twice = [name for name, n in Counter(header).items() if n > 1 and name]
    for name in twice:
        findings.add("duplicate-column", file, row=1, field=name)
    return not twice


def _read_parquet(path: Path, findings: Findings) -> Table | None:
    with pyarrow.parquet.ParquetFile(path) as file:
        table = file.read()
    header = [name.strip() for name in table.column_names]
    if not _is_sound_header(header, path.name, findings):
        return None
    table.validate(full=True)
    columns: dict[str, pa.StringArray] = {}
    for name, column in zip(header, table.columns, strict=True):
        try:
            columns[name] = _trimmed(_as_text(column))
        except pa.ArrowException:
            findings.add("unreadable-column", path.name, field=name, kind=column.type)
    return Table(path.name, columns, np.arange(2, table.num_rows + 2))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    return column.cast(pa.string()).fill_null("")


def _trimmed(column: pa.ChunkedArray) -> pa.StringArray:
    trimmed = pc.utf8_trim_whitespace(column)
    return trimmed.combine_chunks() if isinstance(trimmed, pa.ChunkedArray) else trimmed


def _without_blank_rows(table: Table) -> Table:
    """Spreadsheets leave rows without any value behind; they are no rows."""
    filled = np.zeros(len(table), dtype=bool)
    for values in table.columns.values():
        filled |= _mask(pc.not_equal(values, ""))
    if filled.all():
        return table
    kept = pa.array(filled)
    return Table(table.file, {name: values.filter(kept) for name, values in table.columns.items()}, table.rows[filled])
