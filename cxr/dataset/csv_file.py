"""A CSV file that somebody made, read so that everything that is wrong with it can be told at once, row by row."""

import csv
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

MOST_ROWS: Final = 2_000_000
"""Nearly twenty times the release; a table beyond that is not one of films."""
MOST_COLUMNS: Final = 1000
MOST_BYTES: Final = 500_000_000
"""Of an unpacked file."""
SHOWN_ROWS: Final = 5


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a table.

    Attributes:
        what: what is wrong, with the value.
        remedy: what to do.
        rows: line numbers in the file where it is so, ascending; the header is line 1. Empty if it is about the file.
    """

    what: str
    remedy: str
    rows: Sequence[int] = ()

    def __str__(self) -> str:
        """As in "“Mass” holds “2”, neither 0 nor 1 (rows 3, 9, 14). Put 0 or 1.\""""
        where = ""
        if len(self.rows):
            shown = [f"{row:,}" for row in self.rows[:SHOWN_ROWS]]
            more = len(self.rows) - len(shown)
            listed = ", ".join(shown) + (f" and {more:,} more" if more else "")
            where = f" ({'row' if len(self.rows) == 1 else 'rows'} {listed})"
        return f"{self.what}{where}. {self.remedy}"


class InvalidTable(ValueError):
    """A table that can't be used.

    Attributes:
        name: of the file.
        problems: all of them.
    """

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        super().__init__(f"{name} can't be used: {' '.join(map(str, problems))}")
        self.name = name
        self.problems = tuple(problems)


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a CSV file as text.

    Attributes:
        frame: a column of strings for each column of the file, indexed by line number.
        problems: empty rows, and rows that had too few or too many cells; they are left out of `frame`.
    """

    frame: pd.DataFrame
    problems: tuple[Problem, ...]


def read_cells(data: bytes, name: str) -> Cells:
    """Read a comma-separated file in UTF-8, with or without a byte order mark, packed by gzip or not.

    Args:
        data: the file.
        name: of the file; what ends in ".gz" is unpacked.

    Raises:
        InvalidTable: it is empty, not text in UTF-8, not separated by commas, or has more than `MOST_ROWS` rows.
    """

    def refused(what: str, remedy: str) -> InvalidTable:
        return InvalidTable(name, [Problem(what, remedy)])

    if name.lower().endswith(".gz"):
        data = _unpacked(data, name)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise refused("It is text in UTF-16", "Save it as “CSV UTF-8”.")
    if b"\0" in data:
        raise refused("It holds bytes that are not text", "Copy it anew, or save it as “CSV UTF-8”.")
    data = data.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    if not data.strip():
        raise refused("It is empty", "Choose the file that holds the table.")
    body = data.lstrip(b"\r\n")
    above = data[: len(data) - len(body)].count(b"\n")
    rows = body.count(b"\n")
    if rows > MOST_ROWS:
        what = f"It has {rows:,} rows, and at most {MOST_ROWS:,} are read"
        raise refused(what, "Choose a table with a row for each film.")
    try:
        text = body.decode()
        header = next(csv.reader(io.StringIO(text, newline="")))
        for mark, word in ((";", "semicolons"), ("\t", "tabs")):
            if len(header) == 1 and mark in header[0]:
                raise refused(f"Its columns are separated by {word}", "Separate them by commas.")
        if len(header) > MOST_COLUMNS:
            raise refused(f"It has {len(header):,} columns", "Choose the file that holds the table.")
        cells = _parse_quoted(text, header) if '"' in text else _parse(body, header)
    except UnicodeDecodeError as error:
        raise refused("It is not text in UTF-8", "Save it as “CSV UTF-8”.") from error
    except (csv.Error, pa.ArrowInvalid) as error:
        what = "It can't be told apart into rows and cells, as when a quotation mark is not closed"
        raise refused(what, "Save it anew as “CSV UTF-8”.") from error
    if above:
        cells.frame.index += above
        cells = Cells(
            cells.frame, tuple(Problem(p.what, p.remedy, [r + above for r in p.rows]) for p in cells.problems)
        )
    return cells


def _unpacked(data: bytes, name: str) -> bytes:
    content = b""
    while data:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            content += unpacker.decompress(data, MOST_BYTES - len(content) + 1)
        except zlib.error as error:
            raise _not_gzip(name) from error
        if len(content) > MOST_BYTES:
            what = f"It holds more than {MOST_BYTES:,} bytes when unpacked"
            raise InvalidTable(name, [Problem(what, "Choose a table with a row for each film.")])
        if not unpacker.eof:
            raise _not_gzip(name)
        # A file may have several parts.
        data = unpacker.unused_data.lstrip(b"\0")
    return content


def _not_gzip(name: str) -> InvalidTable:
    return InvalidTable(name, [Problem("It is not a sound gzip file", "Unpack it yourself or copy it anew.")])


def _parse_quoted(text: str, header: list[str]) -> Cells:
    """As `_parse`, for a file with quotation marks, whose cells may go over several lines. Raises `csv.Error`."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    next(reader)
    lines, rows, bad = [], [], []
    line = reader.line_num + 1
    for row in reader:
        if len(row) == len(header) or not row:
            lines.append(line)
            rows.append(row or [""] * len(header))
        else:
            bad.append(line)
        line = reader.line_num + 1
    return _cells(pd.DataFrame(rows, index=lines, columns=header, dtype=str), bad)


def _parse(data: bytes, header: list[str]) -> Cells:
    """All cells below the header, indexed by line number, without rows that are empty or of another width."""
    bad: list[int] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        bad.append(row.number - 2)
        return "skip"

    if b"\n" not in data:
        return Cells(pd.DataFrame(columns=header, dtype=str), ())
    names = [str(k) for k in range(len(header))]
    table = pa.csv.read_csv(
        io.BytesIO(data),
        # One thread: with more of them Arrow does not know the numbers of the rows that it skips.
        pa.csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1),
        pa.csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=skip),
        pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )
    lines = np.arange(2, table.num_rows + len(bad) + 2)
    frame = table.to_pandas(split_blocks=True).set_axis(header, axis=1).set_axis(np.delete(lines, bad), axis=0)
    return _cells(frame, [int(lines[k]) for k in bad])


def _cells(frame: pd.DataFrame, bad: list[int]) -> Cells:
    """Cells without empty rows; `bad` are the lines of rows of another width."""
    width = len(frame.columns)
    empty = np.logical_and.reduce([(frame.iloc[:, k] == "").to_numpy(bool) for k in range(width)])
    found = []
    if bad:
        found.append(Problem(f"Not all rows have {width} cells", "Give them as many cells as the header has.", bad))
    if empty.any():
        found.append(Problem("There are empty rows", "Remove them.", frame.index[empty].tolist()))
        frame = frame[~empty]
    return Cells(frame, tuple(found))
