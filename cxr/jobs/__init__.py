"""Training jobs: a job is a folder, and a process that outlives whoever started it.

State comes from the folder, so that a restarted app, a second browser and the command line see the same. Nothing here
imports Keras or TensorFlow; the worker does, in a process of its own.
"""

from cxr.jobs.actions import cancel, delete, free_name, resume, spec_of, start
from cxr.jobs.check import Check
from cxr.jobs.checks import name_problem, preflight
from cxr.jobs.history import Curves, Samples
from cxr.jobs.progress import Live
from cxr.jobs.reading import Job, curves, job, jobs, log_tail, queue_place, samples
from cxr.jobs.spec import Event, JobRefused, JobSpec, NoSuchJob, State

__all__ = [
    "Check",
    "Curves",
    "Event",
    "Job",
    "JobRefused",
    "JobSpec",
    "Live",
    "NoSuchJob",
    "Samples",
    "State",
    "cancel",
    "curves",
    "delete",
    "free_name",
    "job",
    "jobs",
    "log_tail",
    "name_problem",
    "preflight",
    "queue_place",
    "resume",
    "samples",
    "spec_of",
    "start",
]
