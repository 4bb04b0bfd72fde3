"""README.md says what the card, the benchmark and the settings say."""

import re

from cxr.settings import ROOT
from scripts.update_readme import README, updated


def test_numbers_are_those_of_the_card_the_benchmark_and_the_settings():
    text = README.read_text()
    assert updated(text) == text, "run: python -m scripts.update_readme"


def test_every_file_it_points_to_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        if "://" not in target:
            assert (ROOT / target).exists(), target
