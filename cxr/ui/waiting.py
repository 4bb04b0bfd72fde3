"""What a page shows of work that waits for its turn in the line of this process (`cxr.turns`)."""

from collections.abc import Iterator
from contextlib import contextmanager

from streamlit.delta_generator import DeltaGenerator

from cxr.turns import Place


@contextmanager
def turn_of(place: Place, progress: DeltaGenerator, share: float, what: str, doing: str) -> Iterator[None]:
    """A turn of `Place.turn`. The page says until then how many films of others come first, and then what is done.

    Args:
        place: in the line.
        progress: a progress bar.
        share: 0..1, how much is done before.
        what: waits, such as "film 2 of 5".
        doing: once it is its turn, such as "Reading film 2 of 5".
    """

    def tell(before: int) -> None:
        progress.progress(share, f"Waiting with {what}: {_ahead(before)}")

    with place.turn(tell):
        progress.progress(share, doing)
        yield


def _ahead(before: int) -> str:
    """Where something stands in the line, in words for the reader."""
    if before == 0:
        return "it is next"
    return "1 film of others is before it" if before == 1 else f"{before} films of others are before it"
