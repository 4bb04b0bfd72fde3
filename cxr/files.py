"""Files: writing one so that nobody ever sees half of it, and saying what one is called."""

import os
from pathlib import Path


def replace_file(file: Path, content: bytes) -> None:
    """Write a file so that at any moment, also of a power cut, it is the old one or the new one.

    Raises:
        OSError: it can't be written; the old one is as it was, and nothing else is left behind.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def printable(text: str) -> str:
    """A file's name, or part of it, as any terminal, log or page takes it: no control character reaches those.

    What can't be printed becomes a replacement character, also what turns the direction of writing; bytes that are no
    text are shown as such.
    """
    whole = text.encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in whole)
