"""The form of a new job: what it starts from, its data, how long it takes; all options behind it."""

import os
import shlex
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import streamlit as st
from pydantic import ValidationError

from cxr import jobs
from cxr.jobs import JobSpec, machine
from cxr.model.bundle import BundleRejected, bundle_names
from cxr.model.names import DOWNLOADED, SHIPPED, named_weights
from cxr.settings import settings
from cxr.training.config import TrainingConfig
from cxr.training.presets import PRESETS
from cxr.ui.admin.cards import card_of
from cxr.ui.admin.confirm import perform
from cxr.ui.admin.option_widgets import GROUPS, option_widgets
from cxr.ui.admin.selection import choose_job
from cxr.ui.identity import Person
from cxr.ui.words import plain

FORM: Final = "new-job"
CLONED: Final = "new-job-cloned"
"""The specification that "start again with changes" was asked for, in the session."""
LOOKED: Final = "new-job-looked"
"""What the checks of the dialog said, and of which form and specification, in the session."""
IMAGENET: Final = "ImageNet: "
WEIGHTS: Final = "Weights: "
MODEL: Final = "Model: "


def start_again(spec: JobSpec) -> None:
    """Fill the form with the specification of a job, to be changed."""
    st.session_state[CLONED] = spec
    _begin_anew()


def _begin_anew() -> None:
    """Another key for every widget of the form: they begin with their defaults again."""
    st.session_state[FORM] = uuid.uuid4().hex


def show_new_job(person: Person) -> None:
    """The form; what can't be started is said as it is typed."""
    key = st.session_state.setdefault(FORM, uuid.uuid4().hex)
    cloned: JobSpec | None = st.session_state.get(CLONED)
    if cloned is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"As **{plain(str(cloned.cloned_from))}**, with what you change here.")
            if st.button("Begin with a preset instead", type="tertiary"):
                del st.session_state[CLONED]
                _begin_anew()
                st.rerun()
    left, right = st.columns(2, gap="medium")
    with left:
        starts = [f"{MODEL}{name}" for name in bundle_names()]
        starts = [*(f"{WEIGHTS}{'.'.join(found)}" for found in named_weights()), *starts]
        starts = [*(f"{IMAGENET}{name}" for name in SHIPPED), *starts, *(f"{IMAGENET}{name}" for name in DOWNLOADED)]
        if cloned and _start_of(cloned.config) not in starts:
            st.warning(f"{plain(_start_of(cloned.config))} is not there any more.", icon=":material/warning:")
        start = st.selectbox(
            "Start from",
            starts,
            starts.index(_start_of(cloned.config)) if cloned and _start_of(cloned.config) in starts else 0,
            key=f"{key}-start",
            help="A backbone with ImageNet weights, one with other weights, or a model that there is. ImageNet's "
            "of the first two ship; the others' are downloaded once.",
        )
        data = st.text_input(
            "Data folder",
            str(cloned.data if cloned else settings().data or ""),
            key=f"{key}-data",
            help="With .tfrec shards in the layout of the Kaggle release, at any depth, on the machine that trains.",
            live=True,
        )
    with right:
        suggested = cloned.model if cloned else f"{start.partition(': ')[2]}-{datetime.now(UTC):%Y-%m-%d}"
        model = st.text_input(
            "Name of the new model",
            jobs.free_name(suggested),
            key=f"{key}-model-{suggested}",
            help="Letters, digits, dots and dashes. It becomes a candidate in the models folder.",
            live=True,
        )
        places = _places(cloned)
        place = _place_of(cloned) if cloned else places[0]
        devices = st.selectbox("Where", places, places.index(place), key=f"{key}-devices", format_func=_place_words)
    if cloned is None:
        name = st.segmented_control(
            "Effort", [preset.name for preset in PRESETS], default="Standard", required=True, key=f"{key}-preset"
        )
        preset = next(preset for preset in PRESETS if preset.name == name)
        st.caption(preset.words)
        begin, options_key = preset.config(), f"{key}-{name}"
    else:
        begin, options_key = cloned.config, key
    with st.expander("All options", expanded=cloned is not None):
        options = option_widgets(begin, options_key)
    spec = _spec(person, model, data, devices, start, options, cloned)
    if spec is None:
        return
    st.markdown("The same from the command line:")
    st.code(command(spec), language="bash", wrap_lines=True)
    if st.button("Check and start", type="primary", icon=":material/play_arrow:", key=f"{key}-ask"):
        st.session_state.pop(LOOKED, None)
        _ask(spec, key)


def _start_of(config: TrainingConfig) -> str:
    if config.parent is not None:
        return f"{MODEL}{config.parent}"
    return f"{WEIGHTS}{config.backbone}.{config.weights}" if config.weights else f"{IMAGENET}{config.backbone}"


def _places(cloned: JobSpec | None) -> list[str]:
    """ "auto", each GPU, the CPU; the cluster where one is set; and where the job ran that is started again."""
    found = ["auto", *(gpu.device for gpu in machine.visible_gpus()), "cpu"]
    if settings().ray_address:
        found.append("ray")
    return found if cloned is None or _place_of(cloned) in found else [*found, _place_of(cloned)]


def _place_of(spec: JobSpec) -> str:
    return "ray" if spec.backend == "ray" else spec.devices


def _place_words(place: str) -> str:
    words = {"auto": "This machine: all GPUs, or its CPU", "cpu": "This machine: CPU", "ray": "The Ray cluster"}
    return words.get(place, f"This machine: {place.upper()}")


def _spec(
    person: Person, model: str, data: str, devices: str, start: str, options: dict[str, Any], cloned: JobSpec | None
) -> JobSpec | None:
    """What the form says; None, and a sentence for each thing that is wrong, if it can't be."""
    kind, _, name = start.partition(": ")
    # Random weights can only be asked for on the command line; a job that was, stays so.
    chosen: dict[str, Any] = {"backbone": name, "imagenet": cloned is None or cloned.config.imagenet}
    problems = []
    if f"{kind}: " == WEIGHTS:
        chosen["backbone"], _, chosen["weights"] = name.partition(".")
    if f"{kind}: " == MODEL:
        try:
            chosen |= {"backbone": card_of(name).backbone, "parent": name}
        except BundleRejected as error:
            problems.append(str(error))
    try:
        config = TrainingConfig.model_validate(chosen | options)
    except ValidationError as error:
        config = TrainingConfig()
        for found in error.errors():
            where = ".".join(map(str, found["loc"])).replace("_", " ").capitalize()
            problems.append(f"{where}: {found['msg']}." if where else f"{found['msg'].removeprefix('Value error, ')}.")
    if not data.strip():
        problems.append("Name the folder of the data.")
    elif devices != "ray" and not os.path.isdir(data):  # noqa: PTH112 - pathlib raises where a name is too long
        problems.append(f"There is no folder {data}.")
    if (problem := jobs.name_problem(model)) is not None:
        problems.append(problem)
    for said in problems:
        st.error(plain(said), icon=":material/error:")
    if problems:
        return None
    return JobSpec(
        model=model,
        data=Path(data),
        config=config,
        devices="auto" if devices == "ray" else devices,
        backend="ray" if devices == "ray" else "local",
        by=person.name,
        cloned_from=None if cloned is None else cloned.cloned_from,
    )


def command(spec: JobSpec) -> str:
    """The line for a terminal that starts the same job."""
    defaults = TrainingConfig()
    words = ["python", "-m", "cxr", "job", "start", "--data", str(spec.data), "--model", spec.model]
    if spec.devices != "auto":
        words += ["--devices", spec.devices]
    if spec.backend != "local":
        words += ["--backend", spec.backend]
    for name in ("backbone", "imagenet", "weights", "parent", *(name for names in GROUPS.values() for name in names)):
        value = getattr(spec.config, name)
        if value != getattr(defaults, name):
            words += [f"--{name.replace('_', '-')}", str(value).lower() if isinstance(value, bool) else str(value)]
    return shlex.join(words)


@st.dialog("Start this job?", width="medium")
def _ask(spec: JobSpec, key: str) -> None:
    st.markdown(
        f"**{plain(spec.model)}**, from {plain(_start_of(spec.config))}, on the films of `{spec.data}`: "
        f"{spec.config.epochs} epochs at {spec.config.input_size} px."
    )
    # Looked at once: while a second click is heard, the job of the first may have taken the name.
    looked = st.session_state.get(LOOKED)
    if looked is None or looked[0] != (key, spec):
        with st.spinner("Looking whether it can run"):
            looked = st.session_state[LOOKED] = ((key, spec), jobs.preflight(spec))
    checks = looked[1]
    for check in checks:
        icon = ":green[:material/check_circle:]" if check.ok else ":red[:material/error:]"
        st.markdown(f"{icon} {plain(check.sentence)}")
    if not all(check.ok for check in checks):
        st.markdown("It can't be started like this. Nothing was changed.")
        return
    # The key of the form is the token too: however often this is clicked, it is one job.
    if st.button("Start", type="primary", key=f"{key}-start-job"):
        perform(lambda: _start(spec, key))


def _start(spec: JobSpec, token: str) -> str:
    job = jobs.start(spec, token)
    st.session_state.pop(CLONED, None)
    _begin_anew()
    choose_job(job.id)
    return f"{job.id} is {job.state}."
