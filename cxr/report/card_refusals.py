"""The part of the model card that says what never gets a verdict, and how often that is right."""

from typing import Final

from cxr.evaluation.words import interval
from cxr.model.card import Card, ScopeRate
from cxr.report.blocks import Block, Heading, Paragraph, Points, Table

NONE: Final = (
    "It has no scope check. Any picture gets a verdict, a hand or a page of text as well; every verdict says so.",
)
ALWAYS: Final = (
    "Whatever the model, these files are refused before it is asked: those that are no PNG, JPEG or DICOM, that are "
    "damaged, hold several images or have more pixels than are read, pictures of one grey level, and DICOM files whose "
    "modality is none of radiographs (CT, MR, US …)."
)
REFUSED: Final = (
    "A lateral film, another part of the body, a slice of CT, MR or ultrasound, a photograph, a document or a "
    "screenshot, a film that is blank, saturated or too small, or only a part of one. The film is shown with the "
    "reason; no probability of it is shown or kept.",
    "What the file's header says of view and body part refuses a film that the picture does not clearly show to be a "
    "frontal chest film, and is warned of in any case.",
    "A film that seems to lie on its side or head gets no verdict until somebody has turned it, or said that it lies "
    "as it should. A mirrored film is not noticed.",
    "A grey scale that is seen to be inverted is corrected, and said.",
    "Low contrast, text in the picture and a film unlike those that the model was trained on are warned of.",
)
LIMITS: Final = (
    "Each source was judged by a check that it had no part in. What comes from nowhere of these sources may be judged "
    "otherwise.",
    "A film that is refused can be read without the model; nobody can pass over the check.",
)
HEADER: Final = ("What", "Expected", "Share (95%)", "Pictures", "Patients or originals", "Judged without")


def refusals(card: Card) -> list[Block]:
    """What the scope check of a model refuses, what it was fitted on, and what it was measured to do."""
    scope = card.scope
    if scope is None:
        return [Points((*NONE, ALWAYS))]
    rows = tuple(_row(rate) for rate in scope.rates)
    return [
        Paragraph(
            "Before a verdict a scope check asks whether the picture is one frontal chest film of usable quality. It "
            "looks at what the network itself sees, in the same pass."
        ),
        Points((*REFUSED, ALWAYS)),
        Heading("How often it was right", 3),
        Table(HEADER, rows, prose=True),
        Points(LIMITS),
        Heading("What it was fitted on", 3),
        Points(
            (
                f"Frontal chest films: {_counts(scope.frontal)}.",
                f"Other pictures: {_counts(scope.out_of_scope)}.",
            )
        ),
    ]


def _row(rate: ScopeRate) -> tuple[str, ...]:
    share = interval(rate.share)
    return rate.pictures, rate.expected, share, f"{rate.count:,}", f"{rate.groups:,}", rate.fitted_without


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items()) or "none"
