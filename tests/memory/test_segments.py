"""Tests of segments: shared bytes that reach other processes and are never left behind."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tilecore.errors import ParameterError, SharedMemoryError
from tilecore.memory import segments
from tilecore.memory.segments import Segment, default_backend
from tilecore.testing.leaks import names_in_shm

BACKENDS = ["memfd", "shm", "mmap"]
METHODS = ["fork", "forkserver", "spawn"]


def write_answer(segment: Segment) -> None:
    segment.map()[:6] = b"answer"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", METHODS)
def test_other_processes_see_the_bytes(backend: str, method: str) -> None:
    segment = Segment(100, backend)
    process = multiprocessing.get_context(method).Process(target=write_answer, args=(segment,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert bytes(segment.map()[:6]) == b"answer"
    process.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_segment_pickles_at_any_time(backend: str) -> None:
    segment = Segment(50, backend)
    packed = pickle.dumps(segment)
    assert len(packed) < 500
    segment.map()[0:2] = b"ab"
    assert bytes(pickle.loads(packed).map("read")[0:2]) == b"ab"


@pytest.mark.parametrize("backend", BACKENDS)
def test_access_is_what_was_asked_for(backend: str) -> None:
    segment = Segment(10, backend)
    whole = segment.map()
    with pytest.raises(TypeError):
        segment.map("read")[0:1] = b"x"
    private = segment.map("private")
    private[0:1] = b"x"
    assert whole[0:1] == b"\0"
    whole[1:2] = b"y"
    assert segment.map("read")[1:2] == b"y"


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_has_a_name(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    segment = Segment(1000, backend)
    segment.map()
    assert not names_in_shm([os.getpid()])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_path_opens_the_same_bytes_and_goes_with_the_segment(backend: str) -> None:
    segment = Segment(16, backend)
    segment.map()[:4] = b"path"
    path = segment.path
    assert segment.path == path
    mapped = np.memmap(path, dtype="u1", mode="r")
    assert bytes(mapped[:4]) == b"path"
    if backend == "shm":
        assert path.startswith("/dev/shm/tilecore-")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    del segment
    assert not os.path.exists(path)


@pytest.fixture
def own_shm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder for names of shared memory that no other process reads."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        monkeypatch.setattr(segments, "_SHM_FOLDER", folder)
        yield Path(folder)


def test_names_of_killed_processes_are_removed(own_shm: Path) -> None:
    """The next call that makes a name removes those of killed processes, and no others."""
    code = (
        "import os; from tilecore.memory import segments; "
        f"segments._SHM_FOLDER = {str(own_shm)!r}; s = segments.Segment(10, 'shm'); "
        "print(s.path, flush=True); os.kill(os.getpid(), 9)"
    )
    orphan = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    assert os.path.exists(orphan)
    keep = own_shm / "tilecore-notours.shm"
    keep.touch()
    segment = Segment(10, "shm")
    assert os.path.exists(segment.path)
    assert not os.path.exists(orphan)
    assert keep.exists()


def test_a_forked_child_does_not_remove_its_parents_name() -> None:
    segment = Segment(10, "shm")
    path = segment.path
    pid = os.fork()
    if pid == 0:
        del segment
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.path.exists(path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bytes_live_as_long_as_a_mapping(backend: str) -> None:
    segment = Segment(10, backend)
    mapping = segment.map()
    mapping[:3] = b"abc"
    segment.close()
    assert bytes(mapping[:3]) == b"abc"
    with pytest.raises(ValueError, match="closed"):
        segment.fileno()


def test_attaching_to_what_is_gone_says_so() -> None:
    segment = Segment(10)
    packed = pickle.dumps(segment)
    segment.close()
    with pytest.raises(SharedMemoryError, match=r"gone|closed"):
        pickle.loads(packed)


def test_attaching_to_another_file_of_the_same_number_says_so(tmp_path: Path) -> None:
    segment = Segment(10)
    packed, number = pickle.dumps(segment), segment.fileno()
    segment.close()
    with (tmp_path / "other").open("w") as other:
        assert other.fileno() == number
        with pytest.raises(SharedMemoryError, match="closed it"):
            pickle.loads(packed)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [0, 1])
def test_tiny_segments(backend: str, size: int) -> None:
    segment = Segment(size, backend)
    assert len(segment.map()) == 1
    assert segment.fill([b"z"[:size]]) == size


def test_fill_lays_buffers_one_behind_the_other() -> None:
    segment = Segment(40, reserve=False)
    end = segment.fill([b"abc", np.arange(2, dtype="u1"), np.zeros((2, 2))], 4)
    assert end == 4 + 3 + 2 + 32
    assert bytes(segment.map()[4:9]) == b"abc\0\1"


def test_unknown_backends_are_refused() -> None:
    with pytest.raises(ParameterError, match="backend='paper'.*memfd, shm, mmap"):
        Segment(10, "paper")


def test_more_than_the_memory_is_refused_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "available_memory", lambda: 2**25)
    with pytest.raises(SharedMemoryError, match=r"64\.0 MiB .* needed .* 32\.0 MiB are free"):
        Segment(2**26)


def test_too_many_open_files_is_a_clear_error() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 3, hard))
    try:
        with pytest.raises(SharedMemoryError, match="too many files are open"):
            _ = [Segment(10) for _ in range(20)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_memfd_the_default_is_mmap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert default_backend() == "mmap"


def test_without_fallocate_the_bytes_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    segment = Segment(3_000_000, "mmap")
    assert os.fstat(segment.fileno()).st_size == 3_000_000
    assert os.fstat(segment.fileno()).st_blocks * 512 >= 3_000_000


def test_where_descriptors_cannot_be_passed_the_file_keeps_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(segments.os, "name", "nt")
    segment = Segment(10, "mmap")
    segment.map()[:2] = b"nt"
    assert [str(path) for path in tmp_path.iterdir()] == [segment.path]
    assert bytes(pickle.loads(pickle.dumps(segment)).map()[:2]) == b"nt"
    del segment
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


def test_a_small_dev_shm_is_an_error_and_no_crash() -> None:
    """With a /dev/shm of 1 MiB there is a clear error, no SIGBUS later, and memfd is not limited."""
    code = """
from tilecore.memory.segments import Segment
from tilecore.errors import SharedMemoryError
from tilecore import SharedMemory
import numpy as np
try:
    Segment(8 << 20, "shm")
except SharedMemoryError as error:
    assert "/dev/shm has" in str(error) and "memfd" in str(error), error
else:
    raise SystemExit("no error")
memory = SharedMemory((1024, 1024), np.float64)
with memory.txn() as array:
    array[...] = 1
print("ok", memory.shared().segment.backend)
"""
    command = f"mount -t tmpfs -o size=1m none /dev/shm && exec {sys.executable} -c '{code}'"
    result = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True)
    if "unshare" in result.stderr or "mount:" in result.stderr:
        pytest.skip(f"mounting is not allowed here: {result.stderr.strip()}")
    assert result.stdout.split() == ["ok", "memfd"], result.stderr


def test_a_module_of_a_script_may_keep_shared_memory_to_the_end() -> None:
    code = (
        "import sys, types, tilecore; module = types.ModuleType('late'); sys.modules['late'] = module\n"
        "module.memory = tilecore.SharedMemory((3,), 'u1'); module.array = tilecore.SharedArray((3,), 'u1')\n"
        "with module.memory.txn() as view: view[0] = 1\n"
        "print('done')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("done\n", "")
