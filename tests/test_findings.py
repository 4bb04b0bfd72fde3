"""The 15 categories against the table that defines them."""

import csv
from pathlib import Path

import pytest

from cxr.findings import CATEGORIES, FINDING_INDICES, FINDINGS, NO_FINDING, NO_FINDING_INDEX, display_name


def test_the_categories_are_the_columns_of_the_release_in_its_order(shared_data: Path) -> None:
    with (shared_data / "nih" / "preprocessed_data.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["", *CATEGORIES]


def test_no_finding_comes_first_and_the_14_findings_after_it() -> None:
    assert (len(CATEGORIES), len(set(CATEGORIES)), len(FINDINGS)) == (15, 15, 14)
    assert CATEGORIES[NO_FINDING_INDEX] == NO_FINDING == "No Finding"
    assert NO_FINDING not in FINDINGS
    assert tuple(CATEGORIES[k] for k in FINDING_INDICES) == FINDINGS


@pytest.mark.parametrize(
    ("category", "shown"),
    [
        ("Pleural_Thickening", "Pleural thickening"),
        ("No Finding", "No finding"),
        ("Hernia", "Hernia"),
        ("Lung Opacity", "Lung opacity"),
    ],
)
def test_a_reader_sees_sentence_case(category: str, shown: str) -> None:
    assert display_name(category) == shown
