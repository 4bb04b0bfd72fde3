"""Which evaluation the page shows: that which a bundle carries."""

from pathlib import Path

import streamlit as st

from cxr.evaluation.metrics import Resamples, resample_patients
from cxr.evaluation.report import Report
from cxr.evaluation.stored import REPORT_FILE, StoredEvaluation, load_evaluation, load_saved
from cxr.model.bundle import CARD_FILE, Bundle, BundleRejected, bundle_path, file_sha256, load_bundle


@st.cache_resource(max_entries=4, show_spinner="Loading the evaluation")
def _loaded(name: str, card_sha256: str) -> tuple[Bundle, StoredEvaluation | None, Resamples | None]:
    # `card_sha256` is for the cache's key: a bundle replaced under its name is loaded anew.
    bundle = load_bundle(bundle_path(name))
    stored = load_evaluation(bundle)
    return bundle, stored, None if stored is None else resample_patients(stored.films.patients)


def evaluated(name: str) -> tuple[Bundle, StoredEvaluation | None, Resamples | None]:
    """A bundle with its evaluation and the resamples of its films; no evaluation if it carries none.

    Raises:
        BundleRejected: the bundle or its evaluation can't be read.
    """
    try:
        return _loaded(name, file_sha256(bundle_path(name) / CARD_FILE))
    except OSError as error:
        raise BundleRejected(f"The model {name} is being replaced. Reload the page in a moment.") from error


def report_of(name: str) -> Report | None:
    """The report that a bundle carries; None if it carries none that can be read."""
    try:
        stored = evaluated(name)[1]
    except BundleRejected:
        return None
    return None if stored is None else stored.report


@st.cache_resource(max_entries=4, show_spinner="Loading the evaluation")
def _saved(folder: str, state: int) -> tuple[StoredEvaluation, Resamples]:
    # `state` is for the cache's key: it changes with the file.
    stored = load_saved(Path(folder))
    return stored, resample_patients(stored.films.patients)


def evaluated_on(folder: Path) -> tuple[StoredEvaluation, Resamples]:
    """A saved evaluation. Raises `BundleRejected` if it can't be read."""
    return _saved(str(folder), (folder / REPORT_FILE).stat().st_mtime_ns)


def command(name: str, further: str = "") -> str:
    """What makes the evaluation of a bundle, as a line for the terminal."""
    return f"python -m cxr evaluate --tfrecords 'DIR/**/*.tfrec' --model {name} --store {further}".rstrip()
