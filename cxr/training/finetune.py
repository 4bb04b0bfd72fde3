"""`finetune`: from a folder of labelled films to a verified bundle with its card."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Final

import keras
import numpy as np
import pandas as pd

import cxr
from cxr.dataset.labelled import LabelledFilms, UnusableDataset
from cxr.dataset.splits import SPLITS
from cxr.dataset.table import release
from cxr.evaluation.evaluate import evaluate
from cxr.evaluation.run import report_of, score_films
from cxr.evaluation.stored import HELD_OUT, store
from cxr.evaluation.thresholds import Scored, operating_points
from cxr.findings import NO_FINDING_INDEX
from cxr.model.bundle import MAPS, Bundle
from cxr.model.card import Calibration, Card, Data, Evaluation, OperatingPoint, Parent, SplitCount
from cxr.model.classifier import build_classifier
from cxr.model.engine import Engine
from cxr.model.export import check_writable, predict, probe_films, write_bundle
from cxr.model.features import channels
from cxr.model.geometry import measure_map_shift
from cxr.model.names import weights_file
from cxr.settings import settings
from cxr.training import devices
from cxr.training.calibration import fit_platt, uncalibrated
from cxr.training.config import TrainingConfig
from cxr.training.data import TrainingData, open_training_data
from cxr.training.fit import class_weights, fit, start_from_prior
from cxr.training.listener import SILENT, Listener
from cxr.training.parent import check_patients, load_parent, start_from
from cxr.training.parts import too_few
from cxr.training.patients import keep_patients
from cxr.training.run import EpochMetrics, Progress, RunDirectory
from cxr.training.scope_bundle import Folders, add_scope
from cxr.training.scope_sources import QUICK

SHIFT_FILMS: Final = 24
"""Films on which the shift of the maps is measured; how it varies between them says whether it is one."""


def finetune(
    data: Path,
    out: Path,
    config: TrainingConfig,
    run: Path,
    report: Callable[[str], None] = lambda line: None,
    *,
    restart: bool = False,
    listener: Listener = SILENT,
) -> Bundle:
    """Train, calibrate, evaluate and write a bundle.

    Train patients train; validation patients choose the epoch; calibration patients calibrate and set thresholds; the
    numbers in the card are measured on the test patients, who had no part in any of it. The scope check is fitted on
    the calibration patients' films, and on pictures that every machine has.

    Args:
        data: folder in the layout of the Kaggle TFRecord release.
        out: folder of the bundle; its name is the model's name.
        config: see `TrainingConfig`.
        run: folder that keeps configuration, metrics and checkpoints. What an earlier process has left there of the
            same run is gone on with.
        report: gets a line about each step.
        restart: begin anew instead.
        listener: hears how training goes, and may stop it.

    Raises:
        UnusableDataset, ValueError, WeightsUnavailable, TrainingDiverged, TrainingStopped, BundleRejected,
            FileExistsError: with one sentence each; `out` is then as it was.
    """
    check_writable(out)
    devices.prepare(config)
    parent = load_parent(config)
    films = open_training_data(data, config, settings().cache_dir, report, listener.should_stop)
    _check_patients_suffice(films)
    for name, count in _counts(films).items():
        report(f"{name}: {count.films} films of {count.patients} patients")
    if parent is not None:
        check_patients(parent, films.split_hash, films.metadata.index, data)
    directory = RunDirectory(run, config, _identity(films), restart=restart)

    model = build_classifier(
        config.backbone,
        config.input_size,
        weights=None if parent is not None else config.weights or ("imagenet" if config.imagenet else None),
        dropout=config.dropout,
    )
    start_from_prior(model, films.train.labels, config)
    if parent is not None:
        start_from(model, parent)
    progress = fit(
        model, films.train, films.validation, config, directory, lambda epoch: report(_line(epoch, config)), listener
    )
    report(f"kept epoch {progress.best_epoch}; calibrating and evaluating")
    card = _card(out.name, model, films, data.name, config, progress, parent)
    bundle = write_bundle(out, model, card, probe_films(config.input_size))
    engine = Engine(bundle)
    scored, cases = score_films(engine, films.test, HELD_OUT, release().boxes)
    stored = store(bundle, report_of(engine, scored, cases, held_out=True), scored)
    known = keep_patients(stored, films.metadata["patient"], films.split, parent)
    report("fitting its scope check")
    others = settings().scope_pictures
    folders = Folders(out_of_scope=() if others is None else (others,))
    return add_scope(known, channels(model), films.calibration, films.test, folders, QUICK)


def _card(
    name: str,
    model: keras.Model,
    films: TrainingData,
    data_name: str,
    config: TrainingConfig,
    progress: Progress,
    parent: Bundle | None,
) -> Card:
    assessed = assess(model, films, config)
    if parent is not None:
        weights = f"the model {parent.name}"
    elif config.weights is not None:
        file = weights_file(config.backbone, config.weights)
        weights = f"the weights {file.name} (SHA-256 {hashlib.sha256(file.read_bytes()).hexdigest()})"
    else:
        weights = "ImageNet weights" if config.imagenet else "random weights"
    return Card(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        backbone=config.backbone,
        input_size=config.input_size,
        head_bias=tuple(float(b) for b in model.get_layer(MAPS).get_weights()[1]),
        calibration=assessed.calibration,
        operating_points=assessed.operating_points,
        map_shift=measure_map_shift(
            lambda squares: predict(model, squares)[1],
            films.calibration.pixels[:SHIFT_FILMS],
            model.output[MAPS].shape[1],
        ),
        data=Data(
            name=data_name,
            splits=_counts(films),
            sources={str(k): int(v) for k, v in films.metadata["source"].value_counts().items()},
            views={str(k): int(v) for k, v in films.metadata["view"].value_counts().items()},
            hash=films.split_hash,
        ),
        evaluation=assessed.evaluation,
        training=config.model_dump(),
        epochs=tuple(epoch.of_card() for epoch in progress.epochs),
        best_epoch=progress.best_epoch,
        initial_weights=weights,
        parent=None if parent is None else Parent(name=parent.name, model_sha256=parent.model_sha256),
        versions=_versions(),
        files={},
    )


def _versions() -> dict[str, str]:
    """Versions of what trained and of what serves; of Keras' backends the one that was used."""
    used = ("keras", keras.backend.backend(), "onnxruntime", "numpy")
    return {"cxr": cxr.__version__} | {name: str(import_module(name).__version__) for name in used}


def _identity(films: TrainingData) -> str:
    """Changes with the films, their labels and their splits."""
    facts = hashlib.sha256(f"{films.split_hash};{','.join(map(str, films.metadata.index))}".encode())
    for labels in (films.train.labels, *(getattr(films, name).labels for name in SPLITS[1:])):
        facts.update(labels.tobytes())
    return facts.hexdigest()


@dataclass(frozen=True)
class Assessment:
    """What calibration and test patients say of a trained model."""

    calibration: Calibration
    operating_points: tuple[OperatingPoint, ...]
    evaluation: Evaluation


def assess(model: keras.Model, films: TrainingData, config: TrainingConfig) -> Assessment:
    """Calibrate and set thresholds on the calibration patients; measure both, and the model, on the test patients.

    Args:
        model: a trained classifier.
        films: that it was trained with.
        config: of the run that trained it.
    """
    train_labels, held_out, test = films.train.labels, films.calibration, films.test
    held_out_logits, test_logits = (predict(model, part.pixels)[0] for part in (held_out, test))
    calibration = fit_platt(held_out_logits, held_out.labels, -np.log(class_weights(train_labels, config)))
    probabilities = calibration.probabilities(test_logits)
    return Assessment(
        calibration,
        operating_points(
            Scored(held_out.labels, calibration.probabilities(held_out_logits), _patients(held_out)),
            Scored(test.labels, probabilities, _patients(test)),
        ),
        evaluate(
            test.labels, probabilities, uncalibrated(test_logits), test.metadata, train_labels, films.train_metadata
        ),
    )


def _patients(films: LabelledFilms) -> np.ndarray:
    return films.metadata["patient"].to_numpy()


def _parts(films: TrainingData) -> dict[str, tuple[np.ndarray, pd.Series]]:
    """By name of split: uint8 (n,), 1 where a film is abnormal, and the patients of the films."""
    train = (1 - films.train.labels[:, NO_FINDING_INDEX], films.train_metadata["patient"])
    held_out = {name: getattr(films, name) for name in SPLITS[1:]}
    return {"train": train} | {name: (part.abnormal, part.metadata["patient"]) for name, part in held_out.items()}


def _counts(films: TrainingData) -> dict[str, SplitCount]:
    return {
        name: SplitCount(films=len(abnormal), patients=int(patients.nunique()), abnormal_films=int(abnormal.sum()))
        for name, (abnormal, patients) in _parts(films).items()
    }


def _check_patients_suffice(films: TrainingData) -> None:
    for name, (abnormal, patients) in _parts(films).items():
        if sentence := too_few(name, abnormal, patients.to_numpy()):
            raise UnusableDataset(sentence)


def _line(epoch: EpochMetrics, config: TrainingConfig) -> str:
    scores = {"macro-AUROC": epoch.macro_auroc, "abnormal AUROC": epoch.abnormal_auroc}
    shown = ", ".join(f"{name} {'too few films' if s is None else f'{s:.3f}'}" for name, s in scores.items())
    return (
        f"epoch {epoch.number} of {config.epochs}: loss {epoch.loss:.4f}, validation {shown}, {epoch.seconds:.0f} s, "
        f"{epoch.films_per_second:.1f} films/s, {100 * epoch.waiting:.0f}% of the time waiting for films"
    )
