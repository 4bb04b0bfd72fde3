"""`python -m cxr feedback export`: what readers said, as a data set to train with."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from cxr.account import account


def add_feedback_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `feedback` to the commands of `python -m cxr`."""
    actions = commands.add_parser("feedback", help="what readers said of the worklist's studies").add_subparsers(
        required=True, metavar="ACTION"
    )
    export = actions.add_parser("export", help="write it as a pseudonymous data set that `finetune --data` reads")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the set; missing or empty")
    export.add_argument("--by", metavar="PERSON", default=account(), help="who exports it (default: your account)")
    export.add_argument("--json", action="store_true", help="one JSON object on standard output")
    export.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    from cxr.worklist.database import DatabaseUnavailable, database
    from cxr.worklist.feedback_set import ExportRefused, export, in_words
    from cxr.worklist.film_folder import film_folder

    try:
        report = export(database(), film_folder(), args.out, who=args.by)
    except (DatabaseUnavailable, ExportRefused, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    facts = asdict(report) | {"folder": str(report.folder)}
    print(json.dumps(facts, ensure_ascii=False) if args.json else in_words(report))
    return 0
