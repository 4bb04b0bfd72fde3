"""Small line drawings for paper: one square frame with axes from 0 to 1."""

from collections.abc import Sequence
from html import escape
from typing import Final

SIDE: Final = 260
LEFT, TOP, BOTTOM, RIGHT = 48, 26, 40, 12
BLUE, GREY, ORANGE = "#1f6fb2", "#8a93a0", "#c8741a"
Line = Sequence[tuple[float, float]]


def unit_square(
    title: str,
    x_title: str,
    y_title: str,
    lines: Sequence[Line],
    points: dict[str, tuple[float, float]] | None = None,
    bars: Sequence[tuple[float, float, float, float]] = (),
    diagonal: bool = True,
) -> str:
    """A drawing of curves in the unit square.

    Args:
        title, x_title, y_title: words; axes run from 0 to 1.
        lines: curves of (x, y), drawn solid.
        points: named marks.
        bars: (x, y, low, high): marks with vertical intervals.
        diagonal: whether to draw the line of chance.

    Returns:
        An SVG document.
    """
    width, height = LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return round(LEFT + SIDE * x, 1), round(TOP + SIDE * (1 - y), 1)

    parts = [
        f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="{GREY}" stroke-width="1"/>',
        _text(LEFT, 16, title, "start", 12),
        _text(LEFT + SIDE / 2, height - 6, x_title, "middle", 10),
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = at(tick, tick)
        parts.append(_text(x, TOP + SIDE + 14, f"{tick:g}", "middle", 9))
        parts.append(_text(LEFT - 6, y + 3, f"{tick:g}", "end", 9))
    parts.append(f'<g transform="translate(14,{TOP + SIDE / 2}) rotate(-90)">{_text(0, 0, y_title, "middle", 10)}</g>')
    if diagonal:
        parts.append(_path([at(0, 0), at(1, 1)], GREY, 1, "4 3"))
    parts += [_path([at(x, y) for x, y in line], BLUE, 2) for line in lines]
    for x, y, low, high in bars:
        parts.append(_path([at(x, low), at(x, high)], BLUE, 1))
        parts.append(_mark(*at(x, y), BLUE))
    for name, (x, y) in (points or {}).items():
        px, py = at(x, y)
        parts.append(_mark(px, py, ORANGE))
        parts.append(_text(px + 6, py + 11, name, "start", 9))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="Helvetica">{"".join(parts)}</svg>'
    )


def _path(points: Line, colour: str, width: float, dashes: str = "") -> str:
    steps = " L ".join(f"{x:g} {y:g}" for x, y in points)
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="M {steps}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'


def _mark(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="3.5" fill="{colour}"/>'


def _text(x: float, y: float, words: str, anchor: str, size: float) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" fill="#1c2530">{escape(words)}</text>'
    )
