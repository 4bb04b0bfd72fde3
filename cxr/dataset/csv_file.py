"""A CSV file that somebody made, read so that everything that is wrong with it can be told at once, row by row."""

import csv
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

MOST_ROWS: Final = 2_000_000
"""Nearly twenty times the release; a table beyond that is not one of films."""
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
        """As in "“Mass” holds “2”, which is neither 0 nor 1 (rows 3, 9 and 14). Put 0 or 1.\""""
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
        problems: rows that had too few or too many cells; they are left out of `frame`.
    """

    frame: pd.DataFrame
    problems: tuple[Problem, ...]


def read_cells(data: bytes, name: str, columns: int | None = None) -> Cells:
    """Read a comma-separated file in UTF-8, with or without a byte order mark, packed by gzip or not.

    Args:
        data: the file.
        name: of the file; what ends in ".gz" is unpacked.
        columns: how many columns to keep, from the left; None keeps all.

    Raises:
        InvalidTable: it is empty, not text in UTF-8, not separated by commas, or has more than `MOST_ROWS` rows.
    """
    if name.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise InvalidTable(
                name, [Problem("It is not a gzip file", "Unpack it yourself or copy it anew.")]
            ) from error
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InvalidTable(name, [Problem("It is text in UTF-16", "Save it as “CSV UTF-8”.")])
    data = data.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    if not data.strip():
        raise InvalidTable(name, [Problem("It is empty", "Choose the file that holds the table.")])
    lines = data.count(b"\n")
    if lines > MOST_ROWS:
        what = f"It has {lines:,} rows, and at most {MOST_ROWS:,} are read"
        raise InvalidTable(name, [Problem(what, "Choose a table with a row for each film.")])
    try:
        data.decode()
        header = next(csv.reader(io.StringIO(data.partition(b"\n")[0].decode())))
        frame, bad = _parse(data, len(header))
    except (UnicodeDecodeError, StopIteration, csv.Error, pa.ArrowInvalid) as error:
        raise InvalidTable(name, [Problem("It is not a text table in UTF-8", "Save it as “CSV UTF-8”.")]) from error
    if len(header) == 1 and ";" in header[0]:
        raise InvalidTable(name, [Problem("Its columns are separated by semicolons", "Separate them by commas.")])
    frame.columns = pd.Index(header)
    problems = (Problem(f"Not all rows have {len(header)} cells", "Give them as many cells as the header has.", bad),)
    return Cells(frame if columns is None else frame.iloc[:, :columns], problems if bad else ())


def _parse(data: bytes, width: int) -> tuple[pd.DataFrame, list[int]]:
    """All cells below the header, indexed by line number, and the numbers of the lines of another width."""
    bad: list[int] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        bad.append(row.number)
        return "skip"

    if b"\n" not in data:
        return pd.DataFrame({str(k): pd.Series(dtype=str) for k in range(width)}), bad
    names = [str(k) for k in range(width)]
    table = pa.csv.read_csv(
        io.BytesIO(data),
        # One thread: with more of them Arrow does not know the numbers of the rows that it skips.
        pa.csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1),
        pa.csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=skip),
        pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )
    lines = np.setdiff1d(np.arange(2, table.num_rows + len(bad) + 2), bad)
    return table.to_pandas(split_blocks=True).set_axis(lines, axis=0), bad
