"""Training configurations to start from: what an administrator chooses before changing anything."""

from dataclasses import dataclass
from typing import Final

from cxr.training.config import TrainingConfig


@dataclass(frozen=True)
class Preset:
    """A way to train.

    Attributes:
        name: in a word or two.
        words: what it is for, in one sentence.
        changes: fields of `TrainingConfig` that differ from the defaults.
    """

    name: str
    words: str
    changes: dict[str, object]

    def config(self, **further: object) -> TrainingConfig:
        """Its configuration, with further changes."""
        return TrainingConfig.model_validate(self.changes | further)


PRESETS: Final = (
    Preset(
        "Quick check",
        "Two epochs on small films with most of the backbone frozen: shows that data and machine are in order, "
        "not what a model can be.",
        {"input_size": 224, "epochs": 2, "frozen": 0.8},
    ),
    Preset("Standard", "The defaults of every option.", {}),
    Preset(
        "Thorough",
        "Larger films, twice the epochs, stopped when validation no longer improves.",
        {"input_size": 384, "epochs": 30, "patience": 8},
    ),
)
