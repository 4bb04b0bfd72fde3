"""What the viewer shows of a film."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cxr.radiograph import FullDepth


@dataclass(frozen=True)
class Box:
    """A box on a film: its label, and its left upper corner, width and height in pixels of the film."""

    label: str
    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True, eq=False)
class ViewerFilm:
    """A film with all that can be laid over it.

    Attributes:
        id: what the viewer remembers window, zoom and finding by; another id is another film.
        title: its name for the reader.
        depth: the film at full depth; its facts give pixel spacing.
        heatmaps: finding -> `supporting_map`, float32 (h, w) in 0..1; None where nothing speaks for it.
        map_shift: as of `cxr.model.heatmap.upsample`.
        captions: finding -> its line in the list of findings, such as "Effusion, 0.412, flagged".
        notes: finding -> a sentence below its heatmap, or below the film where it has none; of markdown it may have
            **emphasis**.
        square: uint8 (s, s), what the model saw; None: not to be shown.
        boxes: over the film.
    """

    id: str
    title: str
    depth: FullDepth
    heatmaps: Mapping[str, np.ndarray | None] = field(default_factory=dict)
    map_shift: tuple[float, float] = (0.0, 0.0)
    captions: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    square: np.ndarray | None = None
    boxes: tuple[Box, ...] = ()
