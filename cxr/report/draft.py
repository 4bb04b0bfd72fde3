"""A draft of a report in plain text: what the reader said, in the order of a report, and not a word of the model's."""

from datetime import datetime

from cxr.findings import FINDINGS, display_name
from cxr.model.verdict import RESEARCH_NOTICE
from cxr.worklist.opinions import OpinionRow, View, Word
from cxr.worklist.studies import FilmRow, StudyRow

NOT_ADDRESSED = "Not addressed"
UNSIGNED = "Draft, not signed."


def report_text(study: StudyRow, opinion: OpinionRow | None) -> str:
    """The draft of a report on a study.

    It names the study by its number in the worklist, accession number and date, never by the name of a file, which may
    be a patient's.

    Args:
        study: as it stands in the list; technique and view come from its films. Who else read it is no matter.
        opinion: of the reader, who alone signs; None: he said nothing yet, so nobody signs.
    """
    view = View("blind") if opinion is None else opinion.view
    parts = [
        f"CHEST RADIOGRAPH, DRAFT OF A REPORT\n{RESEARCH_NOTICE}",
        "\n".join(f"{name}: {value}" for name, value in facts(study)),
        "FINDINGS\n" + "\n".join(f"{name}: {value}" for name, value in findings(view)),
    ]
    if view.text.strip():
        parts.append(f"REMARKS\n{view.text.strip()}")
    signed = UNSIGNED if opinion is None else signature(opinion.reader, opinion.written)
    parts += [f"IMPRESSION\n{impression(view)}", signed]
    return "\n\n".join(parts) + "\n"


def facts(study: StudyRow) -> list[tuple[str, str]]:
    """Which study it is and how it was made, as names and values."""
    stated = [
        ("In the worklist", f"Study {study.id}"), ("Accession number", study.accession), ("Study date", study.acquired),
        ("Technique", technique(study.films)),
    ]  # fmt: skip
    return [(name, value) for name, value in stated if value]


def technique(films: tuple[FilmRow, ...]) -> str:
    """As in "Chest radiograph, PA view." or "2 chest radiographs, PA view and a view that is not stated."."""
    views = list(dict.fromkeys(f"{film.view} view" if film.view else "a view that is not stated" for film in films))
    if not views:
        return "No film."
    kind = "Chest radiograph" if len(films) == 1 else f"{len(films)} chest radiographs"
    return f"{kind}, {_listed(views)}."


def findings(view: View) -> list[tuple[str, str]]:
    """What is said of each of the 14 findings, gathered by the word that is said of them."""
    if not view.valid:
        return [(NOT_ADDRESSED, "all, since this is not a valid chest film.")]
    words: tuple[tuple[str, Word | None], ...] = (
        ("Present", "present"), ("Unsure", "unsure"), ("Absent", "absent"), (NOT_ADDRESSED, None),
    )  # fmt: skip
    named = {said: [name for name in FINDINGS if view.says(name) == word] for said, word in words}
    return [(said, f"{_names(names)}.") for said, names in named.items() if names]


def impression(view: View) -> str:
    """The reader's conclusion in one or two sentences."""
    if not view.valid:
        return "Not a valid chest film."
    present = [name for name in FINDINGS if view.says(name) == "present"]
    unsure = [name for name in FINDINGS if view.says(name) == "unsure"]
    sentences = []
    if present:
        sentences.append(f"{_names(present).capitalize()}.")
    if unsure:
        sentences.append(f"Possibly {_names(unsure)}.")
    if view.contradictory:
        sentences.append("The reader also said that there is no finding: please settle which holds.")
    elif not present:
        sentences.append(
            {
                "yes": "Abnormal, without a finding that is named.",
                "no": "No other finding is seen." if unsure else "None of the 14 findings is seen.",
                "unsure": "Unsure whether there is a finding.",
                None: "The reader has not said whether there is a finding.",
            }[view.abnormal]
        )
    return " ".join(sentences)


def signature(reader: str, written: datetime) -> str:
    """Who says it, and when; a draft is no signed report, and says so."""
    return f"Read by {reader}, {moment(written)}. {UNSIGNED}"


def moment(time: datetime) -> str:
    """As in "2026-03-02 09:30 UTC"."""
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".rstrip()


def _names(findings: list[str]) -> str:
    return ", ".join(display_name(name).lower() for name in findings)


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
