"""What the files of a bundle may be before anything loads them: sizes, kinds of arrays, and nothing outside.

Whoever writes a bundle writes its hashes too, so a file that its card describes may still mean harm. Here are the
limits that hold all the same, for the parts that every process reads; `cxr.model.graph_check` and
`cxr.model.keras_check` look into the two model files. There is no upload of models, so this guards against a bundle
that came from elsewhere, not against who may write into the models folder at the moment a file is read.
"""

import math
import stat
import zipfile
from pathlib import Path
from typing import IO, Final

import numpy as np

MEGABYTE: Final = 1024**2
LARGEST: Final = {
    # The largest backbone on offer (Xception) has 83 MB of weights.
    ".keras": 512 * MEGABYTE,
    ".onnx": 512 * MEGABYTE,
    # Scores of NIH's 25,596 test films take 5 MB.
    ".npz": 256 * MEGABYTE,
    ".json": 16 * MEGABYTE,
}
"""Bytes of a file by its ending; files of other kinds have no place in a bundle."""
LARGEST_CARD: Final = 2 * MEGABYTE
"""The shipped card has 0.1 MB, of which the course of training is most."""
UNPACKED: Final = 512 * MEGABYTE
"""Bytes of all arrays of one `.npz` file, unpacked."""
MOST_ARRAYS: Final = 256
LARGEST_INPUT: Final = 2048
"""Side of the square that a model sees, pixels."""
MOST_CATEGORIES: Final = 200


class Unfit(ValueError):
    """A file that must not be loaded; the message says why and goes on after the file's name."""


def check_file(file: Path, largest: int | None = None) -> None:
    """Raise `Unfit` for a file that is a link or a device, of a kind that no bundle has, or too large.

    Args:
        file: of the bundle.
        largest: bytes; None: by its ending.

    Raises:
        Unfit: as said.
        OSError: it is not there.
    """
    found = file.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise Unfit("is a link; a bundle holds its files itself")
    if not stat.S_ISREG(found.st_mode):
        raise Unfit("is no file")
    limit = LARGEST.get(file.suffix) if largest is None else largest
    if limit is None:
        raise Unfit("is of a kind that no bundle has")
    if found.st_size > limit:
        raise Unfit(f"has {found.st_size / MEGABYTE:,.0f} MB, more than the {limit / MEGABYTE:,.0f} MB that are loaded")


def check_arrays(file: Path) -> None:
    """Raise `Unfit` unless a `.npz` file holds plain arrays alone, each as large as it says, and not too much of them.

    Only the heads of the arrays are read. So no pickle is loaded, and no array is made that is larger than its bytes.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ARRAYS:
                raise Unfit(f"holds {len(entries)} arrays, more than the {MOST_ARRAYS} that are loaded")
            # The sizes that the archive states are those up to which it is unpacked.
            if (total := sum(entry.file_size for entry in entries)) > UNPACKED:
                raise Unfit(f"unpacks to {total / MEGABYTE:,.0f} MB, more than {UNPACKED / MEGABYTE:,.0f}")
            for entry in entries:
                if not entry.filename.endswith(".npy") or entry.flag_bits & 0x1:
                    raise Unfit("holds something else than arrays")
                with archive.open(entry) as stream:
                    _check_array(stream, entry.file_size)
    except Unfit:
        raise
    except Exception as error:
        # zipfile, zlib and NumPy raise many things for what is damaged.
        raise Unfit("is damaged") from error


def _check_array(stream: IO[bytes], size: int) -> None:
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise Unfit("holds an array of an unknown version")
    shape, _, kind = readers[version](stream)
    if kind.hasobject or not kind.itemsize:
        raise Unfit("holds Python objects, which are not loaded")
    if any(side < 0 for side in shape) or math.prod(shape) * kind.itemsize != size - stream.tell():
        raise Unfit("holds an array that is not as large as it says")
