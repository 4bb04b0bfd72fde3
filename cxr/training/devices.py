"""What a run computes on, and in which precision. Whatever depends on Keras' backend is here."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import keras

from cxr.training.config import TrainingConfig

FLOAT16_CAPABILITY: Final = (7, 0)
BFLOAT16_CAPABILITY: Final = (8, 0)
"""CUDA compute capability from which a GPU has matrix units for each (NVIDIA CUDA programming guide, table of compute
capabilities)."""


def gpus() -> list[Any]:
    """The GPUs that Keras' backend computes on, as that backend names them."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            return list(tf.config.list_physical_devices("GPU"))
        case "jax":
            import jax

            return [device for device in jax.devices() if device.platform == "gpu"]
        case "torch":
            import torch

            return list(range(torch.cuda.device_count()))
    raise ValueError(f"Keras' backend {keras.backend.backend()} can't train; use tensorflow, jax or torch.")


def _capability(gpu: Any) -> tuple[int, int]:
    """CUDA compute capability; (0, 0) for a GPU that has none."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            major, minor = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        case "jax":
            major, minor = map(int, str(getattr(gpu, "compute_capability", "0.0")).split("."))
        case _:
            import torch

            major, minor = torch.cuda.get_device_capability(gpu)
    return major, minor


def precision_of(config: TrainingConfig) -> str:
    """The name of Keras' dtype policy for a run: that of the configuration, or for "auto" what all GPUs are fast in."""
    if config.precision != "auto":
        return config.precision
    least = min(map(_capability, gpus()), default=(0, 0))
    if least >= BFLOAT16_CAPABILITY:
        return "mixed_bfloat16"
    return "mixed_float16" if least >= FLOAT16_CAPABILITY else "float32"


@contextmanager
def precision(config: TrainingConfig) -> Iterator[None]:
    """Layers that are built inside compute in the precision of the run; their weights are float32 in any."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision_of(config))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@dataclass(frozen=True)
class Replicas:
    """The copies of a model that train together, each on its part of every batch.

    Attributes:
        count: how many.
        scope: makes the context in which the model and its optimizer are built and compiled.
    """

    count: int
    scope: Callable[[], AbstractContextManager[Any]]


def replicas(config: TrainingConfig, devices: Sequence[str] | None = None) -> Replicas:
    """One copy on each GPU under TensorFlow; a single one on the default device under JAX and PyTorch.

    Args:
        config: of the run.
        devices: names of TensorFlow devices to use instead of all GPUs.

    Raises:
        ValueError: a batch can't be shared evenly among them.
    """
    if keras.backend.backend() != "tensorflow" or (devices is None and len(gpus()) < 2):
        return Replicas(1, nullcontext)
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(devices)
    count = strategy.num_replicas_in_sync
    if config.batch_size % count:
        raise ValueError(f"batch_size (={config.batch_size}) must be a multiple of the {count} GPUs.")
    return Replicas(count, strategy.scope)


def prepare(config: TrainingConfig) -> None:
    """Make the process compute the same bits in every run, if that is asked for, and draw what is random from the seed.

    Under JAX it has to come before the first computation on a GPU.
    """
    if config.deterministic:
        match keras.backend.backend():
            case "tensorflow":
                import tensorflow as tf

                tf.config.experimental.enable_op_determinism()
            case "jax":
                os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true"
            case "torch":
                import torch

                # cuBLAS is deterministic with a fixed workspace only (CUDA documentation, cuBLAS, 2.1.4).
                os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
                torch.use_deterministic_algorithms(True)
    # `keras.utils.set_random_seed` would import TensorFlow under any backend. Keras draws its seeds from `random`.
    random.seed(config.seed)
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            tf.random.set_seed(config.seed)
        case "torch":
            import torch

            torch.manual_seed(config.seed)
