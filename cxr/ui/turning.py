"""Turning and inverting a film: the offer where it seems to lie wrong, and a menu for every other one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import streamlit as st

from cxr.radiograph.placement import AS_FILED, Placement, Step
from cxr.radiograph.scope import Turn

WAYS: Final[dict[Step, tuple[str, str]]] = {
    "left": ("A quarter turn left", ":material/rotate_left:"),
    "right": ("A quarter turn right", ":material/rotate_right:"),
    "half": ("Half a turn", ":material/swap_vert:"),
    "mirror": ("Mirror, left for right", ":material/swap_horiz:"),
    "invert": ("Invert the grey scale", ":material/invert_colors:"),
}
"""What can be done to a film: in words, and its icon."""

Place = Callable[[Placement], None]
"""Has a film seen as somebody says; called before the next run."""


def show_offer(
    turn: Turn | None, lies: Placement, place: Place, key: str, *, ask: bool, disabled: bool = False
) -> None:
    """One click to see upright what seems to lie wrong; nothing where nothing does.

    Args:
        turn: what has to be done to it.
        lies: how it is seen now.
        place: called with how it is to be seen.
        key: of the buttons, unique on the page.
        ask: whether it gets no verdict until somebody has said how it lies: then that it lies right can be said too.
        disabled: the reader can't change anything at present.
    """
    if turn is None:
        return
    with st.container(horizontal=True, key=f"{key}-offer", width="content"):
        st.button(
            "Turn it upright", icon=WAYS[turn][1], type="primary", on_click=place, args=(lies.then(turn),),
            key=f"{key}-turn", disabled=disabled, help=f"{WAYS[turn][0]}; then it is read anew",
        )  # fmt: skip
        if ask:
            st.button(
                "It lies as it should", on_click=place, args=(replace(lies, lies_said=True),), key=f"{key}-leave",
                disabled=disabled, help="It is read as it lies now",
            )  # fmt: skip


def show_menu(lies: Placement, place: Place, key: str, *, disabled: bool = False) -> None:
    """Every way to turn a film, or its grey scale, and back to how its file has it."""
    with st.popover(
        "Turn", icon=":material/rotate_90_degrees_ccw:", disabled=disabled, help="Turn, mirror or invert this film"
    ):
        for step, (label, icon) in WAYS.items():
            st.button(
                label, icon=icon, on_click=place, args=(lies.then(step),), key=f"{key}-menu-{step}",
                width="stretch",
            )  # fmt: skip
        shown = replace(lies, lies_said=True, grey_said=True)
        st.button(
            "As it is shown", icon=":material/check:", on_click=place, args=(shown,), key=f"{key}-menu-shown",
            disabled=lies.lies_said and lies.grey_said, width="stretch",
        )  # fmt: skip
        st.button(
            "As the file has it", icon=":material/undo:", on_click=place, args=(AS_FILED,), key=f"{key}-menu-undo",
            disabled=lies == AS_FILED, width="stretch",
        )  # fmt: skip
        st.caption("It is read anew, as you say.")
