"""README's table of what the shipped scope check does, from the card."""

from cxr.model.card import Card

VARIED = ("varied", "other grey levels", "inverted", "a small part", "not taken for turned")
"""Rows that are left to the page Model card."""


def rates(card: Card) -> str:
    """The main rates, in Markdown; empty for a model without a scope check."""
    if card.scope is None:
        return ""
    lines = [
        "How often the check is right, on pictures that had no part in the check that judged them (all rates, also of inverted "
        "and cropped films: page “Model card”):",
        "",
        "| pictures | the check was fitted without | pictures | expected | so found |",
        "|---|---|---:|---|---|",
    ]
    for rate in card.scope.rates:
        if not any(word in f"{rate.pictures} {rate.expected}" for word in VARIED):
            share = rate.share
            lines.append(
                f"| {rate.pictures} | {rate.fitted_without} | {rate.count:,} | {rate.expected} "
                f"| {100 * share.value:.1f}% ({100 * share.low:.0f} to {100 * share.high:.0f}) |"
            )
    return "\n".join(lines)
