"""Published weights of TorchXRayVision (Cohen et al. 2022, arXiv:2111.00595) as a bundle of ours.

Its checkpoints are pickles, which run code when they are read: a file is compared with its SHA-256 before anything else
is done with it, and then read by another process (`cxr.model.xrv_child`).
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import keras
import numpy as np

import cxr
from cxr.findings import CATEGORIES, FINDINGS, NO_FINDING
from cxr.model.bundle import MAPS, Bundle
from cxr.model.card import Card, FindingPoint, OperatingNorm, OperatingPoint
from cxr.model.densenet import build_densenet, load_torch_weights
from cxr.model.export import predict, write_bundle
from cxr.model.geometry import measure_map_shift
from cxr.model.xrv_child import FACTS, NO_EXTRA
from cxr.settings import ROOT

INPUT_SIZE: Final = 224
GREY_SCALE: Final = 2 * 1024 / 255
GREY_OFFSET: Final = -1024.0
"""TorchXRayVision's networks take grey levels stretched to -1024..1024 (`normalize` of torchxrayvision/utils.py)."""
NORMAL_THRESHOLD: Final = 0.5
"""Where `OperatingNorm` puts every operating threshold."""

KNOWN_SHA256: Final = {"densenet121-res224-all": "56524913dd16a906422e8d8b66a7a5c46be1d82eb7ac012d8103776f1aa68899"}
"""SHA-256 by name of a published checkpoint. Its authors publish none; this one is what at least six unrelated public
projects check the file against (28,382,008 bytes)."""

NO_EXTRA_SENTENCE: Final = (
    "Reading TorchXRayVision's files needs PyTorch and torchxrayvision, and they are not installed here ({}): "
    "`pip install -r requirements-xrv.txt`."
)
CHILD_SECONDS: Final = 600
BASIS: Final = "the checkpoint's own operating threshold, which its authors chose"


class ImportRefused(RuntimeError):
    """A checkpoint that does not become a bundle; the message is one sentence that says why and what to do."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What was in a file.

    Attributes:
        source: where it comes from, in words.
        arrays: the weights by PyTorch's names.
        pathologies: name of each output of its classifier; "" for one that was not trained.
        thresholds: operating threshold of each output, as a probability; NaN where it has none.
    """

    source: str
    arrays: dict[str, np.ndarray]
    pathologies: tuple[str, ...]
    thresholds: tuple[float, ...]


def import_xrv(
    file: Path, folder: Path, probe_films: np.ndarray, *, sha256: str | None = None, published: str | None = None
) -> Bundle:
    """Make a bundle of a DenseNet-121 checkpoint of TorchXRayVision (224 pixels, one channel).

    Args:
        file: the checkpoint, as torchxrayvision's authors save it: the whole module.
        folder: becomes the bundle; its name is the model's name.
        probe_films: uint8 (n, 224, 224), kept with the bundle to verify it by.
        sha256: what the file's SHA-256 must be; None: one of `KNOWN_SHA256`.
        published: which of torchxrayvision's published checkpoints it is; None: known from its hash or file name, or
            else the file itself must name its outputs.

    Raises:
        ImportRefused: the file is another one, can't be read, or does not fit.
        BundleRejected: the serving graph does not agree with the Keras model.
        FileExistsError: `folder` exists; an import never replaces a model.
        OSError: the file can't be read.
    """
    if folder.exists():
        raise FileExistsError(f"There is a {folder.name} in {folder.parent} already; choose another name.")
    data = file.read_bytes()
    digest = check_sha256(file.name, data, sha256)
    facts, arrays = _in_child(data)
    checkpoint = _checkpoint(file.name, digest, arrays, facts, published)
    return _write(checkpoint, folder, probe_films)


def download(published: str, sha256: str | None, folder: Path) -> Path:
    """Fetch a published checkpoint from where the installed torchxrayvision says it is.

    Args:
        published: name in torchxrayvision's table.
        sha256: what its SHA-256 must be; None: that of `KNOWN_SHA256`, and a name without one is not fetched.
        folder: where the file goes, under its own name.

    Raises:
        ImportRefused: unknown, without a hash, not the file of that hash, or not to be had from here.
    """
    if sha256 is None and published not in KNOWN_SHA256:
        raise ImportRefused(f"The SHA-256 of {published} is not known here; give the one that you trust with --sha256.")
    url = _entry(published, _in_child(None)[0])["url"]
    if urlsplit(url).scheme != "https":
        raise ImportRefused(f"The address of {published} ({url}) is not https.")
    try:
        with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 (https, see above)
            data = response.read()
    except OSError as error:
        raise ImportRefused(
            f"{published} could not be downloaded from {url}; fetch it where there is internet, and import the file."
        ) from error
    file = folder / Path(urlsplit(url).path).name
    check_sha256(file.name, data, sha256 or KNOWN_SHA256[published])
    file.write_bytes(data)
    return file


def check_sha256(name: str, data: bytes, expected: str | None) -> str:
    """The SHA-256 of a file's bytes.

    Args:
        name: of the file, for the message.
        data: its bytes.
        expected: hexadecimal; None: one of `KNOWN_SHA256`.

    Raises:
        ImportRefused: it is another.
    """
    digest = hashlib.sha256(data).hexdigest()
    if expected is None:
        if digest not in KNOWN_SHA256.values():
            raise ImportRefused(
                f"{name} is none of the checkpoints that are known here ({', '.join(KNOWN_SHA256)}): it would run code "
                "when it is read, so say with --sha256 which file you trust."
            )
    elif not re.fullmatch(r"[0-9a-fA-F]{64}", expected):
        raise ImportRefused(f"A SHA-256 has 64 hexadecimal digits; {expected!r} has not.")
    elif digest != expected.lower():
        raise ImportRefused(f"{name} is not the file with the SHA-256 {expected.lower()}: it has {digest}.")
    return digest


def our_name(pathology: str) -> str:
    """The category of ours that a checkpoint's pathology is, or its own name where there is none."""
    plain = pathology.replace("_", " ").casefold()
    return next((name for name in CATEGORIES if name.replace("_", " ").casefold() == plain), pathology)


def _in_child(data: bytes | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Facts and arrays of a checkpoint that was checked; without one, what torchxrayvision publishes and no arrays."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "arrays.npz"
        command = [sys.executable, "-m", "cxr.model.xrv_child", str(out)]
        if data is not None:
            # The very bytes that were checked, whatever happens to the file meanwhile.
            copy = Path(scratch) / "checkpoint.pt"
            copy.write_bytes(data)
            command.append(str(copy))
        try:
            done = subprocess.run(  # noqa: S603 (our own interpreter and module)
                command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CHILD_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise ImportRefused(f"Reading the file took longer than {CHILD_SECONDS} seconds.") from error
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if done.returncode == NO_EXTRA:
            raise ImportRefused(NO_EXTRA_SENTENCE.format(said))
        if done.returncode or not out.is_file():
            raise ImportRefused(f"The file can't be read as a DenseNet of torchxrayvision: {said}.")
        with np.load(out, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    return json.loads(str(arrays.pop(FACTS))), arrays


def _entry(published: str, facts: dict[str, Any]) -> dict[str, Any]:
    table: dict[str, dict[str, Any]] = facts["published"]
    if published not in table:
        raise ImportRefused(f"Torchxrayvision publishes no {published!r}; it has {', '.join(table)}.")
    return table[published]


def _checkpoint(
    name: str, digest: str, arrays: dict[str, np.ndarray], facts: dict[str, Any], published: str | None
) -> Checkpoint:
    """Put names and thresholds to the outputs.

    For a published checkpoint they are torchxrayvision's, which loads it with these whatever the file says: a file can
    name outputs that had no labels in training. Any other has to name its own.
    """
    hashes = {known: identity for identity, known in KNOWN_SHA256.items()}
    files = {Path(urlsplit(entry["url"]).path).name: identity for identity, entry in facts["published"].items()}
    identity = published or hashes.get(digest) or files.get(name)
    own = facts["pathologies"]
    if identity is None:
        if own is None or facts["thresholds"] is None:
            raise ImportRefused(
                f"{name} does not say which pathologies its outputs are, or their operating thresholds; say with "
                f"--published which checkpoint it is: {', '.join(facts['published'])}."
            )
        return Checkpoint(f"{name}, SHA-256 {digest}", arrays, tuple(own), _numbers(facts["thresholds"]))
    entry = _entry(identity, facts)
    pathologies = tuple(entry["pathologies"])
    if own is not None and any(a and b and a != b for a, b in zip(own, pathologies, strict=False)):
        raise ImportRefused(f"{name} names its outputs otherwise than torchxrayvision's {identity}; it is another one.")
    trained = f" ({entry['description'].rstrip('.')})" if entry["description"] else ""
    source = f"TorchXRayVision's {identity}{trained}, SHA-256 {digest}"
    return Checkpoint(source, arrays, pathologies, _numbers(entry["thresholds"]))


def _numbers(thresholds: list[float | None]) -> tuple[float, ...]:
    return tuple(float("nan") if at is None else at for at in thresholds)


def outputs_of(checkpoint: Checkpoint) -> dict[str, int]:
    """Our name of each output -> its row in the checkpoint's classifier: categories in our order, then the others."""
    rows: dict[str, int] = {}
    for row, pathology in enumerate(checkpoint.pathologies):
        name = our_name(pathology)
        if name in rows:
            raise ImportRefused(f"The checkpoint has {name} twice.")
        if pathology:
            rows[name] = row
    if not set(rows) & set(FINDINGS):
        raise ImportRefused(
            f"The checkpoint has none of the 14 findings; it has {', '.join(rows) or 'no named output'}."
        )
    if len(checkpoint.pathologies) != len(checkpoint.thresholds):
        raise ImportRefused(
            f"The checkpoint has {len(checkpoint.pathologies)} names and {len(checkpoint.thresholds)} thresholds."
        )
    for name, row in rows.items():
        at = checkpoint.thresholds[row]
        if not 0 < at < 1:
            raise ImportRefused(f"The checkpoint's operating threshold of {name} is {at}, not between 0 and 1.")
    ours = [name for name in CATEGORIES if name in rows]
    return {name: rows[name] for name in (*ours, *(name for name in rows if name not in ours))}


def _write(checkpoint: Checkpoint, folder: Path, probe_films: np.ndarray) -> Bundle:
    rows = outputs_of(checkpoint)
    model = build_densenet(INPUT_SIZE, len(rows), GREY_SCALE, GREY_OFFSET)
    try:
        load_torch_weights(model, checkpoint.arrays, list(rows.values()))
    except ValueError as error:
        raise ImportRefused(f"The checkpoint is no DenseNet-121 of torchxrayvision: {error}.") from error
    card = imported_card(folder.name, model, checkpoint, rows, probe_films)
    return write_bundle(folder, model, card, probe_films)


def imported_card(
    name: str, model: keras.Model, checkpoint: Checkpoint, rows: dict[str, int], probe_films: np.ndarray
) -> Card:
    """The card of a model that was neither trained nor measured here.

    Args:
        name: of the model.
        model: with the checkpoint's weights.
        checkpoint: where they come from.
        rows: name of each output of the model -> row of the checkpoint's classifier.
        probe_films: uint8 (n, size, size), on which the shift of the maps is measured.
    """
    return Card(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        backbone="densenet121 of TorchXRayVision",
        input_size=probe_films.shape[1],
        categories=tuple(rows),
        abnormal_from="no finding" if NO_FINDING in rows else "any finding",
        head_bias=tuple(float(b) for b in model.get_layer(MAPS).get_weights()[1]),
        map_shift=measure_map_shift(
            lambda squares: predict(model, squares)[1], probe_films, int(model.output[MAPS].shape[1])
        ),
        calibration=OperatingNorm(thresholds=tuple(checkpoint.thresholds[k] for k in rows.values())),
        operating_points=(_point([category for category in rows if category != NO_FINDING]),),
        data=None,
        evaluation=None,
        training={},
        epochs=(),
        best_epoch=None,
        initial_weights=checkpoint.source,
        versions={"cxr": cxr.__version__} | {p: version(p) for p in ("keras", "onnxruntime", "numpy")},
        files={},
    )


def _point(findings: list[str]) -> OperatingPoint:
    """The checkpoint's own thresholds, which nobody has measured here."""
    unmeasured = {"sensitivity": None, "specificity": None}
    each = FindingPoint(threshold=NORMAL_THRESHOLD, basis=BASIS, positives=0, **unmeasured)
    return OperatingPoint(
        name="balanced",
        threshold=NORMAL_THRESHOLD,
        uncertain_low=NORMAL_THRESHOLD,
        uncertain_high=NORMAL_THRESHOLD,
        basis=BASIS,
        uncertain_share=None,
        accuracy=None,
        accuracy_outside=None,
        findings=dict.fromkeys(findings, each),
        **unmeasured,
    )
