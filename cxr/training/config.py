"""Everything that decides what a training run does. Saved with the run, and in the card of the model it makes."""

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class TrainingConfig(BaseModel):
    """A training run. Every field can be set in a TOML file and by a command-line option of the same name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backbone: str = Field("efficientnet_lite0", description="feature extractor, a name of `cxr.model.backbones`")
    imagenet: bool = Field(True, description="start from ImageNet weights; false: random initialisation")
    weights: str | None = Field(
        None,
        pattern=r"^\w+$",
        description="name of other weights to start from than ImageNet's: models/backbones/BACKBONE.NAME.weights.h5",
    )
    input_size: int = Field(320, ge=32, description="side of the square film, pixels")
    parent: str | None = Field(
        None, description="name of a bundle to start from instead of ImageNet: its backbone, and its head by category"
    )
    seed: int = Field(0, ge=0, description="of the initialisation, the order of films and the augmentation")

    split_seed: int = Field(0, ge=0, description="another number puts other patients into the four splits")
    official_split: bool = Field(
        False, description="NIH's train_val_list.txt and test_list.txt in the data folder decide who tests"
    )
    train_fraction: float = Field(0.60, gt=0, lt=1, description="share of the patients that train")
    validation_fraction: float = Field(0.08, gt=0, lt=1, description="… that choose the epoch")
    calibration_fraction: float = Field(0.12, gt=0, lt=1, description="… that calibrate and set thresholds")
    test_fraction: float = Field(0.20, gt=0, lt=1, description="… that the reported numbers are measured on")

    epochs: int = Field(15, ge=1, description="passes over the training films, those of the head's warm-up included")
    patience: int = Field(
        0, ge=0, description="epochs without a better validation macro-AUROC after which training stops; 0: never"
    )
    keep: Literal["best", "last"] = Field(
        "best", description="the epoch whose weights are kept: the best on the validation patients, or the last"
    )
    head_warmup: int = Field(0, ge=0, description="first epochs, in which the head alone trains, at the peak rate")
    frozen: float = Field(
        0.0, ge=0, le=1, description="share of the backbone's weighted layers, from the film on, that never train"
    )
    backbone_rate: float = Field(1.0, gt=0, le=1, description="learning rate of the backbone, as a share of the head's")
    batch_size: int = Field(32, ge=2, description="films per step")
    learning_rate: float = Field(4e-4, gt=0, description="peak rate of AdamW, reached after the warm-up")
    warmup: float = Field(0.15, ge=0, lt=1, description="share of the steps with rising rate; then a cosine to zero")
    weight_decay: float = Field(0.01, ge=0, description="decoupled weight decay of AdamW")
    ema: float = Field(0.98, ge=0, lt=1, description="momentum of the average of the weights; 0: no average")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of feature channels dropped before the head")
    loss: Literal["cross_entropy", "focal"] = Field(
        "cross_entropy", description="cross_entropy, or focal: films that are already told right count less"
    )
    focal_gamma: float = Field(2.0, ge=0, le=10, description="how much less: the exponent of the focal loss")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="labels become s and 1 - s")
    max_class_weight: float = Field(
        5.0, ge=1, description="most that sqrt(negatives / positives) may weight a positive"
    )

    rotation: float = Field(8.0, ge=0, le=10, description="augmentation: largest rotation, degrees")
    scaling: float = Field(0.10, ge=0, le=0.3, description="augmentation: largest change of size, share")
    shift: float = Field(0.04, ge=0, le=0.2, description="augmentation: largest shift, share of the side")
    exposure: float = Field(0.25, ge=0, le=1, description="augmentation: largest change of log gamma and log contrast")
    noise: float = Field(3.0, ge=0, le=50, description="augmentation: largest standard deviation of noise, grey levels")

    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = Field(
        "auto", description="of the computation; auto: mixed on a GPU that has fast arithmetic for it, else float32"
    )
    deterministic: bool = Field(False, description="the same bits in each run on the same machine; slower on a GPU")
    memory_gigabytes: float = Field(4.0, ge=0, description="most that decoded training films may take in memory")
    disk_gigabytes: float = Field(
        40.0,
        ge=0,
        description="most that decoded training films may take in the cache folder where memory can't hold them",
    )
    checkpoint_minutes: float = Field(10.0, gt=0, description="longest time between checkpoints; one ends each epoch")

    @model_validator(mode="after")
    def _fractions_sum_to_one(self) -> Self:
        if abs(sum(self.fractions) - 1) > 1e-9:
            raise ValueError(f"the four split fractions {self.fractions} must sum to 1")
        return self

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.parent is not None and self.weights is not None:
            raise ValueError(f"a run starts from the model {self.parent} or from the weights {self.weights}, not both")
        return self

    @model_validator(mode="after")
    def _patience_waits_for_the_best(self) -> Self:
        if self.keep == "last" and self.patience:
            raise ValueError("patience has no meaning where the last epoch is kept")
        return self

    @model_validator(mode="after")
    def _the_backbone_trains_after_the_warm_up(self) -> Self:
        if self.head_warmup >= self.epochs:
            raise ValueError(f"head_warmup (={self.head_warmup}) must be below epochs (={self.epochs})")
        return self

    @property
    def fractions(self) -> tuple[float, float, float, float]:
        """Shares of the patients in train, validation, calibration and test."""
        return self.train_fraction, self.validation_fraction, self.calibration_fraction, self.test_fraction


def load_config(path: Path | None, overrides: dict[str, object]) -> TrainingConfig:
    """The configuration of a TOML file (None: the defaults) with overrides.

    Raises:
        ValueError: the file is missing or no TOML, or a value is unknown or out of range; one sentence.
    """
    values: dict[str, object] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"The configuration {path} can't be read: {error}.") from error
    try:
        return TrainingConfig.model_validate(values | overrides)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc'])) or 'configuration'}: {e['msg']}" for e in error.errors())
        raise ValueError("The training configuration is not valid: " + "; ".join(problems) + ".") from error
