"""Files that are added to a bundle after it was written."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cxr.model.bundle import Bundle, file_sha256, load_bundle, write_card


def attach(
    bundle: Bundle, names: tuple[str, ...], write: Callable[[Path], None], facts: dict[str, Any] | None = None
) -> Bundle:
    """Add or replace files and facts of a bundle, so that at no moment a half-written one stands in its place.

    Args:
        bundle: of `load_bundle`.
        names: of the files.
        write: gets a folder and writes the files there.
        facts: fields of the card to replace.

    Returns:
        The bundle with the files, and their hashes and the facts in its card.

    Raises:
        BundleRejected: what was written can't be loaded; the bundle is then as it was.
    """
    folder = bundle.path
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        draft = Path(shutil.copytree(folder, Path(scratch) / folder.name))
        write(draft)
        files = bundle.card.files | {name: file_sha256(draft / name) for name in names}
        write_card(draft, bundle.card.model_copy(update=(facts or {}) | {"files": files}))
        load_bundle(draft)
        folder.replace(Path(scratch) / "replaced")
        draft.replace(folder)
    return load_bundle(folder)
