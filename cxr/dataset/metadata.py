"""How NIH's `Data_Entry_2017*.csv` names and writes what it says of films."""

from typing import Final

import pandas as pd

METADATA_NAMES: Final = {
    "Image Index": "image_id",
    "Patient ID": "patient",
    "Follow-up #": "follow_up",
    "Patient Age": "age",
    "Patient Gender": "sex",
    "Patient Sex": "sex",
    "View Position": "view",
}
"""NIH's names of the columns (of several versions) and ours; further columns are passed over."""
YEARS: Final = {"Y": 1.0, "M": 1 / 12, "D": 1 / 365.25}


def years(ages: pd.Series) -> pd.Series:
    """Ages such as "57", "057Y", "013M" or "011D" in years (float, NaN for anything else)."""
    parts = ages.astype(str).str.extract(r"^(\d{1,3})(?:\.0*)?([YMD]?)$")
    return pd.to_numeric(parts[0], errors="coerce").astype(float) * parts[1].replace("", "Y").map(YEARS)
