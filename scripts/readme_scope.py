"""README's table of what the shipped scope check does, from the card."""

from cxr.model.card import Card


def rates(card: Card) -> str:
    """A row for each measured rate, in Markdown; empty for a model without a scope check."""
    if card.scope is None:
        return ""
    lines = ["| pictures | judged by a check fitted without | pictures (of) | expected | so found | 95% interval |"]
    lines.append("|---|---|---:|---|---:|---|")
    for rate in card.scope.rates:
        share = rate.share
        lines.append(
            f"| {rate.pictures} | {rate.fitted_without} | {rate.count:,} ({rate.groups:,}) | {rate.expected} "
            f"| {100 * share.value:.1f}% | {100 * share.low:.1f} to {100 * share.high:.1f} |"
        )
    return "\n".join(lines)
