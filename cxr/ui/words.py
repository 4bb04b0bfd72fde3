"""Numbers in words a reader can act on. Plain functions, no Streamlit."""

import re

from cxr.evaluation.report import Report
from cxr.evaluation.words import TOO_FEW
from cxr.findings import display_name
from cxr.model.card import Card, Estimate, OperatingPoint
from cxr.model.verdict import Verdict


def plain(text: str) -> str:
    """Text as it is inside Markdown: a file may be called `[a](b)` or `:red[x]`, or turn the direction of writing."""
    seen = "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return re.sub(r"([\\`*_{}\[\]()<>#+.!|~:$&-])", r"\\\1", seen)


def short_hashes(text: str) -> str:
    """Text in which each SHA-256 is cut to its first 12 digits."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1", text)


def estimate_words(estimate: Estimate | None) -> str:
    """As in "0.84 (95%: 0.79 to 0.88)", or "too few to say"."""
    if estimate is None:
        return TOO_FEW
    return f"{estimate.value:.2f} (95%: {estimate.low:.2f} to {estimate.high:.2f})"


def per_hundred(estimate: Estimate | None, of: str) -> str:
    """As in "93 (88 to 97) of 100 abnormal films", or that there are too few."""
    if estimate is None:
        return f"too few {of} to say how many"
    value, low, high = (round(100 * v) for v in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high}) of 100 {of}"


def percent(estimate: Estimate | None) -> str:
    """As in "84% (76% to 89%)", or "too few to say"."""
    return TOO_FEW if estimate is None else f"{estimate.value:.0%} ({estimate.low:.0%} to {estimate.high:.0%})"


def whole(estimate: Estimate | None) -> str:
    """As in "48 (37 to 60)", or "too few to say"."""
    return TOO_FEW if estimate is None else f"{estimate.value:.0f} ({estimate.low:.0f} to {estimate.high:.0f})"


def verdict_title(verdict: Verdict) -> str:
    """The verdict as a headline."""
    return title_of(verdict.name, verdict.point.name)


def title_of(verdict: str, point: str) -> str:
    """A verdict at an operating point, both by name, as a headline. Below a threshold that is made to miss films, it is
    no finding of nothing."""
    if verdict == "no finding" and point == "rule-in":
        return "Below the rule-in threshold"
    return verdict.capitalize()


def contradiction(verdict: Verdict) -> str | None:
    """What a reader has to know who sees "no finding" above flagged findings."""
    flagged = len(verdict.flagged)
    if verdict.name != "no finding" or not flagged:
        return None
    which = "a finding is flagged" if flagged == 1 else f"{flagged} findings are flagged"
    return (
        f"Below the threshold for abnormal, and yet {which}: verdict and findings have thresholds of their own, "
        "each with its own false alarms. Look at the film."
    )


def verdict_reason(verdict: Verdict) -> str:
    """Why the verdict is what it is, in one sentence."""
    p, point = verdict.abnormal_probability, verdict.point
    if verdict.name == "uncertain":
        return (
            f"The abnormal probability {p:.3f} lies between {point.uncertain_low:.3f} and {point.uncertain_high:.3f}, "
            f"too near the threshold {point.threshold:.3f} to call."
        )
    side = "at or above" if verdict.name == "abnormal" else "below"
    return f"The abnormal probability {p:.3f} is {side} the threshold {point.threshold:.3f}."


def point_meaning(point: OperatingPoint, card: Card) -> str:
    """What the operating point did on the held-out patients."""
    if card.data is None:
        return (
            f"The threshold is {point.basis}; what it does on patients was not measured here. The score is the "
            "checkpoint's, scaled so that its threshold is 0.5: it is no calibrated probability."
            + (" Abnormal means: the largest score of any pathology." if card.abnormal_from == "any finding" else "")
        )
    test = card.data.splits["test"]
    flagged_without = None
    if point.specificity is not None:
        s = point.specificity
        flagged_without = Estimate(value=1 - s.value, low=1 - s.high, high=1 - s.low)
    return (
        f"On {test.films:,} films of {test.patients:,} held-out patients this threshold flagged "
        f"{per_hundred(point.sensitivity, 'abnormal films')} and {per_hundred(flagged_without, 'without findings')}."
    )


def uncertain_meaning(point: OperatingPoint) -> str:
    """How often the verdict is "uncertain", and what that buys."""
    if point.uncertain_share is None or point.accuracy is None or point.accuracy_outside is None:
        return TOO_FEW.capitalize() + "."
    return (
        f"{point.uncertain_share.value:.0%} of these films were uncertain; "
        f"of the others {point.accuracy_outside.value:.0%} were on the right side ({point.accuracy.value:.0%} of all)."
    )


def map_trust(finding: str, report: Report | None) -> str:
    """How far the heatmap of a finding can be trusted: what it did against boxes that radiologists drew."""
    if report is None or report.localisation is None:
        return "Not measured against boxes that radiologists drew."
    part = report.localisation.measured.by_finding.get(finding)
    if part is None or part.pointing is None:
        films = "no film" if part is None else "1 film" if part.cases == 1 else f"{part.cases} films"
        return f"Held-out boxes of it are on {films}: too few to say whether this points at the finding."
    pointing = part.pointing
    measured = (
        f"Its hottest point lay in the radiologist's box on {per_hundred(pointing.model, 'held-out films')} "
        f"({part.cases} measured); that of a map of the usual place on {100 * pointing.usual_place:.0f}, of a random "
        f"map on {100 * pointing.random_map:.0f}."
    )
    return measured if part.better_than_chance else f"**Not shown to be better than chance.** {measured}"


def no_support(finding: str) -> str:
    """What is shown in place of an all-zero heatmap."""
    return f"No region of this film speaks for {display_name(finding).lower()}."


def map_note(finding: str, report: Report | None, *, empty: bool) -> str:
    """What stands below a heatmap, or in place of an `empty` one: how to read it, and how far to trust it."""
    if empty:
        return no_support(finding)
    return f"Scaled to its own strongest region: it shows where, not how much. {map_trust(finding, report)}"
