"""`python -m cxr health`: whether this machine can do the app's work, check by check. Status 0 or 1."""

import argparse
import json


def add_health_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `health` to the commands of `python -m cxr`."""
    health = commands.add_parser("health", help="whether model, database, disk and decoders work (status 1: no)")
    health.add_argument("--json", action="store_true", help="one JSON object on standard output")
    health.set_defaults(run=_health)


def _health(args: argparse.Namespace) -> int:
    # What it looks at takes a while to load, which the other commands need not wait for.
    from cxr.health import LOOKS, Monitor

    # A model and a decoder that are not yet loaded take longer than those of an app that runs.
    found = Monitor(LOOKS, wait_seconds=60.0).health()
    if args.json:
        checks = {check.name: {"holds": check.holds, "said": check.said} for check in found.checks}
        print(json.dumps({"status": "ok" if found.healthy else "failing", "checks": checks}))
    else:
        for check in found.checks:
            print(f"{'ok ' if check.holds else 'NO '} {check.name}: {check.said}")
    return 0 if found.healthy else 1
