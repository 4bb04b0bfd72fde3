"""What a training configuration accepts, and what it says when it does not."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from cxr.training.config import TrainingConfig, load_config


def refusal(path: Path | None, **overrides: object) -> str:
    """Why a configuration is refused, checked to be one line that ends as a sentence."""
    with pytest.raises(ValueError, match=r"\.$") as raised:
        load_config(path, overrides)
    assert not isinstance(raised.value, ValidationError)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_without_a_file_the_defaults_hold_but_for_the_overrides() -> None:
    assert load_config(None, {}) == TrainingConfig()
    assert load_config(None, {"epochs": 3}) == TrainingConfig(epochs=3) != TrainingConfig()


def test_a_file_wins_over_the_defaults_and_an_override_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('backbone = "efficientnet_lite2"\nepochs = 4\nlearning_rate = 1e-3\nimagenet = false\n')
    config = load_config(path, {"epochs": 9})
    assert (config.backbone, config.epochs, config.learning_rate, config.imagenet) == (
        "efficientnet_lite2",
        9,
        0.001,
        False,
    )
    assert config.batch_size == TrainingConfig().batch_size


def test_overrides_may_be_the_words_of_a_command_line() -> None:
    config = load_config(None, {"epochs": "3", "ema": "0.5", "imagenet": "false"})
    assert (config.epochs, config.ema, config.imagenet) == (3, 0.5, False)


def test_the_fractions_come_in_the_order_of_the_splits() -> None:
    config = TrainingConfig(train_fraction=0.5, validation_fraction=0.1, calibration_fraction=0.15, test_fraction=0.25)
    assert config.fractions == (0.5, 0.1, 0.15, 0.25)


def test_a_configuration_survives_being_saved_in_a_card() -> None:
    config = TrainingConfig(seed=7, rotation=0, learning_rate=1e-5)
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config


def test_a_configuration_cant_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainingConfig().epochs = 3


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("horizontal_flip = true\n")
    assert refusal(path) == (
        "The training configuration is not valid: horizontal_flip: Extra inputs are not permitted."
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", "many"),
        ("batch_size", 1),
        ("input_size", 16),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("rotation", 90),
        ("label_smoothing", 0.5),
        ("ema", 1.0),
        ("seed", -1),
        ("split_seed", -1),
        ("test_fraction", 0),
        ("head_warmup", 15),
        ("frozen", 1.1),
        ("backbone_rate", 0),
        ("loss", "hinge"),
        ("focal_gamma", -1),
        ("patience", -1),
        ("precision", "float64"),
        ("deterministic", "perhaps"),
        ("checkpoint_minutes", 0),
        ("memory_gigabytes", float("inf")),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    message = refusal(None, **{name: value})
    assert message.startswith("The training configuration is not valid: ")
    assert name in message


def test_every_wrong_value_is_named() -> None:
    message = refusal(None, epochs=0, seed=-1)
    assert "epochs: " in message
    assert "seed: " in message


def test_fractions_that_do_not_sum_to_one_are_refused_with_their_values() -> None:
    assert "the four split fractions (0.7, 0.08, 0.12, 0.2) must sum to 1" in refusal(None, train_fraction=0.7)


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff\xfe\x00", None])
def test_a_file_that_cant_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run.toml"
    if content is not None:
        path.write_bytes(content)
    assert refusal(path).startswith(f"The configuration {path} can't be read: ")


def test_patience_goes_with_keeping_the_best_epoch_only() -> None:
    assert "patience has no meaning where the last epoch is kept" in refusal(None, keep="last", patience=3)
