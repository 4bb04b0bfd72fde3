"""In which state a study, and a film of it, can be."""

from enum import StrEnum


class Status(StrEnum):
    """Of a study. One of which no film could be analysed waits too; the list says so of it."""

    WAITING = "waiting"
    READING = "in reading"
    READ = "read"


class FilmState(StrEnum):
    """Of a film: taken in, being scored, scored, or not analysed for a reason."""

    QUEUED = "queued"
    SCORING = "scoring"
    SCORED = "scored"
    REFUSED = "not analysed"
