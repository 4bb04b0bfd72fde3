"""The index of a shard as it is kept from one run to the next: built once, built anew when it must be, never half."""

import contextlib
import errno
import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pytest
from handmade_shards import film, flipped, frame

from cxr.dataset import index
from cxr.dataset.index import ShardIndex, fingerprint, index_shards, unindexed
from cxr.dataset.shards import skim
from cxr.settings import ROOT

SCAN: Final = index._scan


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder that is yet to be made."""
    return tmp_path / "cache" / "indexes"


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Three shards of one, two and three films."""
    paths = [tmp_path / f"00{k}-00{k}.tfrec" for k in (1, 2, 3)]
    for k, path in enumerate(paths, 1):
        path.write_bytes(b"".join(film(f"{k}{name}", "Mass") for name in "abc"[:k]))
    return paths


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the shards that are scanned, as they are."""
    names: list[str] = []

    def scan_and_tell(shard: Path) -> ShardIndex:
        names.append(shard.name)
        return SCAN(shard)

    monkeypatch.setattr(index, "_scan", scan_and_tell)
    return names


def facts(found: ShardIndex) -> tuple[Any, ...]:
    """An index as what can be compared."""
    assert (found.image_ids.dtype.kind, found.offsets.dtype, found.labels.dtype) == ("U", np.int64, np.uint8)
    arrays = (found.image_ids, found.offsets, found.labels)
    return found.path, *(array.tolist() for array in arrays), found.labels.shape, found.faults


def indexed(shards: list[Path], cache: Path) -> list[list[str]]:
    """The image ids of each shard."""
    return [found.image_ids.tolist() for found in index_shards(shards, cache)]


def keep_time(path: Path, content: bytes, later: int = 0) -> None:
    """Replace a file's content, its time of change being what it was plus some nanoseconds."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + later))


def test_a_shard_is_scanned_once(shards: list[Path], cache: Path, scanned: list[str]) -> None:
    first = index_shards(shards, cache)
    assert sorted(scanned) == [shard.name for shard in shards]
    again = index_shards(shards, cache)
    assert len(scanned) == 3
    assert list(map(facts, again)) == list(map(facts, first)) == [facts(SCAN(shard)) for shard in shards]


def test_faults_are_kept_too(shards: list[Path], cache: Path, scanned: list[str]) -> None:
    shards[0].write_bytes(film("a") + frame(b"no film") + b"no frame")
    shards[1].write_bytes(b"")
    before = index_shards(shards[:2], cache)
    assert [len(found.faults) for found in before] == [2, 1]
    assert [facts(found) for found in index_shards(shards[:2], cache)] == list(map(facts, before))
    assert len(scanned) == 2


def test_a_shard_that_changed_in_size_is_scanned_anew(shards: list[Path], cache: Path) -> None:
    index_shards(shards, cache)
    keep_time(shards[1], film("longer than before") + film("2b"))
    assert indexed(shards, cache) == [["1a"], ["longer than before", "2b"], ["3a", "3b", "3c"]]


@pytest.mark.parametrize("later", [1, -1])
def test_a_shard_that_changed_in_time_is_scanned_anew(shards: list[Path], cache: Path, later: int) -> None:
    index_shards(shards, cache)
    keep_time(shards[0], film("1x", "Mass"), later)
    assert indexed(shards, cache)[0] == ["1x"]


def test_only_the_shard_that_changed_is_scanned_anew(shards: list[Path], cache: Path, scanned: list[str]) -> None:
    index_shards(shards[:2], cache)
    keep_time(shards[1], film("2x"))
    scanned.clear()
    index_shards(shards, cache)
    assert sorted(scanned) == [shards[1].name, shards[2].name]


def test_shards_of_one_name_in_two_folders_are_told_apart(tmp_path: Path, cache: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "s.tfrec").write_bytes(film(folder))
        os.utime(tmp_path / folder / "s.tfrec", ns=(0, 0))
    assert indexed([tmp_path / "one" / "s.tfrec", tmp_path / "two" / "s.tfrec"], cache) == [["one"], ["two"]]


def test_a_fingerprint_is_that_of_path_size_and_time(
    shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {fingerprint(shards), fingerprint(shards[:2]), fingerprint(shards[:1]), fingerprint(shards[1:2])}
    assert len(seen) == 4
    monkeypatch.chdir(tmp_path)
    assert fingerprint([Path(shard.name) for shard in shards]) == fingerprint(shards)
    before = fingerprint(shards)
    keep_time(shards[2], shards[2].read_bytes())
    assert fingerprint(shards) == before
    keep_time(shards[2], shards[2].read_bytes(), later=1)
    assert fingerprint(shards) != before
    for shard in shards:
        shard.unlink()
    assert len({before, *(fingerprint([shard]) for shard in shards)}) == 4


def test_what_an_older_version_kept_is_not_read(
    shards: list[Path], cache: Path, scanned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    index_shards(shards[:1], cache)
    monkeypatch.setattr(index, "VERSION", index.VERSION + 1)
    index_shards(shards[:1], cache)
    assert scanned == [shards[0].name] * 2


def test_what_is_not_kept_yet_can_be_asked(shards: list[Path], cache: Path) -> None:
    assert unindexed(shards, cache) == shards
    index_shards(shards[:2], cache)
    assert unindexed(shards, cache) == shards[2:]
    keep_time(shards[0], b"other")
    assert unindexed(shards, cache) == [shards[0], shards[2]]


def test_no_shards_have_no_index(cache: Path) -> None:
    assert index_shards([], cache) == []


# Progress


def test_progress_counts_up_to_the_number_of_shards_where_it_was_asked_for(shards: list[Path], cache: Path) -> None:
    calls: list[tuple[int, int, int]] = []

    def progress(done: int, of: int) -> None:
        calls.append((done, of, threading.get_ident()))

    for _ in ("built", "kept"):
        index_shards(shards, cache, progress)
        # Streamlit's elements may be written to by the session's own thread only.
        assert calls == [(done, 3, threading.get_ident()) for done in (1, 2, 3)]
        calls.clear()


def test_indexes_come_in_the_order_of_the_shards(
    shards: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_first(shard: Path) -> ShardIndex:
        time.sleep(0.05 if shard == shards[0] else 0)
        return SCAN(shard)

    monkeypatch.setattr(index, "_scan", slow_first)
    assert [found.path for found in index_shards(shards, cache)] == shards


# Interruptions


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_build_that_is_interrupted_while_it_is_written_is_not_believed(
    shards: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    write = np.savez_compressed

    def write_half(file: io.BufferedWriter, **arrays: np.ndarray) -> None:
        whole = io.BytesIO()
        write(whole, **arrays)
        file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
        # Only within one file system a file takes another's place all at once.
        assert Path(file.name).parent == cache
        raise error

    with monkeypatch.context() as patch, contextlib.suppress(type(error)):
        patch.setattr(np, "savez_compressed", write_half)
        index_shards(shards[1:2], cache)
    assert not list(cache.iterdir())
    assert unindexed(shards[1:2], cache) == shards[1:2]
    assert indexed(shards[1:2], cache) == [["2a", "2b"]]


def test_a_build_that_is_interrupted_while_it_scans_keeps_nothing(
    shards: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(shard: Path) -> ShardIndex:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(index, "_scan", interrupted)
        index_shards(shards[:1], cache)
    assert not list(cache.iterdir())
    assert indexed(shards[:1], cache) == [["1a"]]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda kept: b"", id="empty"),
        pytest.param(lambda kept: kept[: len(kept) // 2], id="half"),
        pytest.param(lambda kept: kept[:-1], id="all but the last byte"),
        pytest.param(lambda kept: kept[:200] + b"\xff" * 20 + kept[220:], id="damaged inside"),
        pytest.param(lambda kept: b"no archive at all", id="another file"),
    ],
)
def test_a_kept_index_that_is_damaged_is_built_anew(
    shards: list[Path], cache: Path, scanned: list[str], damage: Callable[[bytes], bytes]
) -> None:
    index_shards(shards[:1], cache)
    (kept,) = cache.iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    assert indexed(shards[:1], cache) == [["1a"]]
    assert indexed(shards[:1], cache) == [["1a"]]
    # The second time from what was built anew.
    assert len(scanned) == 2


def test_whatever_bits_flip_in_a_kept_index_no_false_one_is_believed(shards: list[Path], cache: Path) -> None:
    shards[1].write_bytes(film("a", "Mass") + film("b") + b"damage")
    sound = facts(index_shards(shards[1:2], cache)[0])
    (kept,) = cache.iterdir()
    content, rng = kept.read_bytes(), np.random.default_rng(0)
    for one, two in rng.integers(8 * len(content), size=(150, 2)).tolist():
        for damaged in (flipped(content, one), flipped(flipped(content, one), two)):
            kept.write_bytes(damaged)
            assert facts(index_shards(shards[1:2], cache)[0]) == sound


@pytest.mark.parametrize("damaged", ["image_ids", "offsets", "labels", "faults"])
@pytest.mark.parametrize("content", [pytest.param(None, id="missing"), pytest.param(b"", id="empty")])
def test_a_kept_index_of_which_something_is_no_array_is_built_anew(
    shards: list[Path], cache: Path, scanned: list[str], damaged: str, content: bytes | None
) -> None:
    index_shards(shards[:1], cache)
    (kept,) = cache.iterdir()
    with zipfile.ZipFile(kept) as before:
        entries: dict[str, bytes | None] = {name: before.read(name) for name in before.namelist()}
    with zipfile.ZipFile(kept, "w") as after:
        for name, entry in {**entries, f"{damaged}.npy": content}.items():
            if entry is not None:
                after.writestr(name, entry)
    index_shards(shards[:1], cache)
    assert len(scanned) == 2


def test_what_runs_code_where_it_is_unpickled_is_not_read_from_a_kept_index(
    shards: list[Path], cache: Path, scanned: list[str]
) -> None:
    index_shards(shards[:1], cache)
    (kept,) = cache.iterdir()
    pickled = np.array([Path()], object)
    np.savez(kept, image_ids=pickled, offsets=pickled, labels=pickled, faults=pickled)
    assert indexed(shards[:1], cache) == [["1a"]]
    assert len(scanned) == 2


# Shards that can't be indexed


def test_a_shard_that_is_gone_is_a_fault_like_others(shards: list[Path], cache: Path) -> None:
    shards[1].unlink()
    # As git-annex has them where the content was not fetched.
    shards[2].unlink()
    shards[2].symlink_to("nowhere")
    found = index_shards(shards, cache)
    assert [one.image_ids.tolist() for one in found] == [["1a"], [], []]
    assert [one.faults for one in found[1:]] == [(f"{shard.name}: No such file or directory.",) for shard in shards[1:]]
    assert unindexed(shards, cache) == shards[1:]
    assert len(list(cache.iterdir())) == 1
    shards[1].write_bytes(film("back"))
    assert indexed(shards, cache) == [["1a"], ["back"], []]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_a_shard_that_could_not_be_opened_is_tried_again(
    shards: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    # Neither `chmod` nor a network drive that is back changes the size or the time.
    opened = Path.open

    def refused(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path == shards[0]:
            raise OSError(code, os.strerror(code))
        return opened(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        (found,) = index_shards(shards[:1], cache)
        assert found.faults == (f"{shards[0].name}: {os.strerror(code)}.",)
    assert not list(cache.iterdir())
    assert indexed(shards[:1], cache) == [["1a"]]


def test_a_shard_that_could_not_be_read_to_its_end_is_tried_again(
    shards: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second_fails(file: BinaryIO, length: int) -> bytes:
        if file.tell() > 12:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return skim(file, length)

    with monkeypatch.context() as patch:
        patch.setattr(index, "skim", second_fails)
        found = index_shards(shards[1:], cache)
        assert [one.faults for one in found] == [(f"{shard.name}: Input/output error.",) for shard in shards[1:]]
    assert not list(cache.iterdir())
    assert indexed(shards[1:], cache) == [["2a", "2b"], ["3a", "3b", "3c"]]


# Two at once


def test_two_threads_may_build_at_once(shards: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both, write = threading.Barrier(2, timeout=20), np.savez_compressed

    def write_together(file: io.BufferedWriter, **arrays: np.ndarray) -> None:
        both.wait()
        write(file, **arrays)
        both.wait()

    monkeypatch.setattr(np, "savez_compressed", write_together)
    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(index_shards, shards[2:], cache) for _ in range(2)]
    for build in builds:
        assert [facts(found) for found in build.result()] == [facts(SCAN(shards[2]))]
    assert [kept.suffix for kept in cache.iterdir()] == [".npz"]


BUILDER = """
import sys, time
from pathlib import Path
from cxr.dataset import index

cache, here, *shards = map(Path, sys.argv[1:])
scan = index._scan

def scan_together(shard):
    here.touch()
    while here.exists():
        time.sleep(0.01)
    return scan(shard)

index._scan = scan_together
print(*(image_id for found in index.index_shards(shards, cache) for image_id in found.image_ids))
"""


def test_two_processes_may_build_at_once(shards: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = cache.parent.parent / "here"
    builder = subprocess.Popen(
        [sys.executable, "-c", BUILDER, cache, here, shards[2]], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )

    def scan_together(shard: Path) -> ShardIndex:
        while not here.exists():
            assert builder.poll() is None
            time.sleep(0.01)
        # From here on the other process writes what this one is about to write.
        here.unlink()
        return SCAN(shard)

    monkeypatch.setattr(index, "_scan", scan_together)
    assert indexed(shards[2:], cache) == [["3a", "3b", "3c"]]
    assert builder.communicate(timeout=20)[0] == "3a 3b 3c\n"
    assert [kept.suffix for kept in cache.iterdir()] == [".npz"]
    monkeypatch.undo()
    assert facts(index_shards(shards[2:], cache)[0]) == facts(SCAN(shards[2]))
