"""Films in a TensorFlow graph: from the bytes of a file to the model's square, and its augmentation."""

from typing import Final

import numpy as np
import tensorflow as tf

from cxr.radiograph import model_input, read_radiograph
from cxr.training.augment import affine
from cxr.training.config import TrainingConfig

RATIOS: Final = (1, 2, 4)
"""By which a JPEG is reduced while it is decoded. At 8 some films are off by more than a grey level on average."""
NEARLY_THERE: Final = 1.25
"""A reduced film up to this much larger than the square needs no further filter: its pixels are averages already."""
JFIF: Final = b"\xff\xd8\xff\xe0\x00\x10"
QUANTIZATION: Final = b"\xff\xdb"
"""Marker behind the header of a plain JFIF file: no EXIF orientation, no Adobe colours (ITU-T T.81 and T.871)."""


def square(image: tf.Tensor, size: int) -> tf.Tensor:
    """A film as the model sees it, within one grey level (mean over the film) of serving's `model_input`.

    Plain JPEGs, such as the release's, are decoded in the graph, reduced by 2 or 4 while they are decoded where the
    result is no smaller than the square; everything else by the code that serves.

    Args:
        image: string (), a PNG, JPEG or DICOM file.
        size: side of the square, pixels.

    Returns:
        uint8 (size, size). An error ends the pipeline if the film is damaged, blank, or of another kind.
    """
    # JFIF is 20 bytes long: its marker, and 16 bytes with their length.
    plain = (tf.strings.substr(image, 0, 6) == JFIF) & (tf.strings.substr(image, 20, 2) == QUANTIZATION)
    made = tf.cond(plain, lambda: _by_graph(image, size), lambda: _by_serving(image, size))
    made = tf.ensure_shape(tf.cast(tf.round(made), tf.uint8), (size, size))
    with tf.control_dependencies([tf.debugging.assert_less(tf.reduce_min(made), tf.reduce_max(made))]):
        return tf.identity(made)


def _by_graph(image: tf.Tensor, size: int) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(image)[:2]
    short, long = tf.reduce_min(shape), tf.reduce_max(shape)
    fits = [tf.cast(tf.math.ceil(short / ratio) >= size, tf.int32) for ratio in RATIOS[1:]]
    level = tf.add_n(fits)
    reduced = tf.math.ceil(long / tf.gather(RATIOS, level))
    filtered = (level == 0) | (reduced > NEARLY_THERE * size)

    def decoded(ratio: int, antialias: bool) -> tf.Tensor:
        # What Pillow decodes with. TensorFlow's default is half a grey level darker.
        grey = tf.io.decode_jpeg(image, channels=1, ratio=ratio, dct_method="INTEGER_ACCURATE")
        return tf.image.resize(grey, (size, size), antialias=antialias)[..., 0]

    ways = [(ratio, antialias) for ratio in RATIOS for antialias in (False, True)]
    branches = {number: (lambda way=way: decoded(*way)) for number, way in enumerate(ways)}
    return tf.switch_case(2 * level + tf.cast(filtered, tf.int32), branches)


def _by_serving(image: tf.Tensor, size: int) -> tf.Tensor:
    def read(data: bytes) -> np.ndarray:
        return model_input(read_radiograph(data), size)

    return tf.ensure_shape(tf.numpy_function(read, [image], tf.float32), (size, size))


def augment(film: tf.Tensor, config: TrainingConfig, changes: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """What `cxr.training.augment.augment` does, with the same distributions, in the graph.

    Args:
        film: uint8 (size, size), grey levels 0..255.
        config: the largest change of each kind.
        changes, noise: int64 (2,), seeds of the changes and of the noise; the same seeds give the same film.

    Returns:
        float32 (size, size), grey levels 0..255.
    """
    size = int(film.shape[0])
    drawn = tf.unstack(tf.random.stateless_uniform((7,), changes, -1.0, 1.0))
    angle, scaling, dx, dy, gamma, contrast, deviation = drawn
    # What the configuration rules out is left out of the graph.
    if config.rotation or config.scaling or config.shift:
        film = _move(
            film,
            angle * np.deg2rad(config.rotation),
            tf.exp(scaling * config.scaling),
            (dx * (config.shift * size), dy * (config.shift * size)),
        )
    if config.exposure:
        # Grey levels are whole numbers here, so a table of 256 says what becomes of each.
        table = (tf.range(256, dtype=tf.float32) / 255) ** tf.exp(gamma * config.exposure)
        exposed = tf.gather(table, tf.cast(tf.round(film) if film.dtype == tf.float32 else film, tf.int32))
        centre = tf.reduce_mean(exposed)
        film = 255 * ((exposed - centre) * tf.exp(contrast * config.exposure) + centre)
    film = tf.cast(film, tf.float32)
    if config.noise:
        film += tf.random.stateless_normal((size, size), noise) * ((deviation + 1) / 2 * config.noise)
    return tf.clip_by_value(film, 0.0, 255.0)


def _move(film: tf.Tensor, angle: tf.Tensor, scale: tf.Tensor, shift: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """The film turned, scaled and shifted, float32 (size, size); black where there was none."""
    size = int(film.shape[0])
    a, b, c, d, e, f = affine(tf.cos(angle) / scale, tf.sin(angle) / scale, *shift, size)
    # TensorFlow counts from the middle of the first pixel, Pillow from its corner.
    rows = [a, b, c + (a + b - 1) / 2, d, e, f + (d + e - 1) / 2, 0.0, 0.0]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(film, tf.float32)[None, ..., None],
        transforms=tf.stack(rows)[None],
        output_shape=(size, size),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0, ..., 0]
