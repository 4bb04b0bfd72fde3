"""Pictures as the scope check sees them, kept from one fit to the next."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from cxr.model.bundle import GRAPH_FILE
from cxr.model.engine import Engine
from cxr.radiograph import Facts, Radiograph, model_input
from cxr.radiograph.scope import sample
from cxr.radiograph.scope_vector import picture
from cxr.training.scope_pictures import Picture

BATCH: Final = 8
CHUNK: Final = 256
"""Pictures whose features are kept in one file: what a fit that was cut short loses at most."""


@dataclass(frozen=True, eq=False)
class ScopeData:
    """Pictures to fit or to test a scope check with.

    Attributes:
        features: float32 (n, d), of the serving graph.
        pictures: float32 (n, 264), of `cxr.radiograph.scope_vector.picture`.
        grey: uint8 (n, m, m), of `cxr.radiograph.scope.sample`.
        kinds, sources, groups: text (n,), as of `Picture`.
        originals: bool (n,), False where the picture was made from another one.
    """

    features: np.ndarray
    pictures: np.ndarray
    grey: np.ndarray
    kinds: np.ndarray
    sources: np.ndarray
    groups: np.ndarray
    originals: np.ndarray

    def __len__(self) -> int:
        return len(self.kinds)

    def of(self, rows: np.ndarray) -> "ScopeData":
        """Some of the pictures, by index or mask."""
        return ScopeData(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def gather(
    engine: Engine,
    pictures: Iterable[Picture],
    cache: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> ScopeData:
    """Run the serving graph on pictures.

    Args:
        engine: of the bundle, whose graph gives features.
        pictures: one by one; they need not fit into memory together.
        cache: folder that keeps features by the picture, for the next time; None: nowhere.
        report: gets a line now and then.
    """
    size = engine.bundle.card.input_size
    kept = _Kept(None if cache is None else cache / f"scope-{engine.bundle.card.files[GRAPH_FILE][:16]}")
    rows: list[tuple[str, str, str, bool]] = []
    features, small, grey = [], [], []
    waiting = iter(pictures)
    while some := list(islice(waiting, BATCH)):
        seen = np.stack([np.rint(model_input(_film(one.pixels), size)).astype(np.uint8) for one in some])
        features.append(kept.features(engine, seen))
        small += [picture(square) for square in seen]
        grey += [sample(square).copy() for square in seen]
        rows += [(one.kind, one.source, one.group, one.original) for one in some]
        if len(rows) % 400 < BATCH:
            report(f"{len(rows)} pictures looked at")
    kept.write()
    kinds, sources, groups, originals = (np.array(column) for column in zip(*rows, strict=True))
    return ScopeData(np.concatenate(features), np.stack(small), np.stack(grey), kinds, sources, groups, originals)


class _Kept:
    def __init__(self, folder: Path | None):
        self._folder = folder
        self._known: dict[str, np.ndarray] = {}
        self._new: dict[str, np.ndarray] = {}
        for file in self._files():
            with np.load(file, allow_pickle=False) as stored:
                self._known |= dict(zip(stored["keys"].tolist(), stored["features"], strict=True))

    def features(self, engine: Engine, squares: np.ndarray) -> np.ndarray:
        keys = [hashlib.sha256(square.tobytes()).hexdigest() for square in squares]
        new = [number for number, key in enumerate(keys) if key not in self._known]
        if new:
            made = engine.outputs(squares[new].astype(np.float32))[2]
            if made is None:
                raise ValueError(f"The serving graph of the model {engine.bundle.name} gives no features.")
            for number, vector in zip(new, made, strict=True):
                self._known[keys[number]] = self._new[keys[number]] = vector
        if len(self._new) >= CHUNK:
            self.write()
        return np.stack([self._known[key] for key in keys])

    def write(self) -> None:
        if self._folder is not None and self._new:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = hashlib.sha256("".join(self._new).encode()).hexdigest()[:16]
            draft = self._folder / f".{name}.draft.npz"
            np.savez(draft, keys=np.array(list(self._new)), features=np.stack(list(self._new.values())))
            draft.replace(self._folder / f"{name}.npz")
            self._new = {}

    def _files(self) -> Iterator[Path]:
        if self._folder is not None and self._folder.is_dir():
            yield from sorted(file for file in self._folder.glob("*.npz") if not file.name.startswith("."))


def _film(pixels: np.ndarray) -> Radiograph:
    height, width = pixels.shape
    return Radiograph(np.ascontiguousarray(pixels, np.float32), Facts("PNG", width, height, 8, "L"))
