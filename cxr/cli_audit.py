"""`python -m cxr audit verify` and `audit show`: who did what and when, and whether anybody has tampered with that."""

import argparse
import json
import re
import sys
from typing import TYPE_CHECKING, Final

from cxr.account import account

if TYPE_CHECKING:
    from cxr.worklist.tables import AuditLine

NOTED: Final = re.compile(r"(\d+):([0-9a-f]{64})")


def add_audit_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `audit` to the commands of `python -m cxr`."""
    actions = commands.add_parser("audit", help="who saw, scored, changed, exported or deleted what").add_subparsers(
        required=True, metavar="ACTION"
    )
    verify = actions.add_parser("verify", help="check that no line was changed, removed or added (status 1: one was)")
    verify.add_argument(
        "--noted", metavar="NUMBER:DIGEST", help="the last line as an earlier check gave it, kept somewhere else"
    )
    verify.add_argument("--json", action="store_true", help="one JSON object on standard output")
    verify.set_defaults(run=_verify, misused=verify.error)
    show = actions.add_parser("show", help="the last lines; that somebody looked becomes a line as well")
    show.add_argument("--last", type=int, default=50, metavar="N", help="of them (default: 50)")
    show.add_argument("--by", metavar="PERSON", default=account(), help="who looks (default: your account)")
    show.add_argument("--json", action="store_true", help="one JSON object a line on standard output")
    show.set_defaults(run=_show, misused=show.error)


def _verify(args: argparse.Namespace) -> int:
    # The database's library is loaded by the commands that need it: the others answer at once.
    from cxr.worklist.audit import verify
    from cxr.worklist.audit_head import Head
    from cxr.worklist.database import DatabaseUnavailable, database

    noted = None
    if args.noted is not None:
        found = NOTED.fullmatch(args.noted)
        if found is None:
            args.misused("--noted takes the number of a line, a colon and its 64 digits, as `audit verify` prints them")
            return 2
        noted = Head(int(found[1]), found[2])
    try:
        result = verify(database(), noted)
    except DatabaseUnavailable as error:
        return _failed(error)
    if args.json:
        print(json.dumps({
            "lines": result.lines, "head": result.head, "first_bad": result.first_bad, "why": result.why,
        }))  # fmt: skip
    elif result.why is None:
        print(f"{result.lines:,} line{'' if result.lines == 1 else 's'}, none changed, removed or added")
        print(f"the last one: {result.lines}:{result.head}")
    else:
        print(result.why, file=sys.stderr)
        print(f"The {result.lines:,} lines before are as they were written.", file=sys.stderr)
    return 0 if result.why is None else 1


def _show(args: argparse.Namespace) -> int:
    from cxr.worklist.audit import Event, NotForTheTrail, last_lines, record
    from cxr.worklist.database import DatabaseUnavailable, database

    if args.last < 1:
        args.misused("--last takes a number from 1 on")
    try:
        with database().writing() as session:
            lines = last_lines(session, args.last)
            record(session, who=args.by, event=Event.AUDIT_USED, what="audit trail", lines=len(lines))
    except (DatabaseUnavailable, NotForTheTrail, OSError) as error:
        return _failed(error)
    for line in lines:
        print(json.dumps(_facts(line), ensure_ascii=False) if args.json else _in_words(line))
    return 0


def _facts(line: "AuditLine") -> dict[str, object]:
    """A line for programs."""
    return {
        "number": line.number,
        "time": line.time.isoformat(timespec="microseconds"),
        "who": line.who,
        "event": line.event,
        "what": line.what,
        "detail": line.detail,
        "previous": line.previous,
        "digest": line.digest,
    }


def _in_words(line: "AuditLine") -> str:
    """A line for people."""
    detail = ", ".join(f"{key.replace('_', ' ')} {_said(value)}" for key, value in line.detail.items())
    return f"{line.number}  {line.time:%Y-%m-%d %H:%M:%S}Z  {line.who}: {line.event}, {line.what}" + (
        f" ({detail})" if detail else ""
    )


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _failed(error: Exception) -> int:
    print(error, file=sys.stderr)
    return 1
