"""`python -m cxr export`: studies as de-identified films."""

import argparse
import sys
from pathlib import Path

from cxr.account import account


def add_export_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `export` to the commands of `python -m cxr`."""
    export = commands.add_parser("export", help="write studies as films that say no more whose they are")
    export.add_argument("studies", nargs="+", type=int, metavar="STUDY", help="number of a study in the worklist")
    export.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="write study-1, study-2, … here, in the order given"
    )
    export.add_argument(
        "--black-out", action="store_true",
        help="make text that is seen in the pixels black (default: such a film is held back)",
    )  # fmt: skip
    export.add_argument("--by", metavar="PERSON", default=account(), help="who exports (default: your account)")
    export.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    from cxr.report.deidentify import copies_of, export_folder, new_key, said
    from cxr.worklist.audit import NotRecorded
    from cxr.worklist.database import DatabaseUnavailable, database
    from cxr.worklist.film_folder import film_folder
    from cxr.worklist.studies import NoSuchStudy, study

    held_back = 0
    try:
        db, films, key = database(), film_folder(), new_key()
        found = [study(db, number) for number in dict.fromkeys(args.studies)]
        for number, one in enumerate(found, 1):
            copies = copies_of(films, one, key, args.black_out)
            export_folder(one, copies, args.by, args.out / f"study-{number}")
            held_back += sum(copy.data is None for copy in copies)
            for copy in copies:
                print(f"study {one.id}: study-{number}/{said(copy)}", flush=True)
    except (DatabaseUnavailable, NoSuchStudy, NotRecorded) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Nothing more was exported: {error.filename or args.out}: {error.strerror or error}.", file=sys.stderr)
        return 1
    return 1 if held_back else 0
