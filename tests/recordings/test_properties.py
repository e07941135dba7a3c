"""Properties of batches and results: whatever the recording and the call, they equal the plain way."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.recordings.files import LOADERS, ORDERS, made, write
from tilecore.compat.yass import BatchProcessor, RecordingsReader

DTYPES = ("int16", ">i2", "uint8", "float32", ">f8", "complex64")


@dataclass(frozen=True)
class Case:
    """A recording, and what is asked of it."""

    n_observations: int
    n_channels: int
    dtype: str
    order: str
    loader: str
    channels: Any
    first: int
    stop: int
    buffer: int
    batch: int

    @property
    def data(self) -> Any:
        return made(self.n_observations, self.n_channels, np.dtype(self.dtype).newbyteorder("="), 3).astype(self.dtype)

    @property
    def numbers(self) -> list[int]:
        return list(range(self.n_channels)) if self.channels == "all" else list(np.atleast_1d(self.channels))

    @property
    def selected(self) -> dict[str, Any]:
        return {"from_time": self.first, "to_time": self.stop, "channels": self.channels}

    @property
    def plain(self) -> Any:
        return self.data[self.first : self.stop, self.numbers]

    def processor(self, folder: str, n_lines: int) -> BatchProcessor:
        """Batches of so many observations of a number of channels."""
        path = write(Path(folder, "raw.bin"), self.data, self.order)
        memory = (self.batch + 2 * self.buffer) * n_lines * np.dtype(self.dtype).itemsize
        return BatchProcessor(
            path, self.dtype, self.n_channels, self.order, memory, self.buffer, self.loader, False  # type: ignore[arg-type]
        )  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n_observations, n_channels = draw(st.integers(1, 60)), draw(st.integers(1, 6))
    number = st.integers(0, n_channels - 1)
    first = draw(st.integers(0, n_observations - 1))
    buffer = draw(st.integers(0, 7))
    return Case(
        n_observations,
        n_channels,
        draw(st.sampled_from(DTYPES)),
        draw(st.sampled_from(ORDERS)),
        draw(st.sampled_from(LOADERS)),
        draw(st.one_of(st.just("all"), number, st.lists(number, min_size=1, max_size=8))),
        first,
        draw(st.integers(first + 1, n_observations)),
        buffer,
        draw(st.integers(max(buffer, 1), 70)),
    )


@given(case=cases())
def test_batches_together_are_the_recording(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bp = case.processor(folder, len(case.numbers))
        padded = np.pad(case.data, ((case.buffer, case.buffer), (0, 0)))
        found, at = [], case.first
        for block, local, idx in bp.multi_channel(**case.selected):
            assert idx[0].start == at
            at = idx[0].stop
            assert block.dtype == np.dtype(case.dtype)
            assert block.nbytes <= bp.max_memory
            np.testing.assert_array_equal(block, padded[idx[0].start : idx[0].stop + 2 * case.buffer, case.numbers])
            np.testing.assert_array_equal(block[local], bp.reader.data[:, :][idx])
            found.append(block[local])
        np.testing.assert_array_equal(np.concatenate(found), case.plain)


@given(case=cases(), is_complete=st.booleans())
def test_single_channels_together_are_the_recording(case: Case, is_complete: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bp = case.processor(folder, 1)
        if is_complete and bp.max_memory < (case.stop - case.first) * np.dtype(case.dtype).itemsize:
            with pytest.raises(ValueError, match="max_memory"):
                next(bp.single_channel(**case.selected))
            return
        batches = list(bp.single_channel(is_complete, **case.selected))
        lines = batches if is_complete else [data for data, _ in batches]
        assert {line.dtype for line in lines} == {np.dtype(case.dtype)}
        if is_complete:
            assert len(batches) == len(case.numbers)
            np.testing.assert_array_equal(np.stack(batches, axis=1), case.plain)
            return
        joined = np.concatenate(lines)
        np.testing.assert_array_equal(joined, case.plain.T.ravel())
        owners = np.concatenate([[channel] * len(data) for data, channel in batches])
        np.testing.assert_array_equal(owners, np.repeat(case.numbers, case.stop - case.first))
        assert all(line.nbytes <= bp.max_memory for line in lines)


def running(block: Any, width: int) -> Any:
    """Sum of neighbours along time, which needs them."""
    padded = np.pad(block, ((width, width), (0, 0)))
    length = len(block)
    return sum(padded[at : at + length] for at in range(2 * width + 1)).astype(block.dtype)


def negative(line: Any) -> Any:
    """The same in the same order of bytes, which numpy changes."""
    return np.negative(line).astype(line.dtype)


def check_disk(case: Case, processes: int, cast: Any) -> None:
    """What is written equals the plain way: a function of several channels, and one of each channel."""
    with tempfile.TemporaryDirectory() as folder:
        bp = case.processor(folder, len(case.numbers))
        options: dict[str, Any] = {"cast_dtype": cast, "processes": processes, **case.selected}
        path, params = bp.multi_channel_apply(
            running, "disk", output_path=Path(folder, "several.bin"), width=case.buffer, **options
        )
        dtype = np.dtype(cast or case.dtype)
        expected = running(case.data, case.buffer)[case.first : case.stop, case.numbers].astype(dtype)
        assert params["n_channels"] == len(case.numbers)
        np.testing.assert_array_equal(RecordingsReader(path)[:, :], expected, strict=True)
        path, params = bp.single_channel_apply(
            negative, "disk", Path(folder, "single.bin"), force_complete_channel_batch=False, **options
        )
        assert params["data_order"] == "channels"
        expected = negative(case.plain).astype(dtype)
        np.testing.assert_array_equal(np.fromfile(path, dtype), expected.T.ravel(), strict=True)
        np.testing.assert_array_equal(RecordingsReader(path)[:, :], expected, strict=True)
        assert sorted(os.listdir(folder)) == ["raw.bin", "several.bin", "several.yaml", "single.bin", "single.yaml"]


@given(case=cases(), cast=st.sampled_from([None, "complex128", ">c8"]))
def test_the_disk_has_what_the_plain_way_gives(case: Case, cast: Any) -> None:
    check_disk(case, 1, cast)


@given(case=cases())
@settings(max_examples=8)
def test_the_disk_has_what_the_plain_way_gives_by_two_processes(case: Case) -> None:
    check_disk(case, 2, None)


@pytest.mark.parametrize("processes", [1, 2])
@given(case=cases())
@settings(max_examples=10)
def test_memory_has_each_result_of_each_batch(processes: int, case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bp = case.processor(folder, len(case.numbers))
        found = bp.multi_channel_apply(lambda block: block, "memory", processes=processes, **case.selected)
        expected = [block for block, _, _ in bp.multi_channel(**case.selected)]
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
