"""The rule that makes labels of what readers said."""

import pytest
from filled_worklist import NOW

from cxr.findings import CATEGORIES
from cxr.worklist.feedback_labels import LeftOut, counting, labels_of
from cxr.worklist.opinions import OpinionRow, Stage, View

NORMAL = View("informed", abnormal="no")
MASS = View("informed", abnormal="yes", findings={"Mass": "present", "Nodule": "absent"})
BOTH = View("informed", findings={"Mass": "present", "Nodule": "present"})


def row(number: int, reader: str, stage: Stage) -> OpinionRow:
    return OpinionRow(number, 1, reader, NOW, View(stage), None)


def test_last_informed_opinion_of_each_reader_counts_else_the_last_blind_one() -> None:
    given = [
        row(1, "Ben", "blind"), row(2, "Ada", "blind"), row(3, "Ada", "informed"), row(4, "Ada", "informed"),
        row(5, "Ben", "blind"), row(6, "Ada", "blind"),
    ]  # fmt: skip
    assert [opinion.id for opinion in counting(given)] == [4, 5]


@pytest.mark.parametrize(
    ("views", "positive"),
    [
        ([NORMAL], {"No Finding"}),
        ([MASS], {"Mass"}),
        ([BOTH], {"Mass", "Nodule"}),
        # Two against one, question by question.
        ([MASS, BOTH, NORMAL], {"Mass"}),
        ([NORMAL, NORMAL, BOTH], {"No Finding"}),
        # One who did not say whether there is a finding has no vote.
        ([MASS, View("informed", findings={"Mass": "absent"})], {"Mass"}),
        # Nor one who contradicts himself, nor one who thinks that the film is none.
        ([MASS, View("informed", abnormal="no", findings={"Hernia": "present"})], {"Mass"}),
        ([MASS, MASS, View("informed", valid=False)], {"Mass"}),
        # Unsure is one answer among others.
        ([MASS, MASS, View("informed", abnormal="yes", findings={"Mass": "unsure", "Hernia": "unsure"})], {"Mass"}),
    ],
)
def test_labels(views: list[View], positive: set[str]) -> None:
    labels = labels_of(views)
    assert not isinstance(labels, LeftOut), labels
    assert {name for name, label in zip(CATEGORIES, labels, strict=True) if label} == positive


@pytest.mark.parametrize(
    ("views", "why"),
    [
        ([View("informed", valid=False)], LeftOut.NOT_VALID),
        ([MASS, View("informed", valid=False)], LeftOut.DIVIDED),
        ([MASS, NORMAL], LeftOut.DIVIDED),
        ([MASS, BOTH], LeftOut.DIVIDED),
        ([View("informed", abnormal="unsure")], LeftOut.UNSURE),
        ([View("informed", abnormal="yes", findings={"Mass": "present", "Hernia": "unsure"})], LeftOut.UNSURE),
        ([View("informed")], LeftOut.UNANSWERED),
        ([View("informed", findings={"Mass": "absent"}, text="clear")], LeftOut.UNANSWERED),
        ([View("informed", abnormal="yes", findings={"Mass": "absent"})], LeftOut.UNNAMED),
        ([View("informed", abnormal="no", findings={"Mass": "present"})], LeftOut.CONTRADICTORY),
        # Three readers, three findings: most say abnormal, and most say that it is not this one.
        ([View("informed", findings={name: "present"}) for name in ("Mass", "Hernia", "Edema")], LeftOut.DIVIDED),
    ],
)
def test_studies_without_labels(views: list[View], why: LeftOut) -> None:
    assert labels_of(views) is why
