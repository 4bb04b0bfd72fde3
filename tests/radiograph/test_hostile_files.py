"""Every hostile file comes to the sentence that it should, through the app's decoder, in little memory and time."""

import time

import pytest

from cxr.radiograph import UnreadableFilm
from cxr.radiograph.decoding_process import Limits
from cxr.radiograph.header import Header
from cxr.radiograph.isolated import Decoder
from cxr.settings import ROOT
from scripts.hostile_files.bombs import READ, bombs
from scripts.hostile_files.parts import PATIENT

MOST_MEGABYTES = 512
MOST_SECONDS = 5
SLOW_SECONDS = 1
LARGE = {"PNG of 64 megapixels of 16 bits in 124 KB"}
"""As large as a film may be; the app gives it twice the memory."""
BOMBS = bombs()


@pytest.fixture(scope="module")
def decoders():
    """With the time of the app, and with less for those who use up any."""
    made = {
        (seconds, megabytes): Decoder(Limits(megabytes, seconds, 64_000_000), 1)
        for seconds, megabytes in ((MOST_SECONDS, MOST_MEGABYTES), (SLOW_SECONDS, MOST_MEGABYTES), (MOST_SECONDS, 1024))
    }
    yield made
    for decoder in made.values():
        decoder.close()


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_hostile_file(bomb, decoders):
    decoder = decoders[SLOW_SECONDS if bomb.slow else MOST_SECONDS, 1024 if bomb.name in LARGE else MOST_MEGABYTES]
    data = bomb.make()
    try:
        decoder.read(data)
        outcome = READ
    except UnreadableFilm as error:
        outcome = str(error)
        assert outcome[0].isupper() and outcome.endswith(".") and outcome.isprintable() and len(outcome) < 200
    assert bomb.outcome in outcome
    assert PATIENT.partition("^")[0] not in outcome


def test_what_security_says_of_each_is_what_comes_out():
    table = (ROOT / "SECURITY.md").read_text().partition("| input | size | what comes out |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in table.splitlines()[2:]]
    assert [name for name, _, _ in rows] == [bomb.name for bomb in BOMBS]
    for (_, _, said), bomb in zip(rows, BOMBS, strict=True):
        assert bomb.outcome in said or (bomb.slow and said == READ)


@pytest.mark.parametrize(
    "bomb",
    [bomb for bomb in BOMBS if "DICOM" in bomb.name or "nested" in bomb.name or "elements" in bomb.name],
    ids=lambda bomb: bomb.name,
)
def test_its_header_alone_does_no_harm_either(bomb, decoders):
    decoder = decoders[SLOW_SECONDS if bomb.slow else MOST_SECONDS, MOST_MEGABYTES]
    data = bomb.make()
    if bomb.slow:
        with pytest.raises(UnreadableFilm, match="takes longer"):
            decoder.header(data)
        return
    found = decoder.header(data)
    assert isinstance(found, Header)
    assert isinstance(decoder.is_whole(data), bool)


def test_the_next_film_is_read(decoders):
    start = time.monotonic()
    for decoder in decoders.values():
        decoder.thumbnail(next(bomb for bomb in BOMBS if bomb.name == "PNG with a chunk of 2 GB").make(), 20)
    assert time.monotonic() - start < 60
