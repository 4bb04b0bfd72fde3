"""`python -m cxr evaluate`: any bundle on any labelled films."""

import argparse
import glob
import sys
from pathlib import Path

import numpy as np

from cxr.dataset.csv_file import InvalidTable
from cxr.dataset.kaggle import read_boxes
from cxr.dataset.labelled import LabelledFilms, UnusableDataset, load_images, load_shards, metadata_file
from cxr.dataset.table import release
from cxr.evaluation.compare import delong, paired_auroc
from cxr.evaluation.metrics import resample_patients
from cxr.evaluation.report import Comparison, ModelName, Report
from cxr.evaluation.robustness import robustness
from cxr.evaluation.run import report_of, score_films
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.stored import HELD_OUT, load_evaluation, save, store
from cxr.evaluation.words import NOT_IN_MODEL, interval
from cxr.model.bundle import BundleRejected, bundle_path, load_bundle
from cxr.model.engine import Engine
from cxr.registry import chosen_bundle
from cxr.report.evaluation import document
from cxr.report.html import to_html
from cxr.report.pdf import to_pdf
from cxr.settings import settings
from cxr.training.parts import held_out

RANDOMISED_FILMS = 24


def run(args: argparse.Namespace) -> int:
    """Evaluate; returns the exit status."""
    if args.images is not None and args.labels is None:
        print("--images needs --labels.", file=sys.stderr)
        return 2
    try:
        engine = Engine(chosen_bundle(args.model))
        # An imported model comes without the patients it was trained on: what is stored can't be called held out.
        args.held_out = args.held_out or (args.store and engine.bundle.card.data is not None)
        films = _films(args, engine)
        name = HELD_OUT if args.held_out else args.save or _named(args)
        boxes = release().boxes if args.boxes is None else read_boxes(args.boxes.read_bytes(), args.boxes.name)
        scored, cases = score_films(engine, films, name, boxes, _progress)
        report = report_of(engine, scored, cases, args.held_out)
        report = report.model_copy(update=_kept(args, engine) | _further(args, engine, films, scored))
        if args.store:
            store(engine.bundle, report, scored)
        if args.save:
            save(engine.bundle, args.save, report, scored)
        _write(args, report, scored)
    except (BundleRejected, UnusableDataset, InvalidTable, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(in_words(report))
    return 0


def _named(args: argparse.Namespace) -> str:
    """The test set by the name of its folder; where that lies is nobody's business."""
    folder = args.images or next((p for p in Path(args.tfrecords).parents if "*" not in p.name), Path())
    return folder.resolve().name


def _write(args: argparse.Namespace, report: Report, films: ScoredFilms) -> None:
    if args.json:
        args.json.write_text(report.model_dump_json(indent=1) + "\n")
    if args.html or args.pdf:
        blocks = document(report, films)
        if args.html:
            args.html.write_text(to_html(blocks))
        if args.pdf:
            args.pdf.write_bytes(to_pdf(blocks))


def _films(args: argparse.Namespace, engine: Engine) -> LabelledFilms:
    size, cache = engine.bundle.card.input_size, settings().cache_dir
    if args.images is not None:
        films = load_images(args.images, args.labels, size, cache, args.metadata)
    else:
        shards = [Path(path) for path in sorted(glob.glob(args.tfrecords, recursive=True))]  # noqa: PTH207
        if not shards:
            raise UnusableDataset(f"There are no shards at {args.tfrecords}.")
        films = load_shards(shards, size, cache, args.metadata or _beside(shards))
    if args.held_out:
        if engine.bundle.card.data is None:
            raise UnusableDataset(
                f"The model {engine.bundle.name} was imported, and which patients it was trained on is not known: "
                "no film can be called held out."
            )
        return held_out(films, engine.bundle.card, args.tfrecords or args.images)
    return films


def _beside(shards: list[Path]) -> Path | None:
    """The metadata in the shards' folder or the one above."""
    folder = shards[0].parent
    return metadata_file(folder) or metadata_file(folder.parent, deep=False)


def _kept(args: argparse.Namespace, engine: Engine) -> dict[str, object]:
    """The long parts of the evaluation that the same model carries already, so that a new one does not lose them."""
    stored = load_evaluation(engine.bundle) if args.store else None
    if stored is None or stored.report.model.sha256 != engine.bundle.model_sha256:
        return {}
    return {"robustness": stored.report.robustness, "randomisation": stored.report.randomisation}


def _further(args: argparse.Namespace, engine: Engine, films: LabelledFilms, scored: ScoredFilms) -> dict[str, object]:
    """The parts of the report that take long, where they are asked for."""
    parts: dict[str, object] = {}
    if args.compare:
        parts["comparison"] = _compared(args, scored)
    if args.robustness:
        print("films made worse:", file=sys.stderr)
        parts["robustness"] = tuple(robustness(engine, films.pixels, films.labels, scored.patients, _progress))
    if args.randomisation:
        # Both need Keras, which takes its time to load.
        from cxr.evaluation.randomisation import randomisation
        from cxr.model.export import load_keras

        # One film of each of some patients: the intervals take films as independent.
        each = np.unique(scored.patients, return_index=True)[1]
        chosen = np.random.default_rng(0).permutation(each)[:RANDOMISED_FILMS]
        squares = np.asarray(films.pixels[np.sort(chosen)], np.float32)[..., None]
        card = engine.bundle.card
        outputs = [card.categories.index(name) for name in card.findings]
        parts["randomisation"] = randomisation(load_keras(engine.bundle), squares, outputs=outputs)
    return parts


def _compared(args: argparse.Namespace, scored: ScoredFilms) -> Comparison:
    other = Engine(load_bundle(bundle_path(args.compare)))
    # With --held-out these are the films that the other model was held out on, which may be others.
    films = _films(args, other)
    against, _ = score_films(other, films, scored.name)
    if not films.metadata.index.equals(scored.metadata.index):
        raise UnusableDataset("The two models were held out on other films; compare them on films that neither saw.")
    resamples = resample_patients(scored.patients)
    a, b = scored.abnormal_probability, against.abnormal_probability
    return Comparison(
        other=ModelName(name=other.bundle.name, sha256=other.bundle.model_sha256),
        abnormal_auroc=paired_auroc(scored.abnormal, a, b, resamples),
        delong=delong(scored.abnormal, a, b),
    )


def in_words(report: Report) -> str:
    """The report in a few lines."""
    task, work = report.abnormal, report.workload
    lines = [
        f"{report.model.name} on {report.films:,} films of {report.patients:,} patients ({report.test_set})",
        f"abnormal: AUROC {interval(task.auroc)}, AUPRC {interval(task.auprc)} at {task.prevalence:.0%} abnormal; "
        f"the view alone AUROC {interval(report.baselines.view_only.abnormal_auroc)}",
        f"findings: macro-AUROC {interval(report.macro_auroc)} over {report.macro_findings} of 14; "
        f"the view alone {interval(report.baselines.view_only.macro_auroc)}",
        *([f"{NOT_IN_MODEL}: {', '.join(report.absent)}"] if report.absent else []),
        f"calibration error {interval(report.calibration.ece)}, {report.calibration.ece_before:.2f} before calibration",
    ]
    lines += [
        f"share of the films that it could set aside at sensitivity {level}: {interval(share)}"
        for level, share in work.set_aside.items()
    ]
    if work.at_70 is not None:
        lines.append(f"setting aside 70% would miss {interval(work.at_70.missed)} of the abnormal films")
    if report.comparison is not None:
        difference = interval(report.comparison.abnormal_auroc)
        lines.append(f"AUROC for abnormal less that of {report.comparison.other.name}: {difference}")
    return "\n".join(lines)


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {of}", end="\n" if done == of else "", file=sys.stderr, flush=True)
