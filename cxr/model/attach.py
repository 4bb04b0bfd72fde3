"""Files that are added to a bundle after it was written."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from cxr.model.bundle import Bundle, file_sha256, load_bundle, write_card


def attach(bundle: Bundle, names: tuple[str, ...], write: Callable[[Path], None]) -> Bundle:
    """Add or replace files of a bundle, so that at no moment a half-written one stands in its place.

    Args:
        bundle: of `load_bundle`.
        names: of the files.
        write: gets a folder and writes the files there.

    Returns:
        The bundle with the files and their hashes in its card.

    Raises:
        BundleRejected: what was written can't be loaded; the bundle is then as it was.
    """
    folder = bundle.path
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        draft = Path(shutil.copytree(folder, Path(scratch) / folder.name))
        write(draft)
        files = bundle.card.files | {name: file_sha256(draft / name) for name in names}
        write_card(draft, bundle.card.model_copy(update={"files": files}))
        load_bundle(draft)
        folder.replace(Path(scratch) / "replaced")
        draft.replace(folder)
    return load_bundle(folder)
