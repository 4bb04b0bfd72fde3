"""One widget for each training option, made from its type, its bounds and its description."""

from typing import Any, Final, Literal, get_args, get_origin

import streamlit as st
from pydantic.fields import FieldInfo

from cxr.training.config import TrainingConfig

GROUPS: Final = {
    "Model": ("input_size", "seed", "dropout"),
    "Patients": (
        "official_split",
        "split_seed",
        "train_fraction",
        "validation_fraction",
        "calibration_fraction",
        "test_fraction",
    ),
    "Course": (
        "epochs",
        "patience",
        "keep",
        "head_warmup",
        "frozen",
        "backbone_rate",
        "batch_size",
        "learning_rate",
        "warmup",
        "weight_decay",
        "ema",
    ),
    "Loss": ("loss", "focal_gamma", "label_smoothing", "max_class_weight"),
    "Augmentation": ("rotation", "scaling", "shift", "exposure", "noise"),
    "Computation": ("precision", "deterministic", "memory_gigabytes", "disk_gigabytes", "checkpoint_minutes"),
}
"""Options as the form shows them; what is not here (backbone, imagenet, weights, parent) is chosen by "Start from"."""


def option_widgets(start: TrainingConfig, key: str) -> dict[str, Any]:
    """Show a widget for every option; returns their values by name.

    Args:
        start: values to begin with.
        key: prefix of the widgets' keys; another one begins anew.
    """
    chosen: dict[str, Any] = {}
    for group, names in GROUPS.items():
        st.markdown(f"**{group}**")
        with st.grid(4, gap="small"):
            for name in names:
                chosen[name] = _widget(name, TrainingConfig.model_fields[name], getattr(start, name), f"{key}-{name}")
    return chosen


def _widget(name: str, field: FieldInfo, value: Any, key: str) -> Any:
    label, words = name.replace("_", " ").capitalize(), str(field.description)
    words = f"{words[:1].upper()}{words[1:]}."
    if get_origin(field.annotation) is Literal:
        choices = get_args(field.annotation)
        return st.selectbox(label, choices, choices.index(value), key=key, help=words)
    if field.annotation is bool:
        return st.toggle(label, value, key=key, help=words)
    if field.annotation is int:
        return st.number_input(label, value=value, step=1, key=key, help=words)
    # As text with as many digits as it has: a rate of 0.0004 must not be shown as 0.00.
    return st.number_input(label, value=float(value), step=_step(float(value)), format="%g", key=key, help=words)


def _step(value: float) -> float:
    """A tenth of the value's own order, or a hundredth for 0."""
    return 0.01 if value == 0 else float(f"1e{int(f'{value:e}'.split('e')[1]) - 1}")
