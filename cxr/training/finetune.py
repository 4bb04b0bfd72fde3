"""`finetune`: from a folder of labelled films to a verified bundle with its card."""

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import keras
import numpy as np

import cxr
from cxr.dataset.labelled import LabelledFilms, UnusableDataset, load_labelled_films
from cxr.dataset.splits import SPLITS, split_hash
from cxr.dataset.table import release
from cxr.evaluation.evaluate import evaluate
from cxr.evaluation.metrics import MIN_PATIENTS, enough
from cxr.evaluation.run import report_of, score_films
from cxr.evaluation.stored import HELD_OUT, store
from cxr.evaluation.thresholds import Scored, operating_points
from cxr.model import backbones, classifier, efficientnet_lite
from cxr.model.bundle import MAPS, Bundle
from cxr.model.card import Calibration, Card, Data, Epoch, Evaluation, OperatingPoint, SplitCount
from cxr.model.classifier import build_classifier
from cxr.model.engine import Engine
from cxr.model.export import check_writable, predict, write_bundle
from cxr.model.geometry import measure_map_shift
from cxr.radiograph import model_input, read_radiograph
from cxr.samples import SAMPLES
from cxr.settings import settings
from cxr.training import augment
from cxr.training import fit as fitting
from cxr.training.calibration import fit_platt, uncalibrated
from cxr.training.config import TrainingConfig
from cxr.training.fit import class_weights, fit
from cxr.training.parts import split_films

SHIFT_FILMS: Final = 24
"""Films on which the shift of the maps is measured; how it varies between them says whether it is one."""


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
    epochs, best = _trained(model, parts, config, report)
    report(f"kept epoch {best}; calibrating and evaluating")

    assessed = assess(model, parts, config)
    card = Card(
        name=out.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        backbone=config.backbone,
        input_size=config.input_size,
        head_bias=tuple(float(b) for b in model.get_layer(MAPS).get_weights()[1]),
        calibration=assessed.calibration,
        operating_points=assessed.operating_points,
        map_shift=measure_map_shift(
            lambda squares: predict(model, squares)[1],
            parts["calibration"].pixels[:SHIFT_FILMS],
            model.output[MAPS].shape[1],
        ),
        data=_data(films, parts, split_hash(films.metadata["patient"], split), data),
        evaluation=assessed.evaluation,
        training=config.model_dump(),
        epochs=tuple(epochs),
        best_epoch=best,
        initial_weights="ImageNet weights" if config.imagenet else "random weights",
        versions={"cxr": cxr.__version__} | {p: version(p) for p in ("keras", "tensorflow", "onnxruntime", "numpy")},
        files={},
    )
    bundle = write_bundle(out, model, card, probe_films(config.input_size))
    engine = Engine(bundle)
    scored, cases = score_films(engine, parts["test"], HELD_OUT, release().boxes)
    return store(bundle, report_of(engine, scored, cases, held_out=True), scored)


def _trained(
    model: keras.Model, parts: dict[str, LabelledFilms], config: TrainingConfig, report: Callable[[str], None]
) -> tuple[list[Epoch], int]:
    """Train, and keep the result in the cache: if a later step fails, the same command goes on from here."""
    weights = settings().cache_dir / f"trained-{_fingerprint(parts, config)}.weights.h5"
    record = weights.with_suffix(".json")
    if record.is_file():
        model.load_weights(weights)
        stored = json.loads(record.read_text())
        report("these films were trained on with this configuration before; its weights are used")
        return [Epoch.model_validate(epoch) for epoch in stored["epochs"]], int(stored["best"])
    epochs, best = fit(model, parts["train"], parts["validation"], config, lambda e: report(_line(e, config)))
    model.save_weights(weights)
    record.write_text(json.dumps({"epochs": [epoch.model_dump() for epoch in epochs], "best": best}))
    return epochs, best


def _fingerprint(parts: dict[str, LabelledFilms], config: TrainingConfig) -> str:
    """Changes with all that decides what training makes: configuration, films, labels, the code, Keras."""
    facts = hashlib.sha256(f"{config.model_dump_json()};{version('keras')};{version('tensorflow')}".encode())
    for name in ("train", "validation"):
        facts.update(parts[name].pixels.tobytes())
        facts.update(parts[name].labels.tobytes())
    for module in (augment, backbones, classifier, efficientnet_lite, fitting):
        facts.update(inspect.getsource(module).encode())
    return facts.hexdigest()[:16]


@dataclass(frozen=True)
class Assessment:
    """What calibration and test patients say of a trained model."""

    calibration: Calibration
    operating_points: tuple[OperatingPoint, ...]
    evaluation: Evaluation


def assess(model: keras.Model, parts: dict[str, LabelledFilms], config: TrainingConfig) -> Assessment:
    """Calibrate and set thresholds on the calibration patients; measure both, and the model, on the test patients.

    Args:
        model: a trained classifier.
        parts: films by name of split.
        config: of the run that trained it.
    """
    train, held_out, test = parts["train"], parts["calibration"], parts["test"]
    held_out_logits, test_logits = (predict(model, part.pixels)[0] for part in (held_out, test))
    calibration = fit_platt(held_out_logits, held_out.labels, -np.log(class_weights(train.labels, config)))
    probabilities = calibration.probabilities(test_logits)
    return Assessment(
        calibration,
        operating_points(
            Scored(held_out.labels, calibration.probabilities(held_out_logits), _patients(held_out)),
            Scored(test.labels, probabilities, _patients(test)),
        ),
        evaluate(test.labels, probabilities, uncalibrated(test_logits), test.metadata, train.labels, train.metadata),
    )


def _patients(films: LabelledFilms) -> np.ndarray:
    return films.metadata["patient"].to_numpy()


def probe_films(size: int) -> np.ndarray:
    """The shipped samples as the model sees them, uint8 (3, size, size): films that any bundle may carry with it."""
    squares = [model_input(read_radiograph(sample.read()), size) for sample in SAMPLES]
    return np.rint(np.stack(squares)).astype(np.uint8)


def _check_parts(parts: dict[str, LabelledFilms]) -> None:
    for name, part in parts.items():
        if not enough(part.abnormal, _patients(part)):
            abnormal = int(part.abnormal.sum())
            raise UnusableDataset(
                f"The {name} patients have {abnormal} abnormal films and {len(part.labels) - abnormal} without "
                f"findings; films of at least {MIN_PATIENTS} patients are needed of each."
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
