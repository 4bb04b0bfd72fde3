"""The viewer as a component: what is sent to the browser, and by which way."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st
from streamlit.runtime import get_instance

from cxr.findings import display_name
from cxr.radiograph import FullDepth
from cxr.ui.viewer.film import ViewerFilm
from cxr.ui.viewer.packing import Packed, pack

HERE: Final = Path(__file__).resolve().parent
SCRIPTS: Final = (
    "transport",
    "grey",
    "heat",
    "geometry",
    "webgl",
    "canvas",
    "marks",
    "state",
    "pane",
    "pointer",
    "actions",
    "keyboard",
    "icons",
    "controls",
    "viewer",
)
"""The parts of the one module that the browser gets, in their order."""

OWN_KEYS: Final = frozenset("wmzglfa123450iheto,.bqpsx[]+-=?") | {"Escape", "Delete", "PageUp", "PageDown"}
"""Keys of the viewer itself, besides the arrows; a page can't have them for `keys`."""

_VIEWER: Final = st.components.v2.component(
    "film_viewer",
    html=(HERE / "viewer.html").read_text(),
    css=(HERE / "viewer.css").read_text(),
    js="\n".join((HERE / f"{name}.js").read_text() for name in SCRIPTS),
)

_PACKED: Final[WeakKeyDictionary[FullDepth, Packed]] = WeakKeyDictionary()
_LOCK: Final = Lock()


def film_viewer(
    film: ViewerFilm,
    key: str,
    *,
    previous: ViewerFilm | None = None,
    finding: str | None = None,
    height: int | str = 720,
    keys: Mapping[str, str] | None = None,
    on_key: Callable[[str], None] | None = None,
) -> None:
    """Show a film at full depth, with window, zoom, heatmaps and measuring in the browser; nothing of it runs the app.

    Pixels travel once per film, as a file that the browser keeps; window, zoom and the chosen finding stay with the
    film as long as the page is open, under `key`.

    Args:
        film: what is shown. Its heatmap is off until the reader asks for it.
        key: of the component, unique on the page.
        previous: another film of the patient, to be compared side by side.
        finding: whose heatmap is chosen at first; choosing another here later chooses it in the viewer.
        height: of the film with its bars, CSS pixels or a length such as "80vh"; what has to be said of a heatmap
            stands below.
        keys: key (JavaScript's `KeyboardEvent.key`) -> the action that is sent to the app, such as {"n": "next film"};
            it is also what the list of keys says.
        on_key: called with the action, before the next run; without it the keys are listed only, and left to the page.

    Raises:
        ValueError: `keys` has one of the viewer's own.
    """
    taken = sorted(OWN_KEYS & {k.lower() if len(k) == 1 else k for k in keys or {}})
    if taken:
        raise ValueError(f"The film viewer itself uses {', '.join(taken)}; choose other keys.")

    def pressed() -> None:
        action = st.session_state[key].action
        if action is not None and on_key is not None:
            on_key(str(action))

    data = {
        "key": key,
        "film": _sent(film, key, "film"),
        "previous": None if previous is None else _sent(previous, key, "previous"),
        "finding": finding,
        "height": height if isinstance(height, str) else f"{height}px",
        "keys": dict(keys or {}),
        "sends": on_key is not None,
    }
    _VIEWER(data=data, key=key, on_action_change=pressed)


def _sent(film: ViewerFilm, key: str, place: str) -> dict[str, Any]:
    """A film as the browser gets it; see `transport.js` for the pixels, `state.js` for the rest."""
    depth = film.depth
    facts = depth.facts
    return {
        "id": film.id,
        "title": film.title,
        "pixels": _linked(_packed(depth), f"{key}/{place}"),
        "low": depth.low,
        "high": depth.high,
        "reach": depth.reach,
        "padded": depth.padded,
        "zero": depth.zero,
        "step": depth.step,
        "top": int(depth.levels.max()),
        "bottom": int(depth.levels[depth.levels > 0].min()) if depth.padded else int(depth.levels.min()),
        "bits": facts.bits,
        "windowFrom": facts.window,
        "spacing": facts.pixel_spacing,
        "spacingAt": facts.spacing_at,
        "findings": [_finding(film, name) for name in film.heatmaps],
        "shift": film.map_shift,
        "square": None if film.square is None else _linked(pack(film.square), f"{key}/{place}-square"),
        "boxes": [vars(box) for box in film.boxes],
    }


def _finding(film: ViewerFilm, name: str) -> dict[str, Any]:
    grid = film.heatmaps[name]
    values = None if grid is None else base64.b64encode(np.asarray(grid, "<f4").tobytes()).decode()
    return {
        "name": name,
        "label": display_name(name),
        "caption": film.captions.get(name, display_name(name)),
        "note": film.notes.get(name, ""),
        "rows": 0 if grid is None else grid.shape[0],
        "columns": 0 if grid is None else grid.shape[1],
        "grid": values,
    }


def _packed(depth: FullDepth) -> Packed:
    """Packed once a film, and kept as long as the film itself is: when its session lets go of it, no pixel stays."""
    with _LOCK:
        found = _PACKED.get(depth)
    if found is None:
        found = pack(depth.levels, depth.curve)
        with _LOCK:
            _PACKED[depth] = found
    return found


def _linked(packed: Packed, place: str) -> dict[str, Any]:
    """Where the browser finds the pixels.

    Streamlit keeps a file as long as the last run of a session named it for its place, so every run names it anew; the
    address follows from the content, and stays.

    Of a file over 1 MB Streamlit looks at the length, the beginning, the middle and the end only, so two films could
    get one address, and a reader the film of another. It takes the name into account too: that stands for the whole.
    """
    url = get_instance().media_file_mgr.add(
        packed.data, "application/octet-stream", f"film_viewer/{place}", file_name=packed.mark
    )
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return {
        "url": f"/{base}{url}" if base else url,
        "width": packed.width,
        "height": packed.height,
        "planes": packed.planes,
        "curve": packed.curve,
        "bytes": len(packed.data),
    }
