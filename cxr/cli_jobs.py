"""`python -m cxr jobs` and `job …`: training jobs that go on when the terminal is closed. Also the training options."""

import argparse
import json
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any, get_args

from cxr import jobs
from cxr.account import account
from cxr.jobs.words import seconds_in_words
from cxr.settings import settings
from cxr.training.config import TrainingConfig, load_config

LOOK_SECONDS = 0.5


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of `TrainingConfig`, and a file of them."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with any of the options below")
    group = parser.add_argument_group("training options", "Each overrides the file of --config.")
    for name, field in TrainingConfig.model_fields.items():
        group.add_argument(
            f"--{name.replace('_', '-')}",
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=f"{field.description} (default: {field.default})".replace("%", "%%"),
        )


def given_options(args: argparse.Namespace) -> dict[str, object]:
    """The training options that were given on the command line."""
    return {name: value for name, value in vars(args).items() if name in TrainingConfig.model_fields}


def add_job_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `jobs` and `job` to the commands of `python -m cxr`."""
    table = commands.add_parser("jobs", help="training jobs, the newest first")
    table.add_argument("--json", action="store_true", help="one JSON object a line on standard output")
    table.set_defaults(run=_table)

    actions = commands.add_parser("job", help="start, watch, stop and go on with a training job").add_subparsers(
        required=True, metavar="ACTION"
    )
    start = actions.add_parser("start", help="queue a job; it goes on when this terminal is closed")
    start.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with .tfrec shards")
    start.add_argument("--model", required=True, metavar="NAME", help="name of the new bundle in the models folder")
    start.add_argument("--devices", default="auto", help="cpu, gpu0, gpu0,gpu1 …, or auto: all GPUs, else the CPU")
    start.add_argument("--backend", default="local", choices=get_args(jobs.JobSpec.model_fields["backend"].annotation))
    start.add_argument("--check", action="store_true", help="only say what would stand against it")
    start.add_argument("--by", metavar="PERSON", default=account(), help="who wants it (default: your account)")
    add_training_options(start)
    start.set_defaults(run=_start)
    for name, run, what in (
        ("show", _show, "how a job is"),
        ("log", _log, "the end of its log"),
        ("cancel", _cancel, "let it save a checkpoint and stop"),
        ("resume", _resume, "go on from its checkpoint"),
        ("delete", _delete, "delete its folder; the model that it made stays"),
    ):
        action = actions.add_parser(name, help=what)
        action.add_argument("id", metavar="ID")
        if run in (_cancel, _resume, _delete):
            action.add_argument(
                "--by", metavar="PERSON", default=account(), help="who wants it (default: your account)"
            )
        if run is _show:
            action.add_argument("--json", action="store_true", help="one JSON object on standard output")
        if run is _log:
            action.add_argument("--lines", type=int, default=50, metavar="N", help="of them (default: 50)")
        action.set_defaults(run=_told(run))


def _told(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """The same action, which tells in a sentence why it can't be done."""

    def told(args: argparse.Namespace) -> int:
        try:
            return run(args)
        except (jobs.NoSuchJob, jobs.JobRefused) as error:
            print(error, file=sys.stderr)
            return 1

    return told


def _table(args: argparse.Namespace) -> int:
    for job in jobs.jobs():
        print(json.dumps(_facts(job), ensure_ascii=False) if args.json else f"{job.id}  {_line(job)}")
    return 0


def _facts(job: jobs.Job) -> dict[str, Any]:
    """A job for programs."""
    return {
        "id": job.id,
        "state": job.state,
        "cause": job.cause,
        "who": job.who,
        "since": job.since.isoformat(),
        "stopping": job.stopping,
        "ahead": jobs.queue_place(job),
        "folder": str(job.folder),
        "spec": job.spec.model_dump(mode="json"),
        "live": None if job.live is None else job.live.model_dump(mode="json"),
        "events": [event.model_dump(mode="json") for event in job.events],
    }


def _line(job: jobs.Job) -> str:
    """A job for people."""
    ahead = jobs.queue_place(job)
    if ahead:
        return f"queued, after {ahead} other job{'s' if ahead > 1 else ''}"
    if job.state is not jobs.State.RUNNING or job.live is None:
        return f"{job.state}: {job.cause}"
    state, at = "stopping" if job.stopping else "running", job.live.at
    if at is None or job.live.trained:
        return f"{state}: {job.live.doing}"
    left = "" if at.seconds_left is None else f", about {seconds_in_words(at.seconds_left)} left"
    return (
        f"{state}: epoch {at.epoch} of {at.epochs}, step {at.step} of {at.steps}, loss {at.loss:.4f}, "
        f"{at.films_per_second:.1f} films/s{left}"
    )


def _start(args: argparse.Namespace) -> int:
    try:
        config = load_config(args.config, given_options(args))
        spec = jobs.JobSpec(
            model=args.model, data=args.data, config=config, devices=args.devices, backend=args.backend, by=args.by
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if args.check:
        checks = jobs.preflight(spec)
        for check in checks:
            print(f"{'ok' if check.ok else 'NO'}  {check.name}: {check.sentence}")
        return 0 if all(check.ok for check in checks) else 1
    try:
        job = jobs.start(spec, uuid.uuid4().hex)
    except jobs.JobRefused as error:
        print(error, file=sys.stderr)
        return 1
    print(job.id)
    return 0 if job.state is not jobs.State.FAILED else 1


def _show(args: argparse.Namespace) -> int:
    job = jobs.job(args.id)
    if args.json:
        print(json.dumps(_facts(job), ensure_ascii=False))
        return 0
    print(f"{job.id}: {_line(job)}")
    if job.remark is not None:
        print(job.remark)
    for event in job.events:
        print(f"{event.time:%Y-%m-%d %H:%M:%S}Z  {event.state}: {event.cause} ({event.who})")
    return 0


def _log(args: argparse.Namespace) -> int:
    for line in jobs.log_tail(jobs.job(args.id), args.lines):
        print(line)
    return 0


def _cancel(args: argparse.Namespace) -> int:
    job = jobs.cancel(args.id, args.by)
    # This process ends what does not end by itself, so it has to stay until then.
    until = monotonic() + settings().job_grace_seconds + 10
    while job.state.alive and monotonic() < until:
        sleep(LOOK_SECONDS)
        job = jobs.job(args.id)
    print(f"{job.id}: {_line(job)}")
    return 0 if not job.state.alive else 1


def _resume(args: argparse.Namespace) -> int:
    print(f"{args.id}: {_line(jobs.resume(args.id, args.by))}")
    return 0


def _delete(args: argparse.Namespace) -> int:
    jobs.delete(args.id, args.by)
    return 0
