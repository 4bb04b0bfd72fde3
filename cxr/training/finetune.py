"""`finetune`: from a folder of labelled films to a verified bundle with its card."""

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import cxr
from cxr.dataset.labelled import LabelledFilms, UnusableDataset, load_labelled_films
from cxr.dataset.splits import SPLITS, check_disjoint, split_by_patient, split_hash
from cxr.evaluation.evaluate import evaluate
from cxr.evaluation.metrics import MIN_FILMS, patient_weights
from cxr.evaluation.thresholds import Scored, operating_points
from cxr.model.bundle import Bundle
from cxr.model.card import Card, Data, Epoch, SplitCount
from cxr.model.classifier import MAPS, build_classifier
from cxr.model.export import check_writable, predict, write_bundle
from cxr.radiograph import model_input, read_radiograph
from cxr.samples import SAMPLES
from cxr.settings import settings
from cxr.training.calibration import fit_platt, uncalibrated
from cxr.training.config import TrainingConfig
from cxr.training.fit import class_weights, fit


def finetune(
    data: Path, out: Path, config: TrainingConfig, report: Callable[[str], None] = lambda line: None
) -> Bundle:
    """Train, calibrate, evaluate and write a bundle.

    Train patients train; validation patients choose the epoch; calibration patients calibrate and set thresholds; the
    numbers in the card are measured on the test patients, who had no part in any of it.

    Args:
        data: folder in the layout of the Kaggle TFRecord release.
        out: folder of the bundle; its name is the model's name.
        config: see `TrainingConfig`.
        report: gets a line about each step.

    Raises:
        UnusableDataset, ValueError, WeightsUnavailable, TrainingDiverged, BundleRejected, FileExistsError: with one
            sentence each; `out` is then as it was.
    """
    check_writable(out)
    films = load_labelled_films(data, config.input_size, settings().cache_dir)
    split = split_films(films, config)
    parts = {name: films.subset((split == name).to_numpy()) for name in SPLITS}
    _check_parts(parts)
    for name, part in parts.items():
        report(f"{name}: {len(part.labels)} films of {part.metadata['patient'].nunique()} patients")

    keras.utils.set_random_seed(config.seed)
    model = build_classifier(
        config.backbone, config.input_size, weights="imagenet" if config.imagenet else None, dropout=config.dropout
    )
    train = parts["train"]
    epochs, best = fit(model, train, parts["validation"], config, lambda epoch: report(_line(epoch, config)))
    report(f"kept epoch {best}; calibrating and evaluating")

    logits = {name: predict(model, parts[name].pixels)[0] for name in ("calibration", "test")}
    weights = class_weights(train.labels, config)
    calibration = fit_platt(logits["calibration"], parts["calibration"].labels, -np.log(weights))
    scored = {
        name: Scored(
            parts[name].labels,
            calibration.probabilities(logits[name]),
            parts[name].metadata["patient"].to_numpy(),
        )
        for name in logits
    }
    test = parts["test"]
    evaluation = evaluate(
        test.labels,
        scored["test"].probabilities,
        uncalibrated(logits["test"]),
        test.metadata,
        train.labels,
        train.metadata,
    )
    card = Card(
        name=out.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        backbone=config.backbone,
        input_size=config.input_size,
        head_bias=tuple(float(b) for b in model.get_layer(MAPS).get_weights()[1]),
        calibration=calibration,
        operating_points=operating_points(
            scored["calibration"], scored["test"], patient_weights(scored["test"].patients)
        ),
        data=_data(films, parts, split_hash(films.metadata["patient"], split), data),
        evaluation=evaluation,
        training=config.model_dump(),
        epochs=tuple(epochs),
        best_epoch=best,
        initial_weights=f"{config.backbone}, {'ImageNet' if config.imagenet else 'random'}",
        versions={"cxr": cxr.__version__} | {p: version(p) for p in ("keras", "tensorflow", "onnxruntime", "numpy")},
        files={},
    )
    return write_bundle(out, model, card, probe_films(config.input_size))


def split_films(films: LabelledFilms, config: TrainingConfig) -> pd.Series:
    """Which of the four splits each film is in; balanced for source and abnormality, disjoint in patients."""
    patients = films.metadata["patient"]
    strata = films.metadata["source"].astype(str) + np.where(films.abnormal == 1, ", abnormal", ", no finding")
    split = split_by_patient(patients, strata, config.fractions, config.seed)
    check_disjoint(patients, split)
    return split


def probe_films(size: int) -> np.ndarray:
    """The shipped samples as the model sees them, uint8 (3, size, size): films that any bundle may carry with it."""
    squares = [model_input(read_radiograph(sample.read()), size) for sample in SAMPLES]
    return np.rint(np.stack(squares)).astype(np.uint8)


def _check_parts(parts: dict[str, LabelledFilms]) -> None:
    for name, part in parts.items():
        abnormal = int(part.abnormal.sum())
        if min(abnormal, len(part.labels) - abnormal) < MIN_FILMS:
            raise UnusableDataset(
                f"The {name} patients have {abnormal} abnormal films and {len(part.labels) - abnormal} without "
                f"findings; at least {MIN_FILMS} of each are needed."
            )


def _line(epoch: Epoch, config: TrainingConfig) -> str:
    scores = {"macro-AUROC": epoch.macro_auroc, "abnormal AUROC": epoch.abnormal_auroc}
    shown = ", ".join(f"{name} {'too few films' if s is None else f'{s:.3f}'}" for name, s in scores.items())
    return f"epoch {epoch.number} of {config.epochs}: loss {epoch.loss:.4f}, validation {shown}, {epoch.seconds:.0f} s"


def _data(films: LabelledFilms, parts: dict[str, LabelledFilms], digest: str, folder: Path) -> Data:
    return Data(
        name=folder.name,
        splits={
            name: SplitCount(
                films=len(part.labels),
                patients=int(part.metadata["patient"].nunique()),
                abnormal_films=int(part.abnormal.sum()),
            )
            for name, part in parts.items()
        },
        sources={str(k): int(v) for k, v in films.metadata["source"].value_counts().items()},
        views={str(k): int(v) for k, v in films.metadata["view"].value_counts().items()},
        hash=digest,
    )
