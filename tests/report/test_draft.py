"""The draft of a report: the reader's words in the order of a report, and nobody else's."""

from datetime import timedelta

import pytest
from reported_study import AT, opinion_row, study_row

from cxr.findings import FINDINGS, display_name
from cxr.report.draft import report_text
from cxr.worklist.opinions import View

SEEN = View(
    "informed", abnormal="yes", findings={"Effusion": "present", "Pneumothorax": "absent", "Nodule": "unsure"},
    text="Blunted left angle.\nCompare with earlier films.",
)  # fmt: skip


def test_whole_draft() -> None:
    others = [name for name in FINDINGS if name not in SEEN.findings]
    assert report_text(study_row("PA", None), opinion_row(SEEN)) == (
        "CHEST RADIOGRAPH, DRAFT OF A REPORT\n"
        "Research software, not a medical device. Not for diagnosis.\n"
        "\n"
        "In the worklist: Study 12\n"
        "Accession number: A-17\n"
        "Study date: 2026-03-01\n"
        "Technique: 2 chest radiographs, PA view and a view that is not stated.\n"
        "\n"
        "FINDINGS\n"
        "Present: effusion.\n"
        "Unsure: nodule.\n"
        "Absent: pneumothorax.\n"
        f"Not addressed: {', '.join(display_name(name).lower() for name in others)}.\n"
        "\n"
        "REMARKS\n"
        "Blunted left angle.\n"
        "Compare with earlier films.\n"
        "\n"
        "IMPRESSION\n"
        "Effusion. Possibly nodule.\n"
        "\n"
        "Read by Dr Ada, 2026-03-02 09:30 UTC. Draft, not signed.\n"
    )


def test_model_and_names_have_no_word_in_it() -> None:
    said = report_text(study_row("PA"), opinion_row(View("informed", abnormal="no")))
    assert "IMPRESSION\nNone of the 14 findings is seen.\n" in said
    assert f"Absent: {', '.join(display_name(name).lower() for name in FINDINGS)}." in said
    for word in ("uncertain", "0.45", "model", "probab", "DOE", "JANE", "4711", "normal", "ruled out"):
        assert word not in said, word


@pytest.mark.parametrize(
    ("view", "impression"),
    [
        (View("blind", valid=False, findings={"Mass": "present"}), "Not a valid chest film."),
        (View("blind", abnormal="yes"), "Abnormal, without a finding that is named."),
        (View("blind", abnormal="unsure"), "Unsure whether there is a finding."),
        (View("blind"), "The reader has not said whether there is a finding."),
        (View("blind", abnormal="no", findings={"Mass": "unsure"}), "Possibly mass. No other finding is seen."),
        (
            View("blind", abnormal="no", findings={"Pleural_Thickening": "present"}),
            "Pleural thickening. The reader also said that there is no finding: please settle which holds.",
        ),
    ],
)
def test_impression(view: View, impression: str) -> None:
    assert f"IMPRESSION\n{impression}\n" in report_text(study_row("AP"), opinion_row(view))


def test_what_is_not_known_is_said_or_left_out() -> None:
    said = report_text(study_row(None, accession=None, acquired=None), opinion_row(View("blind")))
    assert "In the worklist: Study 12\nTechnique" in said
    assert "Technique: Chest radiograph, a view that is not stated.\n" in said
    assert "Accession" not in said
    assert "Study date" not in said
    assert "REMARKS" not in said


def test_only_who_said_it_signs_and_with_the_time_of_saying_it() -> None:
    read_by_ada = study_row("PA", reader="Cy", read_by="Dr Ada", read_at=AT)
    said = report_text(read_by_ada, opinion_row(SEEN, "Ben", AT + timedelta(hours=1)))
    assert said.endswith("\n\nRead by Ben, 2026-03-02 10:30 UTC. Draft, not signed.\n")
    nothing = report_text(read_by_ada, None)
    assert nothing.endswith("has not said whether there is a finding.\n\nDraft, not signed.\n")
    assert not [word for word in ("Ada", "Ben", "Cy", "09:30") if word in nothing]
