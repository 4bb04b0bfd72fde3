"""Films decoded in another process: the same films, and whatever that process does the app goes on."""

import json
import os
import platform
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cxr.radiograph import UnreadableFilm, full_depth, read_radiograph, thumbnail
from cxr.radiograph.confinement import FORBIDDEN
from cxr.radiograph.decoding_process import Limits
from cxr.radiograph.header import Header, header
from cxr.radiograph.isolated import MOST_FILMS, Decoder, DecoderUnavailable, decoder
from cxr.settings import ROOT, settings
from scripts.hostile_files.seeds import seeds

LIMITS = Limits(megabytes=512, seconds=1, max_pixels=1_000_000)
CRASHED = "The image can't be decoded: it makes the decoder crash."
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="what the kernel of Linux holds")


@pytest.fixture
def misbehaving():
    made = Decoder(LIMITS, 1, "misbehaving_decoder")
    yield made
    made.close()


@pytest.fixture(scope="module")
def film():
    return seeds()["png-16"]


def said(asked, act):
    """The words in which a process refuses a file."""
    with pytest.raises(UnreadableFilm) as caught:
        asked.read(act)
    return str(caught.value)


@pytest.mark.parametrize("name", seeds())
def test_a_film_is_the_same_as_in_this_process(name):
    data = seeds()[name]
    here, there = read_radiograph(data), decoder().read(data)
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert there.pixels.dtype == np.float32
    assert (there.facts, there.warnings) == (here.facts, here.warnings)
    deep, deeper = full_depth(data), decoder().full_depth(data)
    np.testing.assert_array_equal(deeper.levels, deep.levels)
    np.testing.assert_array_equal(deeper.picture(), deep.picture())
    assert {k: v for k, v in vars(deeper).items() if k not in ("levels", "curve")} == {
        k: v for k, v in vars(deep).items() if k not in ("levels", "curve")
    }
    assert (deeper.curve is None) == (deep.curve is None)


def test_thumbnails_and_headers_are_the_same():
    data = seeds()
    assert decoder().thumbnail(data["jpeg-grey"], 20) == thumbnail(data["jpeg-grey"], 20)
    assert decoder().header(data["dicom-plain"]) == header(data["dicom-plain"])
    assert decoder().header(data["dicom-plain"]).patient == "77"
    assert decoder().header(b"no film") == Header()
    assert decoder().is_whole(data["dicom-rle"])
    assert not decoder().is_whole(data["dicom-plain"][:-40])


def test_a_refusal_is_the_same_sentence():
    assert said(decoder(), b"text") == "This is not a PNG, JPEG or DICOM file."
    with pytest.raises(UnreadableFilm, match="truncated or damaged"):
        decoder().thumbnail(b"text", 20)


def test_the_limit_of_size_is_that_of_the_settings(changed_settings, film):
    changed_settings.setenv("CXR_MAX_MEGAPIXELS", "0.001")
    assert said(decoder(), film) == "The image has 40 x 32 pixels, more than the 0.001 megapixels that are read."


def test_pixels_stay_what_they_are_when_others_are_read(film):
    first = decoder().read(film)
    copy = first.pixels.copy()
    part = decoder().read(seeds()["png-8"]).pixels[3:5, 2:]
    again = part.copy()
    for data in list(seeds().values())[-6:]:
        decoder().read(data)
    np.testing.assert_array_equal(first.pixels, copy)
    np.testing.assert_array_equal(part, again)


@pytest.mark.parametrize("act", [b"crash", b"abort", b"exit"])
def test_a_crash_is_a_refusal_and_the_next_film_is_read(act, misbehaving, film):
    assert said(misbehaving, act) == CRASHED
    assert misbehaving.read(film).pixels.shape == (32, 40)


@pytest.mark.parametrize("act", [b"hang", b"spin", b"drip"])
def test_what_takes_too_long_is_a_refusal(act, misbehaving, film):
    start = time.monotonic()
    assert (
        said(misbehaving, act) == "The image takes longer to decode than the 1.0 seconds that a file of its size may."
    )
    assert time.monotonic() - start < 30
    assert misbehaving.read(film).pixels.shape == (32, 40)


@LINUX
@pytest.mark.parametrize("act", [b"eat", b"eat-slowly"])
def test_what_takes_too_much_memory_is_a_refusal(act, misbehaving, film):
    assert said(misbehaving, act) == "The image takes more memory to decode than the 512 MB that it may."
    assert misbehaving.read(film).pixels.shape == (32, 40)


def test_a_film_does_not_answer_for_the_one_before(misbehaving, film):
    assert said(misbehaving, b"break-later") == "It did break-later."
    assert misbehaving.read(film).pixels.shape == (32, 40)


def test_a_film_does_not_answer_for_two_processes_that_others_broke(film):
    made = Decoder(LIMITS, 2, "misbehaving_decoder")
    with made._turns:
        other = made._take()
        other.ask("read", b"break-later")
        assert said(made, b"break-later") == "It did break-later."
        made._give_back(other)
    assert made.read(film).pixels.shape == (32, 40)
    assert len(made._idle) == 2
    made.close()


def test_a_process_that_can_not_even_be_ordered_keeps_nobody_waiting(film, monkeypatch):
    monkeypatch.setattr("sys.path", [*sys.path, Path("no text")])
    made = Decoder(LIMITS, 1)
    with pytest.raises(DecoderUnavailable, match="TypeError"):
        made.read(film)
    monkeypatch.undo()
    assert made.read(film).pixels.shape == (32, 40)
    made.close()


def test_a_process_that_says_nonsense_of_itself_is_replaced(misbehaving, film):
    assert said(misbehaving, b"boast") == CRASHED
    assert misbehaving.read(film).pixels.shape == (32, 40)


def test_a_process_that_somebody_ended_is_replaced(misbehaving, film):
    os.kill(int(said(misbehaving, b"pid")), signal.SIGKILL)
    assert misbehaving.read(film).pixels.shape == (32, 40)


def test_an_exception_of_the_decoder_is_a_refusal_and_is_logged_by_its_kind(misbehaving, caplog):
    assert said(misbehaving, b"raise Roentgen") == "The image can't be decoded: it is damaged."
    assert "ZeroDivisionError" in caplog.text and "Roentgen" not in caplog.text


@pytest.mark.parametrize(
    "claim",
    [
        {}, {"room": 40, "shape": [5, 2]}, {"room": 40, "shape": [50, 2], "facts": {}, "warnings": []},
        {"room": 40, "shape": [-1, -10], "facts": {}, "warnings": []}, {"room": 40, "shape": "no", "facts": []},
        {"room": 40, "shape": [5, 2], "facts": {"kind": "PNG"}, "warnings": []}, {"room": 10**12}, {"room": -1},
    ],
)  # fmt: skip
def test_an_answer_without_sense_is_a_refusal(claim, misbehaving, film):
    assert "can't be decoded" in said(misbehaving, b"claim " + json.dumps(claim).encode())
    assert misbehaving.read(film).pixels.shape == (32, 40)


def test_a_process_that_grew_and_one_that_read_many_films_is_replaced(misbehaving, film, monkeypatch):
    first = said(misbehaving, b"pid")
    assert said(misbehaving, b"pid") == first
    assert said(misbehaving, b"leak") == "It did leak."
    second = said(misbehaving, b"pid")
    assert second != first
    assert MOST_FILMS > 100
    monkeypatch.setattr("cxr.radiograph.isolated.MOST_FILMS", 2)
    assert said(misbehaving, b"pid") == second != said(misbehaving, b"pid")


def test_many_threads_take_turns(film):
    made = Decoder(LIMITS, 2, "misbehaving_decoder")
    try:
        with ThreadPoolExecutor(8) as pool:
            pids = list(pool.map(lambda _: said(made, b"pid"), range(40)))
            films = list(pool.map(lambda _: made.read(film).pixels, range(40)))
    finally:
        made.close()
    assert len(set(pids)) <= 2
    assert all((pixels == films[0]).all() for pixels in films)


def test_a_process_lives_on_when_the_thread_that_asked_first_has_ended(misbehaving):
    pids = []
    thread = threading.Thread(target=lambda: pids.append(said(misbehaving, b"pid")))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert said(misbehaving, b"pid") == pids[0]


def test_it_knows_no_setting_and_no_secret_and_has_no_file_of_the_app(misbehaving, changed_settings, tmp_path):
    changed_settings.setenv("CXR_DATABASE_URL", "postgresql://cxr:secret@db/cxr")
    with (tmp_path / "open").open("wb") as file:
        os.set_inheritable(file.fileno(), True)
        made = Decoder(LIMITS, 1, "misbehaving_decoder")
        names = json.loads(said(made, b"environment"))
        assert not [name for name in names if name.startswith("CXR") or name in ("HOME", "PATH")]
        modules = json.loads(said(made, b"modules"))
        assert modules == ["cxr.radiograph.read"]
        # Nothing, nothing, nothing; the app; and the film.
        assert len(json.loads(said(made, b"descriptors"))) <= 6
        made.close()


@LINUX
def test_what_holds_is_said(misbehaving):
    expected = {"memory", "parent", "calls"} if platform.machine() in FORBIDDEN else {"memory", "parent"}
    assert expected <= set(misbehaving.held())


@LINUX
def test_it_can_touch_no_file_of_anybody(misbehaving, tmp_path):
    if "files" not in misbehaving.held():
        pytest.skip("this kernel has no Landlock")
    (tmp_path / "secret").write_text("secret")
    for act in (f"open {tmp_path / 'secret'}", f"open {ROOT / 'README.md'}", f"write {tmp_path / 'new'}"):
        assert json.loads(said(misbehaving, act.encode())) == "Permission denied"
    assert not (tmp_path / "new").exists()


@LINUX
def test_it_can_neither_shorten_a_file_of_anybody_nor_open_it_up(misbehaving, tmp_path):
    if "calls" not in misbehaving.held():
        pytest.skip("this kernel has no seccomp, or this machine is not known")
    (tmp_path / "film").write_text("film")
    (tmp_path / "film").chmod(0o600)
    for act in ("shorten", "open-up"):
        assert json.loads(said(misbehaving, f"{act} {tmp_path / 'film'}".encode())) == "Operation not permitted"
    assert (tmp_path / "film").read_text() == "film"
    assert (tmp_path / "film").stat().st_mode & 0o777 == 0o600


@LINUX
@pytest.mark.parametrize("act", [b"socket", b"fork", b"execute", b"kill"])
def test_it_can_reach_nobody(act, misbehaving):
    if "calls" not in misbehaving.held():
        pytest.skip("this kernel has no seccomp, or this machine is not known")
    assert json.loads(said(misbehaving, act)) in ("Operation not permitted", "Permission denied")


def test_a_decoder_that_is_closed_or_can_not_start_blames_no_film(misbehaving, film):
    misbehaving.close()
    with pytest.raises(DecoderUnavailable, match="the program ends"):
        misbehaving.read(film)
    broken = Decoder(LIMITS, 1, "no_such_module")
    with pytest.raises(DecoderUnavailable, match="the log has its words"):
        broken.read(film)
    broken.close()


def test_other_settings_have_another_decoder(changed_settings):
    first = decoder()
    assert decoder() is first
    changed_settings.setenv("CXR_DECODE_SECONDS", "7")
    settings.cache_clear()
    assert decoder() is not first and decoder().limits.seconds == 7


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@LINUX
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_its_processes_end_with_the_program_and_leave_no_zombie(how):
    program = """
        import sys, threading, time
        from cxr.radiograph.isolated import decoder
        threading.Thread(target=lambda: decoder().held()).start()
        decoder().held()
        print(decoder().pids()[0], flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        child = int(started.stdout.readline())
        assert _alive(child)
        if how is None:
            started.stdin.close()
        else:
            started.send_signal(how)
        started.wait(20)
    until = time.monotonic() + 10
    while _alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _alive(child)


def test_what_a_system_can_not_hold_is_said_once(caplog, monkeypatch, film):
    monkeypatch.setattr("cxr.radiograph.decoding_process.DecodingProcess.wait_until_ready", lambda self: None)
    made = Decoder(LIMITS, 1)
    with caplog.at_level("WARNING"):
        made.held()
        made.held()
    made.close()
    assert caplog.text.count("does not keep the processes that decode films from taking any amount of memory") == 1
