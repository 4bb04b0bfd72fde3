"""`python -m cxr card`."""

from pathlib import Path

import pytest

from cxr.cli import main
from cxr.model.bundle import bundle_path, load_bundle
from cxr.report.markdown import to_markdown
from cxr.report.model_card import document


def test_the_card_goes_to_standard_output_or_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = load_bundle(bundle_path("default"))
    expected = to_markdown(document(bundle.card, bundle.sha256))
    assert main(["card"]) == 0
    assert capsys.readouterr().out == expected
    assert main(["card", "--model", "default", "--markdown", str(tmp_path / "card.md")]) == 0
    assert (tmp_path / "card.md").read_text() == expected


def test_a_model_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", "--model", "nowhere"]) == 1
    assert capsys.readouterr().err.startswith("There is no model named 'nowhere'")
