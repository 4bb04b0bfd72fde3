"""What the three tables of NIH ChestX-ray14 must be like, as pandera schemas with a sentence for each rule."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pandera.pandas as pa

from cxr.dataset.csv_file import Problem
from cxr.dataset.table import FILM_SIDE, SEXES, VIEWS
from cxr.findings import CATEGORIES, FINDINGS, NO_FINDING

IMAGE_ID: Final = r"[0-9]{8}_[0-9]{3}\.png"
ID_REMEDY: Final = "An image id has eight digits of the patient, “_”, three digits and “.png”, as in 00000001_000.png."
MOST_AGE: Final = 120
SHOWN: Final = 15
"""Columns that a sentence lists at most."""
LETTERS: Final = 40
"""Of a name or a value, in a sentence."""
BOX_FINDINGS: Final = {"Infiltrate": "Infiltration"} | {name: name for name in FINDINGS}
"""NIH's box list spells one finding differently."""


@dataclass(frozen=True)
class Rule:
    """One thing that must hold, for each row.

    Attributes:
        good: takes the table (or the rule's column), returns True for the rows where it holds.
        what, remedy: the sentence when it does not; `{}` in `what` is the first wrong value.
        column: the column that it is about; None for the whole row.
    """

    good: Callable[..., pd.Series]
    what: str
    remedy: str
    column: str | None = None


def matching(pattern: str) -> Callable[[pd.Series], pd.Series]:
    """True for the cells that are wholly as a regular expression says."""
    return lambda cells: cells.str.fullmatch(pattern)


def among(values: Sequence[str]) -> Callable[[pd.Series], pd.Series]:
    """True for the cells that are one of some values."""
    return lambda cells: cells.isin(list(values))


def _unique(cells: pd.Series) -> pd.Series:
    return ~cells.duplicated(keep=False)


def _exclusive(table: pd.DataFrame) -> pd.Series:
    """Exactly one of "No Finding" and "any finding"; rows with a cell that is no label are another rule's matter."""
    labels = table[list(CATEGORIES)]
    any_finding = (labels[list(FINDINGS)] == "1").any(axis=1)
    return ((labels[NO_FINDING] == "1") != any_finding) | ~labels.isin(["0", "1"]).all(axis=1)


def _same_patient(table: pd.DataFrame) -> pd.Series:
    """The first digits of the image id are the patient; rows where either is none are another rule's matter."""
    patient = pd.to_numeric(table["patient"], errors="coerce")
    from_id = pd.to_numeric(table["image_id"].str[:8], errors="coerce")
    return (patient == from_id) | patient.isna() | from_id.isna()


def _inside(table: pd.DataFrame) -> pd.Series:
    x, y, w, h = (pd.to_numeric(table[column], errors="coerce") for column in "xywh")
    slack = 1  # the list has fractions of pixels
    inside = (x >= -slack) & (y >= -slack) & (x + w <= FILM_SIDE + slack) & (y + h <= FILM_SIDE + slack)
    return (inside & (w > 0) & (h > 0)) | x.isna() | y.isna() | w.isna() | h.isna()


def _id_rules(column: str) -> tuple[Rule, ...]:
    return (Rule(matching(IMAGE_ID), "“{}” is not an image id", ID_REMEDY, column),)


UNIQUE: Final = "“{}” occurs more than once"
FREE_LABEL_RULES: Final = (
    Rule(_unique, UNIQUE, "Keep one row for each film.", ""),
    *(Rule(among("01"), f"“{name}” holds “{{}}”, neither 0 nor 1", "Put 0 or 1.", name) for name in CATEGORIES),
    Rule(
        _exclusive,
        "“No Finding” stands with a finding, or neither stands",
        "“No Finding” is 1 where all 14 findings are 0, and 0 elsewhere.",
    ),
)
"""Of a table of labels whose first column has an empty name and holds whatever the films are called."""
LABEL_RULES: Final = (*_id_rules(""), *FREE_LABEL_RULES)
"""Of `preprocessed_data.csv`, where films are called by NIH's image ids."""

METADATA_RULES: Final = (
    *_id_rules("image_id"),
    Rule(_unique, UNIQUE, "Keep one row for each film.", "image_id"),
    Rule(matching(r"[0-9]{1,8}"), "The patient “{}” is not a number", "Put the patient's number.", "patient"),
    Rule(matching(r"[0-9]{1,4}"), "The follow-up “{}” is not a number", "Put 0, 1, 2 and so on.", "follow_up"),
    Rule(matching(r"[0-9]{1,3}[YMD]?"), "The age “{}” is not one", "Put years, as in 57 or 057Y.", "age"),
    Rule(
        _same_patient,
        "The patient is not the one of the image id",
        "The first eight digits of the image id are the patient's number.",
    ),
    Rule(among(SEXES), "The sex “{}” is not one of F and M", "Put F or M.", "sex"),
    Rule(among(VIEWS), "The view “{}” is not one of PA and AP", "Put PA or AP.", "view"),
)
"""Of `Data_Entry_2017*.csv`, with the names of `METADATA_NAMES`."""

BOX_RULES: Final = (
    *_id_rules("image_id"),
    Rule(among(list(BOX_FINDINGS)), "“{}” is not one of the 14 findings", "Spell it as NIH does.", "finding"),
    *(
        Rule(matching(r"-?[0-9]+(\.[0-9]+)?"), f"“{column}” holds “{{}}”, not a number", "Put pixels.", column)
        for column in "xywh"
    ),
    Rule(_inside, f"A box does not lie in a film of {FILM_SIDE} x {FILM_SIDE} pixels", "Give x, y, width and height."),
)
"""Of `BBox_List_2017.csv`, with the columns image_id, finding, x, y, w, h."""


def problems(
    table: pd.DataFrame, columns: Sequence[str], rules: Sequence[Rule], called: Mapping[str, str] | None = None
) -> list[Problem]:
    """Everything in which a table breaks its rules.

    Args:
        table: cells as text, indexed by line number.
        columns: the names that its columns must have, in this order.
        rules: that its rows must follow; those that need a column that is missing are passed over.
        called: what the file calls the columns, where that is something else.
    """
    present = table.loc[:, ~table.columns.duplicated()]
    applicable = [
        rule
        for rule in rules
        if rule.column in present or (rule.column is None and set(columns) <= set(present.columns))
    ]
    named = {f"rule {k}": rule for k, rule in enumerate(applicable)}
    checks = {name: pa.Check(rule.good, name=name, n_failure_cases=1) for name, rule in named.items()}
    schema = pa.DataFrameSchema(
        {
            column: pa.Column(checks=[checks[n] for n, rule in named.items() if rule.column == column], required=False)
            for column in columns
        },
        checks=[checks[name] for name, rule in named.items() if rule.column is None],
    )
    found = _column_problems(list(table.columns), list(columns), called or {})
    if not len(table):
        return found
    try:
        schema.validate(present, lazy=True)
    except pa.errors.SchemaErrors as errors:
        broken = {str(name) for name in errors.failure_cases["check"]}
        for name, rule in named.items():
            if name in broken:
                found.append(_problem(rule, present))
    return found


def _problem(rule: Rule, table: pd.DataFrame) -> Problem:
    given = table if rule.column is None else table[rule.column]
    wrong = table.index[~np.asarray(rule.good(given), bool)]
    value = "" if rule.column is None else str(given.loc[wrong[0]])[:LETTERS]
    return Problem(rule.what.replace("{}", value), rule.remedy, wrong)


def _column_problems(given: list[str], expected: list[str], called: Mapping[str, str]) -> list[Problem]:
    """What is wrong with the header."""

    def listed(names: Sequence[str]) -> str:
        shown = [
            f"“{called.get(name, name)[:LETTERS]}”" if name else "the one without a name" for name in names[:SHOWN]
        ]
        return ", ".join(shown) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")

    times, known = Counter(given), set(expected)
    found = []
    if missing := [name for name in expected if name not in times]:
        found.append(Problem(f"Missing columns: {listed(missing)}", "Add them."))
    if unknown := [name for name in times if name not in known]:
        found.append(Problem(f"Columns that do not belong here: {listed(unknown)}", "Remove or rename them."))
    if twice := [name for name, count in times.items() if count > 1]:
        found.append(Problem(f"Columns that occur more than once: {listed(twice)}", "Keep one of each."))
    if not found and given != expected:
        order = ", ".join(called.get(name, name) or "image id" for name in expected)
        found.append(Problem("The columns are in another order", f"Put them so: {order}."))
    return found
