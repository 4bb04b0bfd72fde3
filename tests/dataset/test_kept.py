"""What the cache keeps, and what a process that was killed leaves in it."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cxr.dataset import kept
from cxr.dataset.kept import clear_drafts, draft_of, kept_array

KILLED = """
import os, signal, sys
from pathlib import Path
from cxr.dataset.kept import kept_array
kept_array(Path(sys.argv[1]), (4, 8, 8), lambda array: os.kill(os.getpid(), signal.SIGKILL))
"""


def fill(array: np.ndarray) -> None:
    array[:] = 7


def test_the_draft_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    file = tmp_path / "films.npy"
    assert subprocess.run([sys.executable, "-c", KILLED, file], check=False).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".draft"
    assert (kept_array(file, (4, 8, 8), fill) == 7).all()
    assert list(tmp_path.iterdir()) == [file]


def test_room_is_kept_for_the_whole_array_where_the_system_has_no_call_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.setattr(kept, "ZEROS", 100)

    def look(array: np.ndarray) -> None:
        (draft,) = tmp_path.glob("*.draft")
        assert 512 * draft.stat().st_blocks >= draft.stat().st_size > array.nbytes
        assert not array.any()
        fill(array)

    found = kept_array(tmp_path / "films.npy", (4, 80, 80), look)
    assert found.shape == (4, 80, 80) and (found == 7).all()


def test_a_draft_that_is_being_written_stays(tmp_path: Path) -> None:
    def look(array: np.ndarray) -> None:
        clear_drafts(tmp_path)
        kept_array(tmp_path / "other.npy", (1,), fill)
        (draft,) = tmp_path.glob("films-*.draft")
        assert draft.stat().st_size > array.nbytes
        fill(array)

    assert (kept_array(tmp_path / "films.npy", (4, 8, 8), look) == 7).all()
    assert {file.name for file in tmp_path.iterdir()} == {"films.npy", "other.npy"}


def test_a_draft_that_was_cleared_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, seen = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        if not seen:
            seen.extend(tmp_path.iterdir())
            seen[0].unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with draft_of(tmp_path / "a.npz") as draft:
        draft.write_text("whole")
    assert (tmp_path / "a.npz").read_text() == "whole"
    assert draft != seen[0]


def test_what_fails_leaves_nothing_and_no_lock(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(KeyError), draft_of(tmp_path / "a.npz"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before
