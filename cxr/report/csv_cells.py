"""Cells of tables that a spreadsheet opens: text of strangers must not become a formula there.

A cell that begins with =, +, -, @, a tab or a line break is run as a formula by Excel, LibreOffice and Google Sheets,
also where the file has quotation marks around it (OWASP, CSV injection). It gets an apostrophe in front, by which those
programs know text. Numbers stay numbers, negative ones too.
"""

import re
from typing import Any, Final

import pandas as pd

LEADING: Final = re.compile(r"\s*[=+\-@\t\r\n\0\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that would be run; blanks before it don't help, nor do the wide forms of the same letters."""
NUMBER: Final = re.compile(r"[+-]?(\d[\d,]*\.?\d*|\.\d+)([eE][+-]?\d+)?%?")


def harmless(cell: Any) -> Any:
    """A cell as a spreadsheet may have it; what is no text stays what it is."""
    if not isinstance(cell, str):
        return cell
    if "\r" in cell:
        # Python's writer puts no quotation marks around it, so what follows would begin a row, and a cell, of its own.
        cell = cell.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{cell}" if LEADING.match(cell) and not NUMBER.fullmatch(cell) else cell


def harmless_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts, names of columns and rows included, are harmless, for where it can be saved as CSV."""
    changed = {
        column: table[column].map(harmless)
        for column in table.columns
        # Of two columns with one name pandas gives a table; none of ours has that.
        if not pd.api.types.is_numeric_dtype(table[column])
    }
    done = table.assign(**changed) if all(isinstance(name, str) for name in changed) else table.map(harmless)
    return done.rename(columns=harmless, index=harmless)


def csv_text(table: pd.DataFrame, *, index: bool = False) -> str:
    """A table as the text of a CSV file."""
    return harmless_table(table).to_csv(index=index)
