"""Delimited text as studies publish it: separators, decimal commas, missing codes. Refusals name row and column."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import SequelaError
from features.schema import Variable

MISSING = frozenset({"", "na", "n/a", "nan", "null", "."})
"""Cells that hold no value, in lower case."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+", re.ASCII)
_MAX_CELL = 2**24


@dataclass(frozen=True, slots=True)
class Delimited:
    """A delimited file as text; missing cells are empty."""

    name: str
    """File name, for messages."""
    cells: pd.DataFrame
    """str columns; the index is the row as a spreadsheet counts it (the header is row 1)."""
    decimal_comma: bool
    """Whether a comma inside a number can only be a decimal mark, because columns are not separated by commas."""

    def refuse_where(self, wrong: NDArray[np.bool_] | pd.Series, column: str, rule: str, remedy: str) -> None:
        """Refuse the first row that is wrong.

        Raises:
            SequelaError: A row is wrong; the message names file, row, column, value, rule and remedy.
        """
        rows = np.flatnonzero(wrong)
        if len(rows):
            row, value = self.cells.index[int(rows[0])], self.cells[column].iloc[int(rows[0])]
            msg = f"{self.name} row {row}: {column} = {value!r}; {rule}. {remedy}"
            raise SequelaError(msg)

    def require(self, columns: Iterable[str]) -> None:
        """Check that columns exist.

        Raises:
            SequelaError: A column is absent.
        """
        for column in columns:
            if column not in self.cells.columns:
                near = get_close_matches(column, list(self.cells.columns), n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self.cells.columns)}."
                msg = f"{self.name}: column {column!r} is missing; every column that is named must exist. {hint}"
                raise SequelaError(msg)

    def text(self, column: str) -> pd.Series:
        """A column as text, empty where missing.

        Raises:
            SequelaError: The column is absent.
        """
        self.require([column])
        return self.cells[column]

    def present(self, column: str) -> pd.Series:
        """A column as text, which must not be missing anywhere.

        Raises:
            SequelaError: The column is absent, or a cell is missing.
        """
        values = self.text(column)
        self.refuse_where(values == "", column, "a value is required", "Fill the cell or remove the row.")
        return values

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A column as numbers, NaN where missing.

        Raises:
            SequelaError: The column is absent, or a cell is no number.
        """
        values = self.text(column)
        parsed = [parse_number(text, decimal_comma=self.decimal_comma) for text in values]
        numbers = np.array(parsed, dtype=np.float64)  # None becomes NaN
        self.refuse_where(
            np.isnan(numbers) & (values != ""),
            column,
            "a number is expected",
            "Correct the cell, or list the text as a missing code.",
        )
        return numbers

    def values(self, column: str, variable: Variable) -> pd.Series:
        """A variable in its type: float with NaN, or text with None, where missing.

        Raises:
            SequelaError: A number is outside the variable's range, or a level is not among its levels.
        """
        if variable.kind == "numeric":
            numbers = self.numbers(column)
            if variable.range is not None:
                low, high = variable.range
                outside = (numbers < low) | (numbers > high)
                self.refuse_where(outside, column, f"{low:g} to {high:g} is allowed", "Correct the cell, or the range.")
            return pd.Series(numbers, index=self.cells.index)
        levels = variable.levels or ()
        texts = self.text(column).map(lambda text: _level(text, levels) if text else None)
        if levels:
            unknown = texts.notna() & ~texts.isin(list(levels))
            rule = f"the levels are {', '.join(levels)}"
            self.refuse_where(unknown, column, rule, "Add the level, or correct the cell.")
        return texts

    def recoded(self, column: str, names: Mapping[str, str]) -> Delimited:
        """The same table with other names for the values of a column.

        Raises:
            SequelaError: The column is absent, or holds a value that has no name.
        """
        texts = self.text(column)
        unknown = ~texts.isin(["", *names])
        self.refuse_where(unknown, column, f"known are {', '.join(names)}", "Correct the cell.")
        return Delimited(self.name, self.cells.assign(**{column: texts.map({"": "", **names})}), self.decimal_comma)


def _level(text: str, levels: Sequence[str]) -> str:
    """Software without integers writes the level 2 as ``2.0``."""
    whole = text.removesuffix(".0")
    return whole if whole in levels and text not in levels else text


def parse_number(text: str, *, decimal_comma: bool) -> float | None:
    """A finite number from text, or None; ``1,5`` is 1.5, while ``1,500`` counts only where a comma must be decimal."""
    text = text.strip()
    if "," in text and (decimal_comma or not _THOUSANDS.fullmatch(text)):
        text = text.replace(",", ".")
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if np.isfinite(number) else None


def read_delimited(path: Path, *, missing: Sequence[str] = ()) -> Delimited:
    """Read a file separated by commas, semicolons or tabs, in UTF-8 or Windows-1252, plain or gzipped.

    Args:
        path: The file; its first row names the columns.
        missing: Codes for a missing value beside the customary ones (`MISSING`), in any case.

    Raises:
        SequelaError: The file is absent, empty, or not a table with one header row and unique column names.
    """
    text = _decode(path)
    header_line = text.split("\n", 1)[0]
    separator = max(",;\t", key=header_line.count)
    csv.field_size_limit(_MAX_CELL)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        msg = f"{path}: not readable as delimited text ({error}); check the quotes, or save the table again as CSV"
        raise SequelaError(msg) from error
    if not rows or len(rows) == 1:
        msg = f"{path}: no rows; a table has a header row and at least one row of values"
        raise SequelaError(msg)
    header = [name.strip() for name in rows[0]]
    _check_header(path, header)
    kept = {number: cells for number, cells in enumerate(rows[1:], start=2) if any(cell.strip() for cell in cells)}
    for number, cells in kept.items():
        if len(cells) != len(header):
            rule = f"{len(cells)} cells, while the header has {len(header)}"
            msg = f"{path.name} row {number}: {rule}. Check separators and quotes."
            raise SequelaError(msg)
    codes = MISSING | {code.strip().lower() for code in missing}
    clean = [[_clean(cell, codes) for cell in cells] for cells in kept.values()]
    frame = pd.DataFrame(clean, columns=header, index=list(kept), dtype=object)
    return Delimited(path.name, frame, decimal_comma=separator != ",")


def _clean(cell: str, missing: frozenset[str]) -> str:
    cell = cell.strip()
    return "" if cell.lower() in missing else cell


def _decode(path: Path) -> str:
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        msg = f"{path}: cannot be read ({reason}); give the path of a CSV file"
        raise SequelaError(msg) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    if "\x00" in text:
        msg = f"{path}: not text; save the table as CSV in UTF-8"
        raise SequelaError(msg)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_header(path: Path, header: list[str]) -> None:
    for name in header:
        if header.count(name) > 1:
            msg = f"{path.name} row 1: column {name!r} stands twice; column names must differ. Rename one of them."
            raise SequelaError(msg)
