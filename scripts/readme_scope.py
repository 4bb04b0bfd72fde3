"""README's tables of what the shipped scope check does, from the card, and of how well text in films is seen."""

import json

from cxr.model.card import Card
from cxr.settings import ROOT

CALLED = {"frontal_other": "two other hospitals", "kermany224": "children"}
"""Words for folders of films."""
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


def burned_text() -> str:
    """What benchmarks/burned_text.py measured."""
    found = json.loads((ROOT / "benchmarks" / "burned_text.json").read_text())
    rows = {(row["way"], row["size"]): row for row in found["rows"]}
    ways = list(dict.fromkeys(way for way, _ in rows))
    lines = [
        f"How well text is seen: words drawn into {found['films']} films in which none was seen before, every second one "
        "JPEG-compressed afterwards (95% Wilson intervals; `python -m benchmarks.burned_text`).",
        "",
        f"| letters (font size, px) | {' | '.join(ways)} |",
        f"|---|{'---|' * len(ways)}",
    ]
    for size in sorted({size for _, size in rows}):
        cells = [_share(rows[way, size]) for way in ways]
        lines.append(f"| {size} | {' | '.join(cells)} |")
    as_they_are = ", ".join(
        f"{part['with text']} of {part['films']} ({CALLED.get(source, source)})"
        for source, part in found["as they are"].items()
    )
    return "\n".join(
        [
            *lines,
            "",
            f"White letters where the film itself is nearly white (less than {found['faint']['below']} grey levels apart) are "
            f"mostly missed: {_share(found['faint'])} were seen. On films as they are, text was seen in {as_they_are}.",
        ]
    )


def _share(row: dict[str, float]) -> str:
    share = 100 * row["seen"] / row["drawn"]
    return f"{row['seen']}/{row['drawn']}, {share:.0f}% ({100 * row['low']:.0f} to {100 * row['high']:.0f})"
