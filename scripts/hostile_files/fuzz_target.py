"""What Atheris calls; run by `scripts.fuzz_read_radiograph`, since a codec's crash ends it.

Nothing that is fuzzed may be imported before Atheris watches it, so the imports stand in the functions.
"""

import os
import random
import sys
import warnings
import zlib
from pathlib import Path

import atheris

SECONDS_EACH = 20
"""On the clock, as in the app by default; other programs take their share of it."""
MEGABYTES = 512
MOST_PIXELS = 2_000_000
"""Smaller than in the app: a large blank film is decoded for a second and tells nothing new."""
LARGEST_FILE = 16_384
PNG_START = b"\x89PNG\r\n\x1a\n"


def fuzz(folder: Path, seconds: int) -> None:
    with atheris.instrument_imports(include=["pydicom", "PIL", "cxr.radiograph", "pylibjpeg", "openjpeg", "rle"]):
        from cxr.radiograph.film import UnreadableFilm
        from cxr.radiograph.full_depth import full_depth
        from cxr.radiograph.header import header, is_whole
        from cxr.radiograph.read import read_radiograph
        from cxr.radiograph.thumbnail import thumbnail
    warnings.simplefilter("ignore")

    def one(data: bytes) -> None:
        try:
            film = read_radiograph(data, MOST_PIXELS)
            if (
                film.pixels.shape != (film.facts.height, film.facts.width)
                or not 0 <= film.pixels.min() <= film.pixels.max() <= 1
            ):
                raise AssertionError("a film is of another size, or of other greys, than it says")
        except UnreadableFilm:
            pass
        act = len(data) % 4
        try:
            if act == 0:
                full_depth(data, MOST_PIXELS).picture()
            elif act == 1:
                thumbnail(data, 112, MOST_PIXELS)
            elif act == 2:
                header(data)
            else:
                is_whole(data)
        except UnreadableFilm:
            pass

    atheris.Setup(
        [
            sys.argv[0], str(folder / "corpus"), f"-artifact_prefix={folder / 'crashes'}{os.sep}",
            f"-max_total_time={seconds}", f"-timeout={SECONDS_EACH}", f"-rss_limit_mb={MEGABYTES}",
            f"-max_len={LARGEST_FILE}", "-print_final_stats=1", "-report_slow_units=4",
        ],
        one,
        custom_mutator=_mutated,
    )  # fmt: skip
    atheris.Fuzz()


def _mutated(data: bytes, largest: int, seed: int) -> bytes:
    """A file changed: anywhere, or where it is a PNG within a chunk, whose checksum then fits again."""
    chosen = random.Random(seed)  # noqa: S311
    if not data.startswith(PNG_START) or chosen.random() < 0.1:
        return atheris.Mutate(data, largest)
    parts = _chunks(data)
    place = chosen.randrange(len(parts))
    name, body = parts[place]
    if name == b"IDAT" and chosen.random() < 0.5:
        try:
            samples = zlib.decompressobj().decompress(body, 2**20)
        except zlib.error:
            samples = b""
        body = zlib.compress(atheris.Mutate(samples, len(samples) + 64))
    elif chosen.random() < 0.1:
        name = chosen.choice([b"tRNS", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"PLTE", b"pHYs"])
    else:
        body = atheris.Mutate(body, len(body) + 64) if body else os.urandom(4)
    parts[place] = (name, body)
    from scripts.hostile_files.parts import chunk

    return (PNG_START + b"".join(chunk(*part) for part in parts))[:largest]


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], len(PNG_START)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found or [(b"IHDR", bytes(13))]


if __name__ == "__main__":
    fuzz(Path(sys.argv[1]), int(sys.argv[2]))
