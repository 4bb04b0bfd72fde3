"""Estimates in words, the same on the terminal, on the pages and on paper."""

from typing import Final

from cxr.model.card import Estimate, Paired

TOO_FEW: Final = "too few to say"
NOT_IN_MODEL: Final = "not in this model"


def interval(estimate: Estimate | None) -> str:
    """As in "0.843 (0.801 to 0.882)", or "too few to say"."""
    return TOO_FEW if estimate is None else f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def compared(pair: Paired | None) -> str:
    """Whether the model is better than a baseline, as in "better: +0.080 (0.010 to 0.150)"; or "not shown", "worse"."""
    if pair is None:
        return TOO_FEW
    difference = pair.difference
    shown = "better" if difference.low > 0 else "worse" if difference.high < 0 else "not shown"
    return f"{shown}: {difference.value:+.3f} ({difference.low:.3f} to {difference.high:.3f})"
