"""What other packages bring: found by name when it is asked for, and named when it is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import one_line_of, run
from tilecore import (
    MissingDependencyError,
    ParameterError,
    ParameterTypeError,
    create_sink,
    detect_blobs,
    map_tiles,
    open_source,
)
from tilecore.executors.base import create_executor

KINDS = """
import numpy as np
from tilecore.formats.image_info import ImageInfo
from tilecore.formats.mapped_sink import MappedSink
from tilecore.formats.reader import MappedReader

HEADER = 128

def open_plain(path, *, order="C"):
    with open(path, "rb") as file:
        dtype, *shape = file.read(HEADER).split()
    info = ImageInfo("plain", tuple(map(int, shape)), np.dtype(dtype.decode()), "ZYX")
    return MappedReader(path, info, HEADER, order)

class FolderReader:
    mapped = None
    def __init__(self, path):
        self._array = np.load(path + "/voxels.npy")
        self.info = ImageInfo("folder", self._array.shape, self._array.dtype, "ZYX")
    def read(self, box):
        return self._array[box.slices]
    def verify(self):
        pass

class PlainSink(MappedSink):
    kind = "plain"
    def _make(self, dtype):
        with open(self.place.data, "wb") as file:
            file.write(" ".join([dtype.str, *map(str, self.shape)]).encode().ljust(HEADER))
            file.truncate(HEADER + dtype.itemsize * int(np.prod(self.shape)))
        return self._reopened(str(self.place.data))
    def _reopened(self, path):
        mapped = open_plain(path).mapped
        return np.memmap(path, mapped.dtype, "r+", HEADER, mapped.shape)
"""

EXECUTORS = """
from tilecore.executors.threads import ThreadExecutor

class Two(ThreadExecutor):
    made = []
    def __init__(self, *, workers=None):
        super().__init__(workers=workers)
        self.made.append(self.workers)
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of one module, as pip does: with metadata beside it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(package: str, code: str, **groups: str) -> None:
        (site / f"{package}_module.py").write_text(code)
        metadata = site / f"{package}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"[tilecore.{group}]\n{entries}\n" for group, entries in groups.items()]
        (metadata / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.delitem(sys.modules, f"{package}_module", raising=False)

    return install


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 999, (6, 7, 8)).astype("u2")


def test_a_suffix_is_read_and_written_by_another_package(install: Install, tmp_path: Path, volume: np.ndarray) -> None:
    install("plain", KINDS, readers="plain = plain_module:open_plain", sinks="plain = plain_module:PlainSink")
    with create_sink(tmp_path / "v.PLAIN", volume.shape, "u2") as sink:
        sink[...] = volume
    np.testing.assert_array_equal(open_source(tmp_path / "v.PLAIN")[...], volume)
    workers = {"tile_shape": 4, "workers": 2}
    result = map_tiles(lambda block: block + 1, volume, out=tmp_path / "w.plain", start_method="forkserver", **workers)
    np.testing.assert_array_equal(result, volume + 1)
    assert sorted(os.listdir(tmp_path)) == ["site", "v.PLAIN", "w.plain"]


def test_the_command_line_reads_and_writes_it_too(install: Install, tmp_path: Path, volume: np.ndarray) -> None:
    install("plain", KINDS, readers="plain = plain_module:open_plain", sinks="plain = plain_module:PlainSink")
    np.save(tmp_path / "v.npy", volume)
    assert run("convert", tmp_path / "v.npy", tmp_path / "v.plain", "-q", "--executor", "serial") == 0
    np.testing.assert_array_equal(open_source(tmp_path / "v.plain")[...], volume)


def test_files_of_another_package_may_be_folders(install: Install, tmp_path: Path, volume: np.ndarray) -> None:
    (tmp_path / "v.scan").mkdir()
    np.save(tmp_path / "v.scan" / "voxels.npy", volume)
    with pytest.raises(FileNotFoundError, match="no TIFF file"):
        open_source(tmp_path / "v.scan")
    install("scan", KINDS, readers="scan = scan_module:FolderReader")
    np.testing.assert_array_equal(open_source(tmp_path / "v.scan")[...], volume)


def test_a_reader_gets_the_options_that_it_takes(install: Install, tmp_path: Path, volume: np.ndarray) -> None:
    install("plain", KINDS, readers="plain = plain_module:open_plain", sinks="plain = plain_module:PlainSink")
    with create_sink(tmp_path / "v.plain", volume.shape, "u2") as sink:
        sink[...] = volume
    turned = open_source(tmp_path / "v.plain", order="F")
    np.testing.assert_array_equal(turned, volume.reshape(-1).reshape(volume.shape, order="F"))
    with pytest.raises(ParameterError, match="level: plain files .* have no such option"):
        open_source(tmp_path / "v.plain", level=1)


def test_messages_list_what_is_installed(install: Install, tmp_path: Path) -> None:
    install("plain", KINDS, readers="plain = plain_module:open_plain", sinks="plain = plain_module:PlainSink")
    install("two", EXECUTORS, executors="two = two_module:Two")
    (tmp_path / "v.other").write_text("?")
    with pytest.raises(ParameterError, match=r"known ones are \.npy, .*\.plain"):
        open_source(tmp_path / "v.other")
    with pytest.raises(ParameterError, match=r"with the suffixes \.npy, .*\.plain"):
        create_sink(tmp_path / "v.other", (2, 3), "u1")
    with pytest.raises(ParameterError, match="executor='magic': one of serial, threads, processes, dask, two"):
        create_executor("magic")


def test_an_executor_of_another_package(
    install: Install, tmp_path: Path, volume: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    install("two", EXECUTORS, executors="two = two_module:Two")
    np.testing.assert_array_equal(map_tiles(np.sqrt, volume, tile_shape=4, executor="two", workers=3), np.sqrt(volume))
    np.save(tmp_path / "v.npy", volume)
    command = ["map", tmp_path / "v.npy", "-o", tmp_path / "w.npy", "--function", "numpy:sqrt", "-q"]
    assert run(*command, "--executor", "two", "-j", 2) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy"), np.sqrt(volume))
    assert sys.modules["two_module"].Two.made == [3, 2]
    capsys.readouterr()
    one_line_of(capsys, run(*command, "--overwrite", "--executor", "magic"), "--executor 'magic'", "serial", "two")
    with pytest.raises(ParameterError, match="timeout=3: executor='two' has no such option"):
        create_executor("two", timeout=3, threads_per_worker=1, start_method=None)


BROKEN = "import module_that_nobody_has"


def test_a_package_that_cannot_be_imported_is_named_when_it_is_asked_for(
    install: Install, tmp_path: Path, volume: np.ndarray
) -> None:
    install(
        "broken",
        BROKEN,
        readers="bad = broken_module:read",
        sinks="bad = broken_module:Sink",
        executors="bad = broken_module:Executor",
        detectors="bad = broken_module:detect",
    )
    (tmp_path / "v.bad").write_text("?")
    np.save(tmp_path / "v.npy", volume)
    uses = [
        lambda: open_source(tmp_path / "v.bad"),
        lambda: create_sink(tmp_path / "w.bad", (2, 3), "u1"),
        lambda: map_tiles(np.sqrt, volume, executor="bad"),
        lambda: detect_blobs(volume, detector="bad", executor="serial"),
    ]
    for use, group in zip(uses, ("readers", "sinks", "executors", "detectors"), strict=True):
        with pytest.raises(MissingDependencyError) as error:
            use()
        for word in (f"tilecore.{group}", "'bad'", "the package broken", "module_that_nobody_has"):
            assert word in str(error.value)
    # Whoever does not ask for it does not meet it.
    np.testing.assert_array_equal(open_source(tmp_path / "v.npy")[...], volume)
    np.testing.assert_array_equal(map_tiles(np.sqrt, volume, executor="serial"), np.sqrt(volume))


def test_names_of_tilecore_stay_tilecores(install: Install, tmp_path: Path, volume: np.ndarray) -> None:
    install(
        "greedy",
        BROKEN,
        readers="npy = greedy_module:read",
        sinks="npy = greedy_module:Sink",
        executors="serial = greedy_module:Executor",
        detectors="log = greedy_module:detect",
    )
    with create_sink(tmp_path / "v.npy", volume.shape, "u2") as sink:
        sink[...] = volume
    np.testing.assert_array_equal(open_source(tmp_path / "v.npy")[...], volume)
    detect_blobs(volume, detector="log", max_sigma=2, executor="serial")
    with pytest.raises(ParameterError, match="one of serial, threads, processes, dask$"):
        create_executor("magic")


def test_two_packages_that_bring_one_name_are_refused(install: Install, volume: np.ndarray) -> None:
    install("one", EXECUTORS, executors="same = one_module:Two")
    install("other", EXECUTORS, executors="same = other_module:Two")
    with pytest.raises(ParameterError, match="(one and the package other|other and the package one) both bring 'same'"):
        create_executor("same")


def test_what_is_no_part_of_its_kind_is_refused(install: Install, tmp_path: Path) -> None:
    install("wrong", "make = dict\n", executors="wrong = wrong_module:make", sinks="wrong = wrong_module:make")
    with pytest.raises(ParameterTypeError, match="executor='wrong'.*lacks workers, reach, start"):
        create_executor("wrong")
    with pytest.raises(ParameterTypeError, match="derived from FileSink"):
        create_sink(tmp_path / "v.wrong", (2, 3), "u1")


def test_importing_tilecore_loads_no_package_that_adds_to_it(install: Install, tmp_path: Path) -> None:
    install("broken", BROKEN, readers="bad = broken_module:read", executors="bad = broken_module:Executor")
    code = "import tilecore, sys; tilecore.map_tiles; assert 'broken_module' not in sys.modules"
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, sys.path)])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
