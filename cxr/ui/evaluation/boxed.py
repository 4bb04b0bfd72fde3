"""Held-out films with radiologists' boxes over the model's heatmap of the boxed finding."""

from typing import Final

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image, ImageDraw, ImageFont

from cxr.classify import Refusal, answer, heatmap
from cxr.dataset.table import FILM_SIDE
from cxr.dataset.tfrecord import UnreadableShard
from cxr.evaluation.scored import ScoredFilms, film_key
from cxr.evaluation.words import NOT_IN_MODEL
from cxr.findings import display_name
from cxr.model.heatmap import overlay
from cxr.ui.dataset.source import current_store, current_table
from cxr.ui.model import engine_of
from cxr.ui.words import plain

MOST: Final = 8
ACROSS: Final = 4
OPACITY: Final = 0.5
SHOWN_SIDE: Final = 1200
COLOURS: Final = ("#ffb000", "#4cc9f0", "#f72585", "#80ed99", "#b794f6", "#ff6b35", "#ffe66d", "#a0c4ff")


def show_boxed_films(films: ScoredFilms, name: str) -> None:
    """Pictures, where the films are at hand: heatmap of the boxed finding with the boxes over it."""
    table = current_table()
    store = current_store(table)
    if store is None:
        st.caption("Start the app with the films (`CXR_DATA=/path`) to see them with boxes and heatmaps.")
        return
    held_out = set(films.metadata.index)
    rows = [int(row) for row in dict.fromkeys(table.box_row) if store.available[row]]
    rows = [row for row in rows if film_key(str(table.films.index[row])) in held_out][:MOST]
    engine = engine_of(name)
    places = [place for _ in range(-(-len(rows) // ACROSS)) for place in st.columns(ACROSS)]
    for row, place in zip(rows, places, strict=False):
        boxes = table.boxes[table.box_row == row]
        finding = str(boxes["finding"].iloc[0])
        try:
            record = store.read(row)
        except UnreadableShard as error:
            place.caption(plain(str(error)))
            continue
        reading = answer(engine, record.image_id, record.image)
        if isinstance(reading, Refusal):
            place.caption(plain(reading.reason))
            continue
        heat = heatmap(reading, finding, engine.bundle.card)
        words = f"{table.films.index[row]}: {display_name(finding)}"
        if finding in engine.bundle.card.absent:
            words += f", {NOT_IN_MODEL}"
        place.image(
            with_boxes(np.asarray(overlay(reading.grey, heat, OPACITY)), boxes[boxes["finding"] == finding]),
            caption=plain(words),
            alt=f"Film with heatmap and box, {words}",
        )


def with_boxes(grey: np.ndarray, boxes: pd.DataFrame) -> Image.Image:
    """A film with boxes and their findings drawn on it.

    Args:
        grey: uint8 (height, width) or (height, width, 3), the film at any size.
        boxes: with `finding`, and x, y, w, h in pixels of the film at 1024 x 1024.

    Returns:
        RGB, at least `SHOWN_SIDE` on its longer side, so that lines and letters are sharp.
    """
    film = Image.fromarray(grey).convert("RGB")
    scale = max(1.0, SHOWN_SIDE / max(film.size))
    film = film.resize((round(film.width * scale), round(film.height * scale)), Image.Resampling.BICUBIC)
    draw, font = ImageDraw.Draw(film), ImageFont.load_default(34)
    across, down = film.width / FILM_SIDE, film.height / FILM_SIDE
    for (_, box), colour in zip(boxes.iterrows(), COLOURS * len(boxes), strict=False):
        left, top = box["x"] * across, box["y"] * down
        draw.rectangle((left, top, left + box["w"] * across, top + box["h"] * down), outline=colour, width=3)
        text = display_name(box["finding"])
        at = (left + 4, top - 44 if top > 46 else top + 4)
        draw.rectangle(draw.textbbox(at, text, font=font), fill="black")
        draw.text(at, text, fill=colour, font=font)
    return film
