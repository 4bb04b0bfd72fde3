"""AdamW with a slower rate for the backbone, an average of the weights, and a watch on the gradients."""

from collections.abc import Sequence
from typing import Any, Final

import keras
import numpy as np
from keras import ops

UNDECAYED: Final = ("bias", "gamma", "beta")
"""Biases and batch-norm gains are scales, not weights to shrink."""
NEVER: Final = -1


class DiscriminativeAdamW(keras.optimizers.Adam):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) with discriminative learning rates (Howard and Ruder 2018,
    arXiv:1801.06146, section 3.2): all variables but those of the head move and decay at a share of the rate.

    It remembers the step at which the gradients first had no finite norm (`diverged_at`), and keeps an exponential
    moving average of the weights beside them (`averages`); training goes on from the weights, not from the average.

    Args:
        learning_rate: of the head, at each step.
        head: variables that are trained at that rate.
        backbone_rate: what the rate of all others is multiplied by, above 0 to 1.
        weight_decay: decoupled decay per step, as a share of the rate; see `UNDECAYED`.
        ema: momentum of the average, 0 to below 1; 0: no average.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        *,
        head: Sequence[keras.Variable],
        backbone_rate: float,
        weight_decay: float,
        ema: float,
    ):
        # Keras' own decay would shrink the backbone at the rate of the head.
        super().__init__(learning_rate, use_ema=ema > 0, ema_momentum=ema)
        self.head_paths = {variable.path for variable in head}
        self.backbone_rate = backbone_rate
        self.decay = weight_decay

    def build(self, var_list: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        self.rates = [1.0 if v.path in self.head_paths else self.backbone_rate for v in var_list]
        self.decays = [0.0 if v.name in UNDECAYED else self.decay for v in var_list]
        self.diverged_at = self.add_variable(
            shape=(),
            dtype="int32",
            initializer=keras.initializers.Constant(NEVER),
            aggregation="only_first_replica",
            name="diverged_at",
        )

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[keras.Variable] | None = None) -> None:
        if not self.built and trainable_variables is not None:
            self.build(list(trainable_variables))
        squares = ops.stack([ops.sum(ops.square(ops.cast(grad, "float32"))) for grad in grads])
        known = ops.convert_to_tensor(self.diverged_at)
        first = ops.logical_and(ops.equal(known, NEVER), ops.logical_not(ops.isfinite(ops.sum(squares))))
        self.diverged_at.assign(ops.where(first, ops.cast(self.iterations, "int32"), known))
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype) * self.rates[index]
        if self.decays[index] > 0:
            self.assign_sub(variable, ops.multiply(variable, self.decays[index] * rate))
        super().update_step(gradient, variable, rate)

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Keras calls this as each `fit` ends, which here is each epoch: the weights must not become the average."""

    def averages(self) -> dict[str, np.ndarray]:
        """The average of each trained variable by its path; empty without an average."""
        if not self.use_ema:
            return {}
        pairs = zip(self._trainable_variables, self._model_variables_moving_average, strict=True)
        return {variable.path: as_numpy(average) for variable, average in pairs}


def as_numpy(variable: Any) -> np.ndarray:
    """The value of a variable of any backend, also of one that is kept on several devices."""
    return np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(variable)))
