"""What is said of a film that got no verdict. Plain functions, no Streamlit."""

from typing import Final

from cxr.classify import GREY_SCALE, TURNED, UNREADABLE

SHORT: Final = {
    "lateral": "lateral film",
    "other_body_part": "another part of the body",
    "slice": "a slice, no film",
    "not_a_film": "no chest film",
    "blank": "blank",
    "saturated": "over- or underexposed",
    "tiny": "too few pixels",
    "cropped": "only a part of a film",
    "unknown": "no frontal chest film",
    TURNED: "seems turned",
    GREY_SCALE: "grey scale unclear",
    UNREADABLE: "can't be read",
}
"""Kind of refusal -> the same in a few words, for lists."""

TO_DO: Final = {
    "lateral": "Give the model the frontal film of the same study: it was trained on frontal films alone.",
    "other_body_part": "The model knows the chest alone. Look whether the right file was sent.",
    "slice": "The model was trained on radiographs alone. Give it the frontal chest film, if there is one.",
    "not_a_film": "Give the model the film as the archive exports it (DICOM, PNG or JPEG), not a picture of a screen "
    "or of a light box.",
    "blank": "Look whether the file was exported with the right window, or fetch it again.",
    "saturated": "Look whether the file was exported with the right window, or fetch it again.",
    "tiny": "Give the model the film as it came from the device, not a preview of it.",
    "cropped": "Give the model the whole film.",
    TURNED: "Turn it with the button over the film; it is read at once. If it lies as it should, say so there.",
    GREY_SCALE: "Say which way round it is: under “Turn” over the film, “As it is shown” or “Invert the grey scale”.",
}
"""Kind of refusal -> what the reader can do about it."""

MISTAKEN: Final = "If it is a frontal chest film, the check is mistaken about it: read it without the model."
"""A check that anybody can pass over does not hold."""


def short(kind: str | None) -> str:
    """A kind of refusal as in "Not analysed: lateral film"; kinds that nobody has words for say less."""
    word = SHORT.get(kind or "")
    return "Not analysed" if word is None else f"Not analysed: {word}"


def to_do(kind: str | None) -> str:
    """What the reader can do about a refusal, in a sentence or two; "" where there is nothing but another file."""
    if kind is None or kind == UNREADABLE:
        return ""
    return " ".join(filter(None, (TO_DO.get(kind), None if kind in (TURNED, GREY_SCALE) else MISTAKEN)))
