"""`python -m cxr models`, `gate`, `promote` and `roll-back`: which model serves, and who decides it."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cxr.model.bundle import BundleRejected
from cxr.registry import Entry, GateReport, candidates, chosen_bundle, history, serving, serving_bundle
from cxr.settings import settings

if TYPE_CHECKING:
    from cxr.promotion import PromotionRefused

DIGITS = 12
"""Of a SHA-256, for the reader."""


def add_model_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the four commands to those of `python -m cxr`."""
    models = commands.add_parser("models", help="which model serves, which others there are, and what was decided")
    models.add_argument("--json", action="store_true", help="one JSON object on standard output")
    models.set_defaults(run=_models)

    gate = commands.add_parser("gate", help="whether a model may take the place of the serving one (status 1: no)")
    gate.add_argument("name", metavar="NAME", help="a bundle in the models folder")
    gate.add_argument(
        "--data", type=Path, metavar="DIR",
        help="the films that it was made from: both models are run on its test films that neither saw, and what they "
        "say is kept (default: what was kept, else the films that both were tested on)",
    )  # fmt: skip
    gate.add_argument("--json", action="store_true", help="one JSON object on standard output")
    gate.set_defaults(run=_gate)

    promote = commands.add_parser("promote", help="let a model serve that passes the gate")
    promote.add_argument("name", metavar="NAME", help="a bundle in the models folder")
    promote.add_argument("--override", action="store_true", help="also if it fails the gate; it is recorded")
    roll_back = commands.add_parser("roll-back", help="let the model serve again that served before")
    for parser, run in ((promote, _promote), (roll_back, _roll_back)):
        parser.add_argument("--who", required=True, metavar="PERSON", help="who decides")
        parser.add_argument("--why", required=True, metavar="REASON", help="why")
        parser.set_defaults(run=run)


def _models(args: argparse.Namespace) -> int:
    try:
        model, others, entries = serving(), candidates(), history()
    except BundleRejected as error:
        return _failed(error)
    if args.json:
        record = {
            "serving": model.model_dump(),
            "set_by_operator": settings().model is not None,
            "candidates": others,
            "history": [entry.model_dump(mode="json") for entry in entries],
        }
        print(json.dumps(record))
        return 0
    print(f"serves: {model.name}{' (set by CXR_MODEL)' if settings().model is not None else ''}")
    print(f"candidates: {', '.join(others) or 'none'}")
    for entry in entries:
        print(_in_words(entry))
    return 0


def _gate(args: argparse.Namespace) -> int:
    # What judges and scores is loaded by the commands that need it: the others answer at once.
    from cxr.dataset.labelled import UnusableDataset
    from cxr.evaluation.neither import NotComparable, compare_films
    from cxr.promotion import PromotionRefused, gate_report

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        if args.data is not None:
            compare_films(chosen_bundle(args.name), serving_bundle(), args.data, _progress)
        report = gate_report(args.name)
    except (BundleRejected, PromotionRefused, NotComparable, UnusableDataset, OSError) as error:
        return _failed(error)
    print(json.dumps(report.model_dump(mode="json") | {"passed": report.passed}) if args.json else in_words(report))
    return 0 if report.passed else 1


def _promote(args: argparse.Namespace) -> int:
    from cxr.promotion import PromotionRefused, promote

    try:
        entry = promote(args.name, args.who, args.why, args.override)
    except PromotionRefused as error:
        return _refused(error)
    except (BundleRejected, OSError) as error:
        return _failed(error)
    if entry.gate is not None:
        print(in_words(entry.gate))
    print(_in_words(entry))
    return 0


def _roll_back(args: argparse.Namespace) -> int:
    from cxr.promotion import PromotionRefused, roll_back

    try:
        print(_in_words(roll_back(args.who, args.why)))
    except (PromotionRefused, BundleRejected, OSError) as error:
        return _failed(error)
    return 0


def in_words(report: GateReport) -> str:
    """What the gate said, a line for each check."""
    lines = [f"{report.candidate.name} against {report.champion.name}: {'passes' if report.passed else 'fails'}"]
    lines += [f"  {'yes' if check.passed else 'NO '} {check.name}: {check.said}" for check in report.checks]
    lines += [f"      {check.name}: {check.said}" for check in report.by_source]
    return "\n".join(lines)


def _in_words(entry: Entry) -> str:
    models = [
        model.name + ("" if model.sha256 is None else f" ({model.sha256[:DIGITS]})")
        for model in (entry.from_model, entry.to_model)
    ]
    return f"{entry.when} {entry.who}: {entry.action}, from {' to '.join(models)}. {entry.why}"


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {of}", end="\n" if done == of else "", file=sys.stderr, flush=True)


def _refused(error: "PromotionRefused") -> int:
    if error.report is not None:
        print(in_words(error.report), file=sys.stderr)
    return _failed(error)


def _failed(error: Exception) -> int:
    print(error, file=sys.stderr)
    return 1
