"""`python -m cxr …`: what the pages can do, for scripts. Exit status 0, 1 for a failure, 2 for wrong usage."""

import argparse
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from cxr.cli_audit import add_audit_commands
from cxr.cli_export import add_export_command
from cxr.cli_feedback import add_feedback_commands
from cxr.cli_health import add_health_command
from cxr.cli_jobs import add_job_commands, add_training_options, given_options
from cxr.cli_models import add_model_commands
from cxr.cli_scope import add_scope_command
from cxr.cli_worklist import add_worklist_commands
from cxr.model.card import PointName
from cxr.settings import ROOT, settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    # A file name may hold what the terminal's encoding does not.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        settings()
    except ValueError as error:
        print(f"The settings are not valid: {error}", file=sys.stderr)
        return 2
    return int(args.run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cxr", description="Chest X-ray triage. Research software.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    classify = commands.add_parser("classify", help="give films a verdict")
    classify.add_argument("files", nargs="+", type=Path, metavar="FILE")
    classify.add_argument("--json", action="store_true", help="one JSON object a line on standard output")
    classify.add_argument("--model", metavar="NAME", help="a bundle in the models folder (default: the serving one)")
    classify.add_argument("--point", choices=get_args(PointName), default="balanced", help="operating point")
    classify.add_argument("--heatmaps", type=Path, metavar="DIR", help="write a PNG for each flagged finding here")
    classify.add_argument(
        "--turn", choices=("left", "right", "half", "mirror", "none"), action="append", default=[],
        help="what has to be done to see the films upright, may be given twice; none: they lie as they should, also "
        "where they seem not to",
    )  # fmt: skip
    classify.add_argument(
        "--grey", choices=("as-is", "inverted"),
        help="which way round the grey scale of the files is (default: the scope check tells)",
    )  # fmt: skip
    classify.set_defaults(run=_classify)

    finetune = commands.add_parser("finetune", help="train a model and write it as a bundle")
    finetune.add_argument("--data", type=Path, metavar="DIR", help="folder with .tfrec shards")
    finetune.add_argument("--out", type=Path, metavar="DIR", help="folder of the new bundle")
    finetune.add_argument(
        "--run", type=Path, metavar="DIR", dest="directory",
        help="folder of configuration, metrics and checkpoints; an interrupted run is gone on with (default: runs/ and "
        "the name of --out); the folder of a job needs no other option, and takes none",
    )  # fmt: skip
    finetune.add_argument("--restart", action="store_true", help="clear that folder and begin anew")
    add_training_options(finetune)
    finetune.set_defaults(run=_finetune, misused=finetune.error)

    dataset = commands.add_parser("dataset", help="check a data set and count what is in it")
    dataset.add_argument(
        "--data", type=Path, metavar="DIR", help="folder in the Kaggle layout (default: CXR_DATA, else NIH's table)"
    )
    dataset.add_argument("--json", action="store_true", help="one JSON object on standard output")
    dataset.set_defaults(run=_dataset)

    evaluate = commands.add_parser("evaluate", help="measure a model on labelled films")
    _add_evaluate_options(evaluate)
    evaluate.set_defaults(run=_evaluate)

    verify = commands.add_parser("verify", help="check a bundle: hashes, and serving graph against Keras")
    verify.add_argument("--model", metavar="NAME", help="a bundle in the models folder (default: the serving one)")
    verify.set_defaults(run=_verify)

    card = commands.add_parser("card", help="the model card as Markdown")
    card.add_argument("--model", metavar="NAME", help="a bundle in the models folder (default: the serving one)")
    card.add_argument("--markdown", type=Path, metavar="FILE", help="write it here (default: standard output)")
    card.set_defaults(run=_card)

    import_xrv = commands.add_parser("import-xrv", help="make a bundle of TorchXRayVision's published weights")
    checkpoint = import_xrv.add_mutually_exclusive_group(required=True)
    checkpoint.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a DenseNet-121 checkpoint (.pt)")
    checkpoint.add_argument(
        "--download", metavar="CHECKPOINT", help="fetch a published checkpoint, such as densenet121-res224-all"
    )
    import_xrv.add_argument("--name", required=True, metavar="NAME", help="name of the new bundle in the models folder")
    import_xrv.add_argument(
        "--sha256", metavar="HEX", help="what the file's SHA-256 must be (default: one of the known ones)"
    )
    import_xrv.add_argument(
        "--published", metavar="CHECKPOINT", help="which published checkpoint FILE is, where it was renamed"
    )
    import_xrv.set_defaults(run=_import_xrv)

    add_job_commands(commands)
    add_model_commands(commands)
    add_scope_command(commands)
    add_worklist_commands(commands)
    add_feedback_commands(commands)
    add_audit_commands(commands)
    add_export_command(commands)
    add_health_command(commands)
    return parser


def _add_evaluate_options(parser: argparse.ArgumentParser) -> None:
    films = parser.add_mutually_exclusive_group(required=True)
    films.add_argument("--tfrecords", metavar="GLOB", help="shards in the layout of the Kaggle release")
    films.add_argument("--images", type=Path, metavar="DIR", help="folder of PNG, JPEG or DICOM films; needs --labels")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="labels in the layout of preprocessed_data.csv")
    parser.add_argument(
        "--metadata",
        type=Path,
        metavar="CSV",
        help="patient, view, age, sex, source (default: the file beside the shards)",
    )
    parser.add_argument(
        "--boxes", type=Path, metavar="CSV", help="boxes as NIH gives them (default: NIH's, by image id)"
    )
    parser.add_argument("--model", metavar="NAME", help="a bundle in the models folder (default: the serving one)")
    parser.add_argument("--compare", metavar="NAME", help="a second bundle, for the paired difference")
    parser.add_argument(
        "--held-out", action="store_true", help="only the patients that had no part in making the model"
    )
    parser.add_argument(
        "--robustness", action="store_true", help="also on films made worse, which takes 40 times as long"
    )
    parser.add_argument("--randomisation", action="store_true", help="also whether the maps depend on the weights")
    parser.add_argument("--store", action="store_true", help="keep the result in the bundle; implies --held-out")
    parser.add_argument("--save", metavar="NAME", help="keep the result under this name for the page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report here")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write it for reading and printing here")
    parser.add_argument("--pdf", type=Path, metavar="FILE", help="write it as PDF here")


def _classify(args: argparse.Namespace) -> int:
    from cxr.cli_classify import classify_files
    from cxr.model.bundle import BundleRejected
    from cxr.radiograph.placement import Placement

    placement = Placement(inverted=args.grey == "inverted", lies_said=bool(args.turn), grey_said=args.grey is not None)
    for turn in args.turn:
        placement = placement if turn == "none" else placement.then(turn)
    try:
        unwritten = classify_files(
            args.files,
            model=args.model,
            point=args.point,
            json_lines=args.json,
            heatmaps=args.heatmaps,
            placement=placement,
        )
    except (BundleRejected, ValueError) as error:
        return _failed(error)
    for sentence in unwritten:
        print(sentence, file=sys.stderr)
    return 1 if unwritten else 0


def _finetune(args: argparse.Namespace) -> int:
    from cxr.jobs.folder import SPEC_FILE
    from cxr.training.config import load_config

    options = given_options(args)
    if args.directory is not None and (args.directory / SPEC_FILE).is_file():
        from cxr.jobs.worker import run

        if args.data or args.out or args.config or args.restart or options:
            args.misused("what a job does is in its folder; give --run alone")
        return run(args.directory)
    if args.data is None or args.out is None:
        args.misused("the following arguments are required: --data, --out")
    try:
        config = load_config(args.config, options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    # TensorFlow's own start-up lines say nothing that this command's user could act on.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from cxr.dataset.labelled import UnusableDataset
    from cxr.model.backbones import WeightsUnavailable
    from cxr.model.bundle import BundleRejected
    from cxr.training.finetune import finetune
    from cxr.training.watch import TrainingDiverged

    try:
        bundle = finetune(
            args.data,
            args.out,
            config,
            args.directory or ROOT / "runs" / args.out.name,
            lambda line: print(line, flush=True),
            restart=args.restart,
        )
    except (UnusableDataset, ValueError, WeightsUnavailable, TrainingDiverged, BundleRejected, OSError) as error:
        return _failed(error)
    if (evaluation := bundle.card.evaluation) is not None:
        overall = evaluation.overall
        for name, value in (("abnormal AUROC", overall.abnormal_auroc), ("macro-AUROC", overall.macro_auroc)):
            if value is not None:
                print(f"test {name} {value.value:.3f} (95% interval {value.low:.3f} to {value.high:.3f})")
        before, after = evaluation.reliability.ece_before, evaluation.reliability.ece_after.value
        print(f"test expected calibration error {before:.3f} before calibration, {after:.3f} after")
    print(f"wrote {bundle.path}")
    return 0


def _dataset(args: argparse.Namespace) -> int:
    from cxr.dataset.csv_file import InvalidTable
    from cxr.dataset.describe import describe, in_words

    try:
        found = describe(args.data or settings().data, settings().cache_dir)
    except (InvalidTable, OSError) as error:
        return _failed(error)
    print(json.dumps(asdict(found), ensure_ascii=False) if args.json else in_words(found))
    return 1 if found.faults else 0


def _evaluate(args: argparse.Namespace) -> int:
    from cxr.evaluate import run

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return run(args)


def _verify(args: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from cxr.model.bundle import BundleRejected, load_probe
    from cxr.model.export import verify
    from cxr.registry import chosen_bundle

    try:
        bundle = chosen_bundle(args.model)
        difference = verify(bundle, load_probe(bundle.path).films)
    except BundleRejected as error:
        return _failed(error)
    print(f"{bundle.name}: all hashes match; serving graph and Keras differ by at most {difference:.1e}")
    return 0


def _card(args: argparse.Namespace) -> int:
    from cxr.model.bundle import BundleRejected
    from cxr.registry import chosen_bundle
    from cxr.report.markdown import to_markdown
    from cxr.report.model_card import document

    try:
        bundle = chosen_bundle(args.model)
        text = to_markdown(document(bundle.card, bundle.sha256))
        if args.markdown is None:
            print(text, end="")
        else:
            args.markdown.write_text(text)
    except (BundleRejected, OSError) as error:
        return _failed(error)
    return 0


def _import_xrv(args: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from cxr.model.bundle import BundleRejected
    from cxr.model.export import probe_films
    from cxr.model.xrv import INPUT_SIZE, ImportRefused, download, import_xrv

    folder = settings().models_dir / args.name
    if not re.fullmatch(r"\w[\w.-]*", args.name):
        print(f"A model can't be called {args.name!r}; use letters, digits, dots and dashes.", file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory() as scratch:
            file = download(args.download, args.sha256, Path(scratch)) if args.download else args.file
            bundle = import_xrv(
                file, folder, probe_films(INPUT_SIZE), sha256=args.sha256, published=args.download or args.published
            )
    except (ImportRefused, BundleRejected, OSError) as error:
        return _failed(error)
    card = bundle.card
    print(f"wrote {bundle.path}: {card.initial_weights}")
    absent, extra = (", ".join(names) or "none" for names in (card.absent, card.extra))
    print(f"findings not in this model: {absent}; pathologies besides the 14: {extra}")
    print(f"not measured here: `python -m cxr evaluate --tfrecords GLOB --model {bundle.name} --store`")
    return 0


def _failed(error: Exception) -> int:
    print(error, file=sys.stderr)
    return 1
