"""Tests of pipelines: steps that read what the one before has written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.recordings.files import content, made, write
from tilecore.compat.yass import BatchPipeline, PipedTransformation, RecordingsReader
from tilecore.compat.yass import pipeline as pipeline_module

DATA = made()
MODES = ("single_channel_one_batch", "single_channel", "multi_channel")


def add(block: Any, more: int = 1) -> Any:
    return block + block.dtype.type(more)


def pipeline(folder: Path, *steps: PipedTransformation, **options: Any) -> BatchPipeline:
    write(folder / "raw.bin", DATA)
    (folder / "tmp").mkdir(exist_ok=True)
    found = BatchPipeline(folder / "raw.bin", "int16", 4, "samples", "400B", folder / "tmp", **options)
    found.add(list(steps))
    return found


def test_names_are_where_the_document_has_them() -> None:
    assert pipeline_module.BatchPipeline is BatchPipeline
    assert pipeline_module.PipedTransformation is PipedTransformation


def test_steps_read_what_the_one_before_has_written_in_every_mode(tmp_path: Path) -> None:
    steps = [
        PipedTransformation(add, f"{mode}.bin", mode=mode, keep=True, more=10**number)  # type: ignore[arg-type]
        for number, mode in enumerate(MODES)
    ]
    made_of = pipeline(tmp_path)
    made_of.add((steps[0],))
    made_of.add(steps[1:])
    paths, params = made_of.run()
    assert paths == [os.path.join(tmp_path / "tmp", f"{mode}.bin") for mode in MODES]
    assert [each["data_order"] for each in params] == ["channels", "channels", "samples"]
    for path, each, total in zip(paths, params, (1, 11, 111), strict=True):
        assert yaml.safe_load(Path(path).with_suffix(".yaml").read_text()) == each
        np.testing.assert_array_equal(RecordingsReader(path)[:, :], DATA + total)


@pytest.mark.parametrize("kept", [(), (0,), (1,), (0, 1)])
def test_a_step_that_is_not_kept_goes_when_the_next_is_done(tmp_path: Path, kept: tuple[int, ...]) -> None:
    there: list[list[str]] = []

    def look(block: Any) -> Any:
        there.append(sorted(each for each in os.listdir(tmp_path / "tmp") if each.endswith(".bin")))
        return block

    steps = [PipedTransformation(look, f"{number}.bin", "multi_channel", keep=number in kept) for number in range(3)]
    made_of = pipeline(tmp_path, *steps)
    before = content(tmp_path)["raw.bin"]
    for _ in range(2):  # described once, run again
        there.clear()
        paths, params = made_of.run()
        assert (len(paths), len(params)) == (3, 3)
        stays = sorted(f"{number}.{suffix}" for number in {*kept, 2} for suffix in ("bin", "yaml"))
        assert sorted(os.listdir(tmp_path / "tmp")) == stays
        assert content(tmp_path)["raw.bin"] == before
    for name in os.listdir(tmp_path / "tmp"):
        (tmp_path / "tmp" / name).unlink()
    there.clear()
    made_of.run()
    n_batches = len(there) // 3
    later = ["0.bin"] if 0 in kept else []
    assert there[:n_batches] == [[]] * n_batches
    assert there[n_batches : 2 * n_batches] == [["0.bin"]] * n_batches, "what is read stays while it is read"
    assert there[2 * n_batches :] == [[*later, "1.bin"]] * n_batches


def test_times_and_channels_select_once(tmp_path: Path) -> None:
    steps = [PipedTransformation(add, f"{number}.bin", "multi_channel", keep=True) for number in range(3)]
    made_of = pipeline(tmp_path, *steps, from_time=30, to_time=90, channels=[3, 1])
    paths, params = made_of.run()
    assert [each["n_channels"] for each in params] == [2, 2, 2]
    for number, path in enumerate(paths):
        np.testing.assert_array_equal(RecordingsReader(path)[:, :], DATA[30:90, [3, 1]] + number + 1)


def test_options_of_the_apply_methods_go_to_them_and_the_rest_to_the_function(tmp_path: Path) -> None:
    def function(block: Any, idx_local: Any, idx: Any, scale: int) -> Any:
        assert (idx_local[0].start, idx[0].start % 50) == (0, 0)
        return np.vstack([block * scale, [[os.getpid()] * 4]])

    def cleaned(result: Any, idx_local: Any, idx: Any, buffer: int) -> Any:
        assert (result[-1] != parent).all(), "it ran in another process"
        return result[:-1]

    parent = os.getpid()
    step = PipedTransformation(
        function,
        "out.bin",
        mode="multi_channel",
        cast_dtype="int64",
        pass_batch_info=True,
        cleanup_function=cleaned,
        processes=2,
        scale=3,
    )
    (path,), (params,) = pipeline(tmp_path, step).run()
    assert params["dtype"] == "int64"
    np.testing.assert_array_equal(RecordingsReader(path)[:, :], DATA.astype("i8") * 3)


def test_a_step_takes_an_existing_file_whoever_made_it(tmp_path: Path) -> None:
    def never(block: Any) -> Any:
        raise AssertionError("it is called")

    first = PipedTransformation(never, "first.bin", "multi_channel", keep=True, if_file_exists="skip")
    made_of = pipeline(tmp_path, first, PipedTransformation(add, "second.bin", "multi_channel"))
    write(tmp_path / "tmp" / "first.bin", DATA[:10, :2], "channels")
    (tmp_path / "tmp" / "first.yaml").write_text("{dtype: int16, n_channels: 2, data_order: channels}")
    (_, path), (params, _) = made_of.run()
    assert params["n_channels"] == 2
    np.testing.assert_array_equal(RecordingsReader(path)[:, :], DATA[:10, :2] + 1)


def test_a_step_refuses_an_existing_file_before_any_step_runs(tmp_path: Path) -> None:
    steps = [
        PipedTransformation(add, "first.bin", "multi_channel"),
        PipedTransformation(add, "second.bin", "multi_channel", if_file_exists="abort"),
    ]
    made_of = pipeline(tmp_path, *steps)
    (tmp_path / "tmp" / "second.bin").write_bytes(b"mine")
    before = content(tmp_path)
    with pytest.raises(ValueError, match="exists already"):
        made_of.run()
    assert content(tmp_path) == before


def test_a_step_that_fails_keeps_what_the_others_made(tmp_path: Path) -> None:
    def fail(block: Any) -> Any:
        raise OSError("no")

    steps = [
        PipedTransformation(add, "first.bin", "multi_channel"),
        PipedTransformation(fail, "second.bin", "single_channel"),
    ]
    with pytest.raises(OSError, match="no") as raised:
        pipeline(tmp_path, *steps).run()
    assert "batch 0" in raised.value.__notes__[0]
    assert sorted(os.listdir(tmp_path / "tmp")) == ["first.bin", "first.yaml"]
    np.testing.assert_array_equal(np.fromfile(tmp_path / "raw.bin", "i2"), DATA.ravel())


def test_bad_steps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mode"):
        PipedTransformation(add, "out.bin", mode="all_channels")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="if_file_exists"):
        PipedTransformation(add, "out.bin", mode="multi_channel", if_file_exists="perhaps")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="function"):
        PipedTransformation("add", "out.bin", mode="multi_channel")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "names", [("../raw.bin",), ("same.bin", "same.bin"), ("same.bin", "same.dat"), ("../raw.dat",)]
)
def test_steps_that_would_write_over_each_other_or_the_recording_are_refused(tmp_path: Path, names: Any) -> None:
    made_of = pipeline(tmp_path, *[PipedTransformation(add, name, "multi_channel") for name in names])
    before = content(tmp_path)
    with pytest.raises(ValueError, match="output_name"):
        made_of.run()
    assert content(tmp_path) == before


def test_a_pipeline_without_steps_does_nothing(tmp_path: Path) -> None:
    assert pipeline(tmp_path).run() == ([], [])
