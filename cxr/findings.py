"""The 15 categories of NIH ChestX-ray14 and the order in which everything here keeps them.

This is the only place that spells them. Column `k` of every label matrix, logit vector and map is `CATEGORIES[k]`;
the order is that of `preprocessed_data.csv` and of the Kaggle TFRecord release.
"""

from typing import Final

NO_FINDING: Final = "No Finding"

FINDINGS: Final[tuple[str, ...]] = (
    "Atelectasis",
    "Consolidation",
    "Infiltration",
    "Pneumothorax",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Effusion",
    "Pneumonia",
    "Pleural_Thickening",
    "Cardiomegaly",
    "Nodule",
    "Mass",
    "Hernia",
)
"""The 14 findings, as the data set spells them."""

CATEGORIES: Final[tuple[str, ...]] = (NO_FINDING, *FINDINGS)
"""The 15 columns: "No Finding", then the 14 findings. "No Finding" excludes the other 14."""

NO_FINDING_INDEX: Final = CATEGORIES.index(NO_FINDING)
FINDING_INDICES: Final[tuple[int, ...]] = tuple(CATEGORIES.index(name) for name in FINDINGS)


def display_name(category: str) -> str:
    """A category, or a pathology of an imported model, as a reader sees it: "Pleural_Thickening" becomes "Pleural
    thickening"."""
    return category.replace("_", " ").capitalize()
