"""Tests of bad input: it is told early, the recording stays as it was, and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recordings.files import content, made, processor, write
from tilecore.compat.yass import BatchPipeline, BatchProcessor, RecordingsReader
from tilecore.errors import DiskSpaceError, MissingFileError, UnwritableFileError

DATA = made()
GIVEN: dict[str, Any] = {"dtype": "int16", "n_channels": 4, "data_order": "samples"}


def never(block: Any, **_: Any) -> Any:
    raise AssertionError("the function is called")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write(tmp_path / "raw.bin", DATA)


@pytest.mark.parametrize("make", [RecordingsReader, BatchProcessor])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_channels": 3}, "800 bytes, which is no whole number of observations"),
        ({"n_channels": 0}, "n_channels=0"),
        ({"dtype": "S3"}, "dtype"),
        ({"dtype": "int17"}, "dtype"),
        ({"data_order": "C"}, "'channels' or 'samples'"),
        ({"loader": "hdf5"}, "loader='hdf5'"),
        ({"buffer_size": -1}, "buffer_size=-1"),
        ({"dtype": None}, "dtype: not given, and there is no file"),
        ({"n_channels": None}, "n_channels: not given"),
        ({"data_order": None}, "data_order: not given"),
        ({"dtype": None, "n_channels": None, "data_order": None}, "dtype, n_channels, data_order: not given"),
        ({"data_order": "channels", "data_format": "long"}, "contradicts"),
        ({"data_format": "tall"}, "'wide' or 'long'"),
    ],
)
@pytest.mark.filterwarnings("ignore:data_format")
def test_parameters_are_checked_at_construction(raw: Path, make: Any, changed: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(raw, **{**GIVEN, **changed})


@pytest.mark.parametrize("make", [RecordingsReader, BatchProcessor, BatchPipeline])
@pytest.mark.parametrize(
    ("name", "value"), [("dtype", "uint16"), ("dtype", ">i2"), ("n_channels", 5), ("data_order", "channels")]
)
@pytest.mark.parametrize("others", [True, False])
def test_what_contradicts_the_yaml_is_refused(raw: Path, make: Any, name: str, value: Any, others: bool) -> None:
    raw.with_suffix(".yaml").write_text("{dtype: int16, n_channels: 4, data_order: samples}")
    with pytest.raises(ValueError, match=f"{name}=.*raw.yaml says"):
        make(raw, **{**(GIVEN if others else {}), name: value})


@pytest.mark.parametrize(
    "text", ["", "- 1", "{dtype: int16, n_channels: 4}", "{dtype: [}", "dtype: &a [*a]\nn_channels: 1"]
)
def test_a_yaml_that_says_too_little_is_refused(raw: Path, text: str) -> None:
    raw.with_suffix(".yaml").write_text(text)
    with pytest.raises(ValueError, match="raw.yaml|dtype"):
        RecordingsReader(raw)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        RecordingsReader(tmp_path / "none.bin", **GIVEN)
    with pytest.raises(MissingFileError):
        BatchProcessor(tmp_path, **GIVEN)


@pytest.mark.parametrize(
    ("selected", "message"),
    [
        ({"channels": 4}, "the recording has 4"),
        ({"channels": [0, -5]}, "the recording has 4"),
        ({"channels": []}, "selects none"),
        ({"channels": slice(4, 9)}, "selects none"),
        ({"channels": "some"}, "'all'"),
        ({"from_time": 50, "to_time": 50}, "from_time=50"),
        ({"from_time": 60, "to_time": 50}, "from_time=60"),
        ({"from_time": 100}, "from_time=100"),
        ({"from_time": -1}, "from_time=-1"),
        ({"to_time": 101}, "to_time=101: the recording has 100"),
    ],
)
def test_what_is_not_in_the_recording_cannot_be_selected(raw: Path, selected: Any, message: str) -> None:
    bp = BatchProcessor(raw, **GIVEN, show_progress_bar=False)
    before, output = content(raw.parent), raw.parent / "out.bin"
    for deed in (
        lambda: list(bp.multi_channel(**selected)),
        lambda: list(bp.single_channel(**selected)),
        lambda: bp.multi_channel_apply(never, "memory", **selected),
        lambda: bp.single_channel_apply(never, "disk", output, **selected),
        lambda: bp.multi_channel_apply(never, "disk", output_path=output, processes=2, **selected),
    ):
        with pytest.raises(ValueError, match=message):
            deed()
    assert content(raw.parent) == before


def test_too_little_memory(raw: Path) -> None:
    with pytest.raises(ValueError, match="max_memory"):
        BatchProcessor(raw, **GIVEN, max_memory=1)
    bp = BatchProcessor(raw, **GIVEN, max_memory=7)
    with pytest.raises(ValueError, match="one observation of 4 channels takes 8 bytes"):
        bp.multi_channel()
    assert sum(len(block) for block, _, _ in bp.multi_channel(channels=[0, 1, 2])) == 100
    for buffer, fits in [(5, True), (7, False), (1000, False)]:
        bp = BatchProcessor(raw, **GIVEN, max_memory=8 * 20, buffer_size=buffer)
        if fits:
            bp.multi_channel()
            continue
        for deed in (bp.multi_channel, lambda bp=bp: bp.multi_channel_apply(never, "memory")):
            with pytest.raises(ValueError, match=f"buffer_size={buffer}: longer than a batch"):
                deed()


@pytest.mark.parametrize("options", [{"mode": "tape"}, {"mode": "disk"}, {"mode": "disk", "if_file_exists": "perhaps"}])
def test_modes_are_checked_first(raw: Path, options: Any) -> None:
    bp = BatchProcessor(raw, **GIVEN)
    if "if_file_exists" in options:
        options = {**options, "output_path": raw.parent / "out.bin"}
    for apply in (bp.multi_channel_apply, bp.single_channel_apply):
        with pytest.raises(ValueError, match="mode|output_path|if_file_exists"):
            apply(never, **options)
    assert os.listdir(raw.parent) == ["raw.bin"]


@pytest.mark.parametrize("processes", [0, -2, "many", 1.5])
def test_processes_are_a_number(raw: Path, processes: Any) -> None:
    bp = BatchProcessor(raw, **GIVEN)
    with pytest.raises((ValueError, TypeError), match="processes"):
        bp.multi_channel_apply(never, "memory", processes=processes)


@pytest.mark.parametrize("name", ["raw.bin", "link.bin", "raw.dat", "raw.yaml", "none/out.bin", "folder"])
def test_outputs_that_cannot_be_are_refused_before_the_work(raw: Path, name: str) -> None:
    """The recording itself, by any name; what would need its .yaml file; a folder, and what is in none."""
    folder = raw.parent
    raw.with_suffix(".yaml").write_text("{dtype: int16, n_channels: 4, data_order: samples}")
    (folder / "folder").mkdir()
    (folder / "link.bin").symlink_to(raw)
    before = content(folder)
    bp = BatchProcessor(raw, show_progress_bar=False)
    for apply in (bp.multi_channel_apply, bp.single_channel_apply):
        with pytest.raises(ValueError, match="output_path"):
            apply(never, "disk", output_path=folder / name)
    assert content(folder) == before
    assert sorted(os.listdir(folder)) == ["folder", "link.bin", "raw.bin", "raw.yaml"]


UNWRITABLE = """
import os, sys
folder = sys.argv[1]
from tilecore.compat.yass import BatchProcessor
os.setgid(65534)
os.setuid(65534)
bp = BatchProcessor(folder + "/raw.bin", "int16", 4, "samples", show_progress_bar=False)
try:
    bp.multi_channel_apply(print, "disk", output_path=folder + "/out.bin")
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody with fewer rights")
def test_a_folder_that_cannot_be_written_into_is_refused_before_the_work() -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        write(folder / "raw.bin", DATA)
        folder.chmod(0o755)
        done = subprocess.run([sys.executable, "-c", UNWRITABLE, folder], capture_output=True, text=True)
        assert done.stdout.split() == [UnwritableFileError.__name__], done.stderr
        assert os.listdir(folder) == ["raw.bin"]
    finally:
        shutil.rmtree(folder)


def test_an_output_that_the_disk_has_no_room_for_is_refused_when_its_size_is_known(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bp = BatchProcessor(raw, **GIVEN, max_memory=160, show_progress_bar=False)
    free, calls = 799, []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6 - free, free))

    def same(block: Any) -> Any:
        calls.append(1)
        return block

    output = raw.parent / "out.bin"
    with pytest.raises(DiskSpaceError, match="the output takes 800 B, and the disk has 799 B"):
        bp.multi_channel_apply(same, "disk", output_path=output)
    assert len(calls) == 1
    assert os.listdir(raw.parent) == ["raw.bin"]
    free = 800
    bp.multi_channel_apply(same, "disk", output_path=output)
    assert output.stat().st_size == 800


FULL = """
import os, sys
import numpy as np
from tilecore.compat.yass import BatchProcessor
place, raw, processes = sys.argv[1], sys.argv[2], int(sys.argv[3])
open(place + "/out.bin", "wb").write(b"old")
bp = BatchProcessor(raw, "int16", 4, "samples", max_memory="64KB", show_progress_bar=False)
ways = {
    "large": lambda block: block,
    "appended": lambda block: np.concatenate([block, block]),
}
for name, function in ways.items():
    for apply, options in ((bp.multi_channel_apply, {}),
                           (bp.single_channel_apply, {"force_complete_channel_batch": False})):
        try:
            apply(function, "disk", output_path=place + "/out.bin", processes=processes, **options)
        except OSError as error:
            print(name, error.errno, os.listdir(place), open(place + "/out.bin", "rb").read())
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk_leaves_the_old_output_and_nothing_else(tmp_path: Path, processes: int) -> None:
    place, raw = tmp_path / "small", write(tmp_path / "raw.bin", made(2**18))
    place.mkdir()
    before = raw.read_bytes()
    command = f"mount -t tmpfs -o size=1m none {place} && exec {sys.executable} -c '{FULL}' {place} {raw} {processes}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, timeout=300)
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    lines = [f"{name} 28 ['out.bin'] b'old'" for name in ("large", "large", "appended", "appended")]
    assert done.stdout.splitlines() == lines, done.stderr
    assert raw.read_bytes() == before


def test_a_yaml_that_cannot_be_written_leaves_no_output(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bp = BatchProcessor(raw, **GIVEN, show_progress_bar=False)
    real = Path.write_text

    def write_text(path: Path, *args: Any, **kwargs: Any) -> int:
        if path.suffix == ".yaml":
            raise OSError(28, "no room")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(OSError, match="no room"):
        bp.multi_channel_apply(np.copy, "disk", output_path=raw.parent / "out.bin")
    assert os.listdir(raw.parent) == ["raw.bin"]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda block: block[:, :2], "in 2 columns"),
        (lambda block: block.astype("f8"), "numbers of float64"),
        (lambda block: ["text"], "numbers in one or two dimensions"),
        (lambda block: None, "numbers in one or two dimensions"),
        (lambda block: block[None], "numbers in one or two dimensions"),
    ],
)
def test_results_that_do_not_fit_together_are_refused(
    tmp_path: Path, processes: int, changed: Any, message: str
) -> None:
    bp = processor(tmp_path, DATA, max_memory=160)
    before = content(tmp_path)

    def sometimes(block: Any, idx_local: Any, idx: Any) -> Any:
        return block if idx[0].start < 60 else changed(block)

    with pytest.raises(ValueError, match=message):
        bp.multi_channel_apply(
            sometimes, "disk", output_path=tmp_path / "out.bin", pass_batch_info=True, processes=processes
        )
    assert content(tmp_path) == before
    assert os.listdir(tmp_path) == ["raw.bin"]


def test_two_calls_do_not_write_one_output_at_once(tmp_path: Path) -> None:
    bp, output = processor(tmp_path, DATA, max_memory=160), tmp_path / "out.bin"

    def inside(block: Any) -> Any:
        with pytest.raises(UnwritableFileError, match="is being written already"):
            bp.multi_channel_apply(np.copy, "disk", output_path=output)
        return block

    bp.multi_channel_apply(inside, "disk", output_path=output)
    np.testing.assert_array_equal(RecordingsReader(output)[:, :], DATA)
    assert sorted(os.listdir(tmp_path)) == ["out.bin", "out.yaml", "raw.bin"]
