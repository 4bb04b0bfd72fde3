"""Two models on films that neither has seen: which these are, and what both say of them."""

import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxr.dataset.labelled import UnusableDataset, load_films, open_folder
from cxr.evaluation.run import score_films
from cxr.evaluation.scored import ScoredFilms, film_key
from cxr.evaluation.stored import load_evaluation
from cxr.files import replace_file
from cxr.model.bundle import Bundle
from cxr.model.engine import Engine
from cxr.settings import settings
from cxr.training.patients import load_patients


class NotComparable(ValueError):
    """There are no films on which two models can be compared; the message is one sentence that says why."""


@dataclass(frozen=True, eq=False)
class PairedFilms:
    """n films that neither of two models has seen, and what each says of them.

    Attributes:
        basis: in words, which films these are.
        labels: uint8 (n, 15), 0 or 1.
        candidate, champion: float64 (n, 15), as `ScoredFilms.probabilities`.
        patients: (n,) integers, equal for films of one patient.
        sources: (n,) text.
    """

    basis: str
    labels: np.ndarray
    candidate: np.ndarray
    champion: np.ndarray
    patients: np.ndarray
    sources: np.ndarray

    def subset(self, mask: np.ndarray) -> "PairedFilms":
        """The films where the boolean `mask` (n,) is true."""
        columns = (self.labels, self.candidate, self.champion, self.patients, self.sources)
        return PairedFilms(self.basis, *(column[mask] for column in columns))


def compared(candidate: Bundle, champion: Bundle) -> PairedFilms:
    """The films that `compare_films` has kept for these two models, else those that both were tested on.

    Raises:
        NotComparable: there are none.
        BundleRejected: an evaluation is of another version of this software.
    """
    kept = _load(comparison_file(candidate.name, champion.name), _models(candidate, champion))
    return shared_test_films(candidate, champion) if kept is None else kept


def shared_test_films(candidate: Bundle, champion: Bundle) -> PairedFilms:
    """The films that both bundles carry as test films: of patients who had no part in making either.

    Raises:
        NotComparable: there are none, or their labels differ.
        BundleRejected: an evaluation is of another version of this software.
    """
    ours, theirs = held_out_films(candidate), held_out_films(champion)
    at = theirs.metadata.index.get_indexer(ours.metadata.index)
    shared = at >= 0
    if not shared.any():
        raise NotComparable(
            f"No film was held out for both {candidate.name} and {champion.name}; {_how_else(candidate, champion)}"
        )
    at = at[shared]
    if (ours.labels[shared] != theirs.labels[at]).any():
        raise NotComparable(
            f"{candidate.name} and {champion.name} were tested on the same films with other labels; "
            f"{_how_else(candidate, champion)}"
        )
    return PairedFilms(
        basis="the films that both models were tested on",
        labels=ours.labels[shared],
        candidate=ours.probabilities[shared],
        champion=theirs.probabilities[at],
        patients=ours.patients[shared],
        sources=ours.metadata["source"].to_numpy(dtype=str)[shared],
    )


def compare_films(
    candidate: Bundle,
    champion: Bundle,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> PairedFilms:
    """Score both models on the candidate's test films of patients who had no part in making either; keeps the result.

    It is kept in `evaluations_dir`, with the identity of both models, and counts as long as neither changes.

    Args:
        candidate, champion: of `load_bundle`.
        folder: the films that the candidate was made from, in the layout of the Kaggle release. All its test films have
            to be there, so that nobody can choose among them.
        progress: called with the number of films that are done, and of all.

    Raises:
        NotComparable: nobody knows whose films made the champion, or they were these patients'.
        UnusableDataset: test films are missing, have other labels, or can't be read.
        BundleRejected: a model can't be used.
    """
    tested = held_out_films(candidate)
    known = load_patients(champion)
    if known is None or not known.complete:
        raise NotComparable(
            f"The model {champion.name} does not say which patients made it, so it can be compared only on films that "
            "both models were tested on."
        )
    films = open_folder(folder, settings().cache_dir)
    keys = pd.Index([film_key(str(image_id)) for image_id in films.metadata.index])
    rows = keys.get_indexer(tested.metadata.index)
    if (rows < 0).any():
        raise UnusableDataset(
            f"{folder} has {int((rows >= 0).sum()):,} of the {len(rows):,} films that {candidate.name} was tested on; "
            "give the folder that it was made from."
        )
    if (films.labels[rows] != tested.labels).any():
        raise UnusableDataset(f"The films in {folder} have other labels than those that {candidate.name} had.")
    patients = films.metadata["patient"].to_numpy()[rows]
    seen = known.had_part(patients)
    if (own := load_patients(candidate)) is not None:
        # What it started from may have been trained on some of its test patients.
        seen |= own.had_part(patients)
    if seen.all():
        raise NotComparable(
            f"All patients that {candidate.name} was tested on had a part in making it or {champion.name}."
        )
    rows = rows[~seen]

    def scores(bundle: Bundle, done_before: int) -> np.ndarray:
        squares = load_films(films, rows, bundle.card.input_size, settings().cache_dir)
        scored, _ = score_films(
            Engine(bundle), squares, "", progress=lambda done, _: progress(done_before + done, 2 * len(rows))
        )
        return scored.probabilities

    found = PairedFilms(
        basis=f"test films of {candidate.name} whose patients had no part in making {champion.name}",
        labels=films.labels[rows],
        candidate=scores(candidate, 0),
        champion=scores(champion, len(rows)),
        patients=np.unique(patients[~seen], return_inverse=True)[1],
        sources=films.metadata["source"].to_numpy(dtype=str)[rows],
    )
    _save(found, comparison_file(candidate.name, champion.name), _models(candidate, champion))
    return found


def held_out_films(bundle: Bundle) -> ScoredFilms:
    """The test films of a bundle and its scores.

    Raises:
        NotComparable: it carries none, or not of held-out patients.
        BundleRejected: they are of another version of this software.
    """
    stored = load_evaluation(bundle)
    how = f"`python -m cxr evaluate --tfrecords GLOB --model {bundle.name} --store`"
    if stored is None:
        raise NotComparable(f"The model {bundle.name} carries no evaluation on held-out patients; make it: {how}.")
    if not stored.report.held_out:
        raise NotComparable(f"Of the model {bundle.name} nobody knows which patients it was not trained on.")
    return stored.films


def _how_else(candidate: Bundle, champion: Bundle) -> str:
    """How they can be compared all the same, or that they can't."""
    known = load_patients(champion)
    if known is None or not known.complete:
        return f"what others neither saw is not known, for {champion.name} does not say which patients made it."
    return f"compare them on films that neither saw: `python -m cxr gate {candidate.name} --data DIR`."


def _models(candidate: Bundle, champion: Bundle) -> tuple[str, str]:
    return candidate.model_sha256, champion.model_sha256


def comparison_file(candidate: str, champion: str) -> Path:
    """Where `compare_films` keeps what two models of these names say of films that neither saw."""
    return settings().evaluations_dir / candidate / f"against-{champion}.npz"


def _save(films: PairedFilms, file: Path, models: tuple[str, str]) -> None:
    content = io.BytesIO()
    np.savez_compressed(
        content,
        models=np.array(models),
        basis=np.array(films.basis),
        labels=films.labels,
        candidate=films.candidate.astype(np.float32),
        champion=films.champion.astype(np.float32),
        patients=films.patients.astype(np.int32),
        sources=films.sources,
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, content.getvalue())


def _load(file: Path, models: tuple[str, str]) -> PairedFilms | None:
    """What `_save` wrote; None if there is none, or of other models than these."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            if tuple(stored["models"].tolist()) != models:
                return None
            return PairedFilms(
                str(stored["basis"]),
                stored["labels"],
                stored["candidate"].astype(np.float64),
                stored["champion"].astype(np.float64),
                stored["patients"],
                stored["sources"],
            )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise NotComparable(f"The comparison in {file} can't be read; remove it or make it anew.") from error
