"""PNG and JPEG. Expected pixels are worked out with numpy from what was encoded."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cxr.radiograph import read_radiograph
from cxr.radiograph.raster import read_raster

ORIENTATION = 0x0112
AS_ORIENTED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}
"""What a picture looks like that is shown as each value of the EXIF orientation asks (TIFF 6.0, page 36)."""


def png(width: int, height: int, bit_depth: int = 8, colour: int = 0, rows: bytes = b"") -> bytes:
    """A PNG from its parts; `rows` are filter bytes and samples."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def test_8_bit_grey_png_is_exact(encoded, grey):
    film = read_radiograph(encoded(grey, "PNG"))
    np.testing.assert_allclose(film.pixels, grey / 255, atol=1e-7)
    assert (film.facts.bits, film.facts.photometric, film.warnings) == (8, "L", ())


def test_16_bit_grey_png_is_exact(encoded, ramp):
    stored = ramp * 16
    film = read_radiograph(encoded(stored, "PNG"))
    np.testing.assert_allclose(film.pixels, stored / 65535, atol=1e-7)
    assert (film.facts.bits, film.warnings) == (16, ())


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_16_bit_png_that_uses_fewer_bits_is_stretched_with_warning(bits, encoded, ramp):
    stored = ramp >> 12 - bits if bits <= 12 else ramp << bits - 12
    film = read_radiograph(encoded(stored, "PNG"))
    np.testing.assert_allclose(film.pixels, stored / (2**bits - 1), atol=1e-7)
    assert film.facts.bits == bits
    assert film.warnings == (f"The 16-bit image uses only {bits} bits; its grey scale was stretched to these.",)


def test_1_bit_png_is_black_and_white(encoded, grey):
    film = read_radiograph(encoded(grey > 100, "PNG"))
    np.testing.assert_array_equal(film.pixels, grey > 100)
    assert film.facts.bits == 1


def test_2_bit_png_uses_the_whole_scale():
    film = read_radiograph(png(4, 3, 2, 0, b"\0\x1b\0\x1b\0\xe4"))
    np.testing.assert_allclose(film.pixels * 3, [[0, 1, 2, 3], [0, 1, 2, 3], [3, 2, 1, 0]], atol=1e-6)


def test_16_bit_colour_png_is_read_with_8_bits(ramp):
    stored = np.repeat(ramp[..., None] * 16, 3, axis=2)
    film = read_radiograph(png(64, 48, 16, 2, b"".join(b"\0" + row.astype(">u2").tobytes() for row in stored)))
    np.testing.assert_allclose(film.pixels, ramp * 16 / 65535, atol=1 / 255)
    assert film.facts.bits == 8


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA", "P"])
def test_grey_in_another_colour_model_equals_grey(mode, encoded, grey):
    film = read_radiograph(encoded(Image.fromarray(grey).convert(mode), "PNG"))
    np.testing.assert_allclose(film.pixels, grey / 255, atol=1e-7)
    assert (film.facts.photometric, film.warnings) == (mode, ())


def test_palette_is_looked_up(encoded, grey):
    image = Image.fromarray(grey)
    palette = image.convert("P")
    palette.putdata((255 - grey).ravel())
    palette.putpalette([255 - value for value in range(256) for _ in range(3)])
    np.testing.assert_allclose(read_radiograph(encoded(palette, "PNG")).pixels, grey / 255, atol=1e-7)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_parts_are_black_with_warning(mode, encoded, grey):
    alpha = np.full_like(grey, 255)
    alpha[:, 32:], alpha[:10] = 0, 128
    image = Image.fromarray(grey).convert(mode)
    image.putalpha(Image.fromarray(alpha))
    film = read_radiograph(encoded(image, "PNG"))
    np.testing.assert_allclose(film.pixels, (grey / 255) * (alpha / 255), atol=1.01 / 255)
    assert film.warnings == ("The image has transparent parts; they are shown black.",)


def test_transparent_colour_of_a_palette_is_black_with_warning(encoded, grey):
    film = read_radiograph(encoded(Image.fromarray(grey).convert("P"), "PNG", transparency=255))
    np.testing.assert_allclose(film.pixels, np.where(grey == 255, 0, grey) / 255, atol=1e-7)
    assert film.warnings == ("The image has transparent parts; they are shown black.",)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_of_each_colour_model_equals_grey(mode, encoded, grey):
    film = read_radiograph(encoded(Image.fromarray(grey).convert(mode), "JPEG", quality=100))
    np.testing.assert_allclose(film.pixels, grey / 255, atol=2 / 255)
    assert (film.facts.kind, film.facts.bits, film.facts.photometric) == ("JPEG", 8, mode)


def test_colour_photo_is_read_as_its_brightness_with_warning(encoded):
    photo = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    film = read_radiograph(encoded(photo, "PNG"))
    np.testing.assert_allclose(film.pixels, photo @ [0.299, 0.587, 0.114] / 255, atol=1.01 / 255)
    assert film.warnings == ("This is a colour image; a radiograph is grey. Its brightness was used.",)


def test_slight_tint_is_no_colour_image(encoded, grey):
    tinted = np.stack([grey // 8 * 7 + 16, grey // 8 * 7 + 8, grey // 8 * 7], axis=2)
    assert read_radiograph(encoded(tinted, "PNG")).warnings == ()


@pytest.mark.parametrize("orientation", AS_ORIENTED)
@pytest.mark.parametrize("bits", [8, 16])
def test_exif_orientation_is_applied(orientation, bits, encoded, grey, ramp):
    stored = grey if bits == 8 else ramp * 16
    film = read_radiograph(encoded(stored, "PNG", exif=exif(orientation)))
    expected = AS_ORIENTED[orientation](stored) / (2**bits - 1)
    np.testing.assert_allclose(film.pixels, expected, atol=1e-7)
    assert (film.facts.height, film.facts.width) == expected.shape


def test_exif_orientation_of_a_jpeg_is_applied(encoded, grey):
    film = read_radiograph(encoded(grey, "JPEG", quality=100, exif=exif(6)))
    np.testing.assert_allclose(film.pixels, np.rot90(grey, -1) / 255, atol=2 / 255)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_file_is_refused(kind, share, encoded, refusal):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
    data = encoded(noise, kind)
    assert refusal(data[: int(len(data) * share)]) == f"The {kind} file is truncated or damaged."


def test_png_with_a_damaged_checksum_is_refused(encoded, grey, refusal):
    data = bytearray(encoded(grey, "PNG"))
    data[data.index(b"IDAT") + 20] ^= 0xFF
    assert refusal(bytes(data)) == "The PNG file is truncated or damaged."


def test_png_with_damaged_exif_is_refused(encoded, grey, refusal):
    assert refusal(encoded(grey, "PNG", exif=b"Exif\0\0garbage")) == "The PNG file is truncated or damaged."


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_png_without_pixels_is_refused(size, refusal):
    assert refusal(png(*size)) == "The PNG file is truncated or damaged."


@pytest.mark.parametrize("default_image", [False, True])
def test_animated_png_is_refused(default_image, encoded, grey, refusal):
    frames = {"save_all": True, "append_images": [Image.fromarray(255 - grey)], "default_image": default_image}
    assert refusal(encoded(grey, "PNG", **frames)) == "The PNG file holds 2 images; a film is one image."


def test_jpeg_of_several_pictures_is_refused(encoded, grey, refusal):
    data = encoded(grey, "MPO", save_all=True, append_images=[Image.fromarray(255 - grey)])
    assert refusal(data) == "The JPEG file holds 2 images; a film is one image."


@pytest.mark.parametrize("side", [8001, 9500, 30_000, 2**31 - 1])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_huge_png_is_refused_from_its_header(side, refusal, no_decoding):
    assert "64 megapixels" in refusal(png(side, side))


def test_limit_is_the_last_size_that_is_read(encoded, grey):
    assert read_raster(encoded(grey, "PNG"), "PNG", max_pixels=grey.size).values.shape == grey.shape


def test_only_the_named_kind_is_opened(encoded, grey):
    with pytest.raises(ValueError, match="JPEG file is truncated or damaged"):
        read_raster(encoded(grey, "PNG"), "JPEG", max_pixels=grey.size)


def test_pixels_do_not_depend_on_what_follows_the_image(encoded, grey):
    data = encoded(grey, "PNG")
    np.testing.assert_array_equal(
        read_radiograph(data + b"appended").pixels, np.asarray(Image.open(io.BytesIO(data)), np.float32) / 255
    )
