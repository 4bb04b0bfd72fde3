"""Estimates in words, the same on the terminal, on the pages and on paper."""

from typing import Final

from cxr.model.card import Estimate

TOO_FEW: Final = "too few to say"


def interval(estimate: Estimate | None) -> str:
    """As in "0.843 (0.801 to 0.882)", or "too few to say"."""
    return TOO_FEW if estimate is None else f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
