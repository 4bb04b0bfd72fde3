"""The curves of a run: a row for each epoch, points within, and what the model says of a few films.

Written by the process that trains, and read by anybody at any moment: a last line that is not whole does not count.
"""

import csv
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cxr.files import replace_file
from cxr.jobs.folder import SAMPLES_FILE, STEPS_FILE, read_part, write_part
from cxr.jobs.spec import JobPart
from cxr.training.listener import SamplePredictions, StepMetrics
from cxr.training.run import METRICS_FILE, EpochMetrics

if TYPE_CHECKING:
    import pandas as pd

STEP_COLUMNS: Final = ("epoch", "step", "steps", "loss", "learning_rate", "films_per_second", "waiting")
EPOCH_COLUMNS: Final = tuple(EpochMetrics.model_fields)
MOST_DRAWN: Final = 2000
"""Points of a curve; a screen shows no more."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What may be drawn of a run.

    Attributes:
        epochs: a row for each complete epoch, the columns of `EpochMetrics`; NaN where there are too few films to say.
        steps: a row about every second, the columns of `StepMetrics` but what it foretells, and `place`: epochs that
            had passed, with fractions.
    """

    epochs: "pd.DataFrame"
    steps: "pd.DataFrame"

    @property
    def drawn_steps(self) -> "pd.DataFrame":
        """`steps` for drawing: at most `MOST_DRAWN` of its rows, evenly chosen, the first and the last among them."""
        if len(self.steps) <= MOST_DRAWN:
            return self.steps
        rows = np.linspace(0, len(self.steps) - 1, MOST_DRAWN).round().astype(int)
        return self.steps.iloc[rows].reset_index(drop=True)


def read_curves(folder: Path) -> Curves:
    """The curves of the run in a folder; without rows before there are any."""
    return Curves(read_epochs(folder), read_steps(folder))


def read_epochs(folder: Path) -> "pd.DataFrame":
    """See `Curves.epochs`."""
    return _table(folder / METRICS_FILE, EPOCH_COLUMNS).astype({"number": int})


def read_steps(folder: Path) -> "pd.DataFrame":
    """See `Curves.steps`. Of a step that was made twice the last row counts."""
    file = folder / STEPS_FILE
    try:
        now = file.stat()
    except OSError:
        return _steps(file, 0, 0).copy()
    return _steps(file, now.st_mtime_ns, now.st_size).copy()


@lru_cache(maxsize=8)
def _steps(file: Path, written: int, size: int) -> "pd.DataFrame":
    """The steps of a file, read once for all who look until it has changed: another size, or another time in ns."""
    table = _table(file, STEP_COLUMNS).astype({"epoch": int, "step": int, "steps": int})
    table = table.drop_duplicates(["epoch", "step"], keep="last").sort_values(["epoch", "step"], ignore_index=True)
    return table.assign(place=table["epoch"] - 1 + table["step"] / table["steps"])


class StepsFile:
    """`steps.csv` of the process that trains.

    Args:
        folder: of the run.
        first: the first step that this process makes, (epoch, step): what an earlier one wrote of this and of later
            steps, after its last checkpoint, is dropped.
    """

    def __init__(self, folder: Path, first: tuple[int, int]):
        self.file = folder / STEPS_FILE
        kept = [row for row in _rows(self.file, STEP_COLUMNS) if (int(row[0]), int(row[1])) < first]
        replace_file(self.file, "".join(map(_line, [STEP_COLUMNS, *kept])).encode())

    def append(self, metrics: StepMetrics) -> None:
        """Add a row. Raises `OSError`."""
        with self.file.open("a") as stream:
            stream.write(_line([getattr(metrics, column) for column in STEP_COLUMNS]))


def _line(values: object) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)  # type: ignore[arg-type]
    return text.getvalue()


def _table(file: Path, columns: tuple[str, ...]) -> "pd.DataFrame":
    # Who lists jobs, or waits for its turn, does without.
    import pandas as pd

    quick = _sound_table(file, columns)
    if quick is not None:
        return quick
    return pd.DataFrame(_rows(file, columns), columns=list(columns), dtype=float)


def _sound_table(file: Path, columns: tuple[str, ...]) -> "pd.DataFrame | None":
    """What `_rows` finds, many times faster, of a file of which each whole line is a row of numbers; else None."""
    import pandas as pd

    try:
        _, _, lines = file.read_bytes().rpartition(b"\n")[0].partition(b"\n")
        table = pd.read_csv(
            io.BytesIO(lines),
            names=list(columns),
            dtype=float,
            keep_default_na=False,
            na_values=[""],
            quoting=csv.QUOTE_NONE,
        )
    except (OSError, ValueError):
        # No file, no rows, or something that is no number.
        return None
    # A last cell in each row means no row is short, and as many commas as that takes that none is long.
    rows = lines.count(b"\n") + 1
    whole = len(table) == rows and lines.count(b",") == rows * (len(columns) - 1)
    return table if whole and bool(table.iloc[:, [0, -1]].notna().all(axis=None)) else None


def _rows(file: Path, columns: tuple[str, ...]) -> list[list[float]]:
    """The rows of a CSV file with these columns that are whole; an empty cell is NaN. None if there is no file."""
    try:
        whole, _, _ = file.read_bytes().rpartition(b"\n")
    except OSError:
        return []
    found = []
    for cells in csv.reader(whole.decode(errors="replace").splitlines()[1:]):
        try:
            values = [float(cell) if cell else np.nan for cell in cells]
        except ValueError:
            continue
        # What names a row is never empty.
        if len(values) == len(columns) and not np.isnan(values[0]):
            found.append(values)
    return found


@dataclass(frozen=True, eq=False)
class Samples:
    """What a model said of a few validation films, the same after each epoch.

    Attributes:
        image_ids: of n films.
        labels: uint8 (n, 15), 0 or 1, in the order of `CATEGORIES`.
        epochs: numbers of the m complete epochs.
        probabilities: float (m, n, 15), of the network, before calibration.
    """

    image_ids: tuple[str, ...]
    labels: np.ndarray
    epochs: tuple[int, ...]
    probabilities: np.ndarray


class StoredSamples(JobPart):
    """`samples.json`: `Samples` with lists for arrays."""

    image_ids: tuple[str, ...]
    labels: list[list[int]]
    epochs: list[int]
    probabilities: list[list[list[float]]]


def read_samples(folder: Path) -> Samples | None:
    """What the model said so far of the sample films of a run; None before the first epoch."""
    stored = read_part(folder / SAMPLES_FILE, StoredSamples)
    if stored is None:
        return None
    labels, probabilities = np.array(stored.labels, np.uint8), np.array(stored.probabilities)
    return Samples(stored.image_ids, labels, tuple(stored.epochs), probabilities)


def add_samples(folder: Path, epoch: int, said: SamplePredictions) -> None:
    """Keep what a model says after an epoch; what was kept of it or of later ones is dropped. Raises `OSError`."""
    labels = said.labels.tolist()
    known = read_part(folder / SAMPLES_FILE, StoredSamples)
    if known is None or (known.image_ids, known.labels) != (said.image_ids, labels):
        known = StoredSamples(image_ids=said.image_ids, labels=labels, epochs=[], probabilities=[])
    before = sum(number < epoch for number in known.epochs)
    probabilities = said.probabilities.astype(float).round(4).tolist()
    kept = {
        "epochs": [*known.epochs[:before], epoch],
        "probabilities": [*known.probabilities[:before], probabilities],
    }
    write_part(folder / SAMPLES_FILE, known.model_copy(update=kept))
