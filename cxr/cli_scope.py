"""`python -m cxr scope`: fit a scope check for a model, or fit it anew on more pictures."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cxr.settings import settings

if TYPE_CHECKING:
    from cxr.model.card import ScopeRate


def add_scope_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of `python -m cxr`."""
    scope = commands.add_parser("scope", help="fit the check that a picture is a frontal chest film, and measure it")
    scope.add_argument("--model", metavar="NAME", help="a bundle in the models folder (default: the serving one)")
    scope.add_argument(
        "--data", type=Path, metavar="DIR", required=True,
        help="frontal films in the layout of the Kaggle release: those that the model was made from, if it was here",
    )  # fmt: skip
    scope.add_argument(
        "--frontal", type=Path, metavar="DIR", action="append", default=[],
        help="frontal films of one other hospital; may be given again",
    )  # fmt: skip
    scope.add_argument(
        "--out-of-scope", type=Path, metavar="DIR", action="append", default=[],
        help="other pictures, in folders named for what they show (lateral, ct_head, mri_knee, photo, hand); may be "
        "given again",
    )  # fmt: skip
    scope.add_argument("--films", type=int, default=450, metavar="N", help="most films of --data (default: 450)")
    scope.add_argument("--quick", action="store_true", help="on few pictures, as `finetune` does")
    scope.set_defaults(run=_scope)


def _scope(args: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from cxr.dataset.labelled import UnusableDataset
    from cxr.model.bundle import BundleRejected
    from cxr.registry import chosen_bundle
    from cxr.training.scope_bundle import Folders, scope_from_folder
    from cxr.training.scope_sources import QUICK, Amounts

    if missing := [folder for folder in (*args.frontal, *args.out_of_scope) if not folder.is_dir()]:
        print(f"There is no folder {missing[0]}.", file=sys.stderr)
        return 2
    try:
        before = chosen_bundle(args.model)
        bundle = scope_from_folder(
            before,
            args.data,
            Folders(args.frontal, args.out_of_scope),
            QUICK if args.quick else Amounts(films=args.films),
            settings().cache_dir,
            lambda line: print(line, flush=True),
        )
    except (BundleRejected, UnusableDataset, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if (facts := bundle.card.scope) is not None:
        print(*map(in_words, facts.rates), sep="\n")
    if before.model_sha256 != bundle.model_sha256:
        print(
            "The serving graph was written anew, with one more output. If the model had been promoted, it has to be "
            "promoted anew."
        )
    print(f"wrote {bundle.path}")
    return 0


def in_words(rate: "ScopeRate") -> str:
    """One measured rate in a line."""
    share = rate.share
    return (
        f"{rate.pictures}: {100 * share.value:.1f}% {rate.expected} (95% interval {100 * share.low:.1f} to "
        f"{100 * share.high:.1f}; {rate.count} pictures of {rate.groups}; fitted without {rate.fitted_without})"
    )
