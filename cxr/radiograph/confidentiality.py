"""What is to be done to each attribute of a DICOM file so that it says no more whose it is.

DICOM PS3.15 Annex E, Basic Application Level Confidentiality Profile without any option. `confidentiality_profile.csv`
is its Table E.1-1 (column "Basic Prof.") of edition 2026c, taken from the package dicom-anonymizer 2.1.0 (Kitware, BSD
licence), whose own code is not used: it leaves what is nested alone.
"""

import csv
import hashlib
import hmac
import re
import uuid
from pathlib import Path
from typing import Final, Literal

from pydicom.tag import BaseTag

EDITION: Final = "2026c"
TABLE: Final = Path(__file__).parent / "confidentiality_profile.csv"
CODE: Final = ("113100", "DCM", "Basic Application Confidentiality Profile")
CLEAN_PIXELS: Final = ("113101", "DCM", "Clean Pixel Data Option")
"""PS3.16 CID 7050."""

Action = Literal["remove", "empty", "dummy", "uid"]

SINGLE: Final[dict[str, Action]] = {"X": "remove", "Z": "empty", "D": "dummy", "U": "uid"}

EMPTY_ALLOWED: Final = frozenset({0x00080023, 0x00080033, 0x00100020, 0x00400555})
"""Of the attributes with a choice of actions those of Type 2 in the CR, DX and SC image IODs (PS3.3 A.2, A.26, A.8):
Content Date and Time, Patient ID, Acquisition Context Sequence. None of the others has to be there in a film."""

WELL_KNOWN: Final = "1.2.840.10008."
"""What the standard itself gave a UID; it names no film and no patient."""

TEXT: Final = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "PN", "AE", "UR", "DA", "TM", "DT", "AS"})
"""Value representations that hold anything somebody typed, or a time."""
NUMBERS: Final = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "IS", "DS", "AT"})
CODE_STRING: Final = re.compile(r"[A-Z0-9_ ]{0,16}")

DUMMIES: Final[dict[str, str]] = {
    "DA": "19000101",
    "TM": "000000",
    "DT": "19000101000000",
    "AS": "000Y",
    "IS": "0",
    "DS": "0",
    "UR": "http://removed.invalid",
}
"""By value representation; other text is `REMOVED`."""
REMOVED: Final = "REMOVED"


def _read() -> tuple[dict[int, str], tuple[tuple[re.Pattern[str], str], ...]]:
    single, several = {}, []
    with TABLE.open(encoding="ascii", newline="") as file:
        for row in csv.DictReader(file):
            if "x" in row["tag"]:
                several.append((re.compile(row["tag"].replace("x", "[0-9A-F]")), row["action"]))
            else:
                single[int(row["tag"], 16)] = row["action"]
    return single, tuple(several)


PROFILE, REPEATED = _read()
"""Table E.1-1: tag -> action as the standard spells it ("X/Z/D"), and the same for tags with free digits."""


def action(tag: BaseTag, top: bool) -> Action | None:
    """What the profile asks for.

    Args:
        tag: of the attribute.
        top: it is not nested in a sequence. Within one it is not looked up which type an attribute has there: it stays
            with a dummy, or empty, where the profile leaves a choice.

    Returns:
        The action; None: the profile says nothing of it.
    """
    listed = PROFILE.get(int(tag))
    if listed is None:
        return next((SINGLE[one] for pattern, one in REPEATED if pattern.fullmatch(f"{int(tag):08X}")), None)
    if listed in SINGLE:
        return SINGLE[listed]
    choices = listed.split("/")
    if top:
        if int(tag) in EMPTY_ALLOWED:
            return "empty"
        return "remove" if "X" in choices else "empty"
    return "dummy" if "D" in choices else "empty"


def other_uid(uid: str, key: bytes) -> str:
    """Another UID for one, always the same with the same key (PS3.5 B.2); without the key nobody can go back."""
    if uid.startswith(WELL_KNOWN):
        return uid
    digest = hmac.new(key, uid.encode(), hashlib.sha256).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"
