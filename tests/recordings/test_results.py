"""Tests of results: what memory and disk give, in one process and in several."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.recordings.files import ORDERS, content, made, processor, write
from tilecore.compat.yass import BatchProcessor, RecordingsReader

several = pytest.mark.parametrize("processes", [1, 2])


def same(block: Any) -> Any:
    return block


class Adder:
    """A function without a name."""

    def __call__(self, block: Any, more: int = 1) -> Any:
        return block + block.dtype.type(more)


@several
def test_a_list_has_each_result_as_the_function_made_it(
    tmp_path: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = made()
    bp = processor(tmp_path, data, max_memory=160, buffer_size=3)
    before = content(tmp_path)

    def of_any_kind(block: Any, idx_local: Any, idx: Any) -> Any:
        first = idx[0].start
        return (first, {"shape": block.shape}) if first % 3 else block[: first % 7]

    found = bp.multi_channel_apply(
        of_any_kind, "memory", output_path="out.bin", if_file_exists="abort", pass_batch_info=True, processes=processes
    )
    expected = [of_any_kind(*batch) for batch in bp.multi_channel()]
    assert repr(found) == repr(expected)
    identical = bp.multi_channel_apply(same, "memory", processes=processes)
    for result, (block, _, _) in zip(identical, bp.multi_channel(), strict=True):
        np.testing.assert_array_equal(result, block)  # with its buffer
    assert content(tmp_path) == before


@several
def test_function_then_cast_then_cleanup(tmp_path: Path, processes: int) -> None:
    bp = processor(tmp_path, made(), max_memory=160, buffer_size=2)

    def cleaned(result: Any, idx_local: Any, idx: Any, buffer: int, /) -> Any:
        return result.dtype.name, len(result), idx_local[0].start, idx[0].start, buffer

    found = bp.multi_channel_apply(
        lambda block: block * 1.5, "memory", cleaned, cast_dtype="float32", processes=processes
    )
    assert found == [("float32", 20, 2, first, 2) for first in range(0, 96, 16)] + [("float32", 8, 2, 96, 2)]


@several
def test_the_previous_batch_is_what_cleanup_gave(tmp_path: Path, processes: int) -> None:
    data = made()
    bp = processor(tmp_path, data, max_memory=160)
    seen = []

    def add(block: Any, idx_local: Any, idx: Any, previous_batch: Any, scale: int) -> Any:
        seen.append((idx[0].start, previous_batch))
        return block.sum() * scale

    def cleaned(result: Any, idx_local: Any, idx: Any, buffer: int) -> Any:
        return result, idx[0].stop

    last = bp.multi_channel_apply(
        add, "memory", cleaned, pass_batch_info=True, pass_batch_results=True, processes=processes, scale=2
    )
    sums = [(data[at : at + 20].sum() * 2, at + 20) for at in range(0, 100, 20)]
    assert seen == list(zip(range(0, 100, 20), [None, *sums[:-1]], strict=True))
    assert last == sums[-1]


def test_previous_batches_are_not_for_the_disk(tmp_path: Path) -> None:
    bp = processor(tmp_path, made())
    with pytest.raises(NotImplementedError):
        bp.multi_channel_apply(same, "disk", output_path=tmp_path / "out.bin", pass_batch_results=True)
    assert os.listdir(tmp_path) == ["raw.bin"]


@several
@pytest.mark.parametrize("cast", [None, "float32", ">i2", "complex64"])
def test_the_disk_gives_the_path_and_the_parameters_that_the_yaml_has(
    tmp_path: Path, processes: int, cast: Any
) -> None:
    data = made()
    bp = processor(tmp_path, data, max_memory=160)
    asked = str(tmp_path / "out.bin")
    path, params = bp.multi_channel_apply(
        same, "disk", output_path=asked, channels=[2, 0], cast_dtype=cast, processes=processes
    )
    assert path == asked
    assert type(params) is dict
    assert params == yaml.safe_load((tmp_path / "out.yaml").read_text())
    assert params == {"dtype": cast or "int16", "n_channels": 2, "data_order": "samples"}
    assert type(params["n_channels"]) is int
    assert sorted(os.listdir(tmp_path)) == ["out.bin", "out.yaml", "raw.bin"]
    np.testing.assert_array_equal(RecordingsReader(path)[:, :], data[:, [2, 0]].astype(cast or "int16"))


def test_outputs_have_the_rights_that_new_files_have(tmp_path: Path) -> None:
    bp = processor(tmp_path, made(), max_memory=160)
    (tmp_path / "new").touch()
    usual = (tmp_path / "new").stat().st_mode
    bp.multi_channel_apply(same, "disk", output_path=tmp_path / "placed.bin")
    bp.multi_channel_apply(lambda block: block[::2], "disk", output_path=tmp_path / "appended.bin")
    for name in ("placed.bin", "placed.yaml", "appended.bin"):
        assert (tmp_path / name).stat().st_mode == usual, name


@several
def test_results_of_another_length_are_appended_in_order_of_time(tmp_path: Path, processes: int) -> None:
    data = made()
    bp = processor(tmp_path, data, max_memory=160)
    path, params = bp.multi_channel_apply(
        lambda block: block[::2], "disk", output_path=tmp_path / "half.bin", processes=processes
    )
    np.testing.assert_array_equal(RecordingsReader(path)[:, :], data[::2])
    path, params = bp.multi_channel_apply(np.max, "disk", output_path=tmp_path / "max.bin", axis=0, processes=processes)
    assert params["n_channels"] == 4
    np.testing.assert_array_equal(RecordingsReader(path)[:, :], data.reshape(5, 20, 4).max(axis=1))


@several
def test_some_results_may_be_as_long_as_their_batch_and_others_not(tmp_path: Path, processes: int) -> None:
    data = made()
    bp = processor(tmp_path, data, max_memory=160)

    def some(block: Any, idx_local: Any, idx: Any) -> Any:
        return block if idx[0].start % 40 else block[:7]

    path, _ = bp.multi_channel_apply(
        some, "disk", output_path=tmp_path / "some.bin", pass_batch_info=True, processes=processes
    )
    expected = [data[at : at + (20 if at % 40 else 7)] for at in range(0, 100, 20)]
    np.testing.assert_array_equal(RecordingsReader(path)[:, :], np.concatenate(expected))


@several
@pytest.mark.parametrize("n", [100, 81, 4])
def test_one_number_an_observation_is_one_channel(tmp_path: Path, processes: int, n: int) -> None:
    """Also if the last batch is as long as there are channels."""
    data = made(n)
    bp = processor(tmp_path, data, max_memory=160)
    path, params = bp.multi_channel_apply(
        np.sum, "disk", output_path=tmp_path / "sum.bin", axis=1, to_time=n, channels=[0, 1, 2], processes=processes
    )
    assert params["n_channels"] == 1
    np.testing.assert_array_equal(RecordingsReader(path)[:, 0], data[:, :3].sum(axis=1))


def test_flat_results_are_as_wide_as_their_batches_and_lists_of_any_length_are_one_channel(tmp_path: Path) -> None:
    data = made()
    bp = processor(tmp_path, data, max_memory=160)
    path, params = bp.multi_channel_apply(np.ravel, "disk", output_path=tmp_path / "flat.bin")
    assert params["n_channels"] == 4
    np.testing.assert_array_equal(RecordingsReader(path)[:, :], data)
    path, params = bp.multi_channel_apply(lambda block: block[block > 500], "disk", output_path=tmp_path / "high.bin")
    assert params["n_channels"] == 1
    np.testing.assert_array_equal(RecordingsReader(path)[:, 0], data[data > 500])


def test_a_result_that_cannot_be_placed_is_refused(tmp_path: Path) -> None:
    bp = processor(tmp_path, made(), max_memory=160, buffer_size=2)
    before = content(tmp_path)
    with pytest.raises(ValueError, match="cleanup_function") as raised:
        bp.multi_channel_apply(lambda block: block[:9], "disk", output_path=tmp_path / "out.bin")
    assert "batch 0" in "".join(raised.value.__notes__)
    assert content(tmp_path) == before
    assert os.listdir(tmp_path) == ["raw.bin"]


@several
def test_buffers_are_cut_off_where_it_is_known_how(tmp_path: Path, processes: int) -> None:
    data = made()
    bp = processor(tmp_path, data, max_memory=160, buffer_size=3)
    ways: dict[str, dict[str, Any]] = {
        "whole": {"function": same},
        "own": {"function": lambda block: block[3:-3]},
        "cleaned": {"function": same, "cleanup_function": lambda result, local, idx, buffer: result[local]},
        "halved": {"function": same, "cleanup_function": lambda result, local, idx, buffer: result[local][::2]},
    }
    for name, way in ways.items():
        path, _ = bp.multi_channel_apply(mode="disk", output_path=tmp_path / name, processes=processes, **way)
        found = RecordingsReader(path)[:, :]
        assert found.dtype == data.dtype
        np.testing.assert_array_equal(found, data[::2] if name == "halved" else data)


@several
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("memory", "is_complete"), [(2**20, True), (60, False), (400, True)])
def test_single_channel_files_are_whole_channels_one_after_the_other(
    tmp_path: Path, processes: int, order: str, memory: int, is_complete: bool
) -> None:
    data = made()
    bp = processor(tmp_path, data, order, max_memory=memory)
    path, params = bp.single_channel_apply(
        lambda line: line + 1, "disk", tmp_path / "out.bin", is_complete, channels=[3, 0, 1], processes=processes
    )
    assert params == {"dtype": "int16", "n_channels": 3, "data_order": "channels"}
    assert params == yaml.safe_load((tmp_path / "out.yaml").read_text())
    np.testing.assert_array_equal(np.fromfile(path, "i2").reshape(3, 100), data[:, [3, 0, 1]].T + 1)
    np.testing.assert_array_equal(RecordingsReader(path)[:, :], data[:, [3, 0, 1]] + 1)


@several
def test_channels_may_be_made_shorter_if_all_are(tmp_path: Path, processes: int) -> None:
    data = made()
    data[0, 2] = 2000
    bp = processor(tmp_path, data, max_memory=60)
    options: dict[str, Any] = {"force_complete_channel_batch": False, "processes": processes}
    path, _ = bp.single_channel_apply(lambda line: line[::2], "disk", tmp_path / "half.bin", **options)
    np.testing.assert_array_equal(RecordingsReader(path)[:, :], data[::2])
    with pytest.raises(ValueError, match="of one channel and"):
        bp.single_channel_apply(
            lambda line: line[: 5 if line[0] == 2000 else 30], "disk", tmp_path / "x.bin", **options
        )
    assert sorted(os.listdir(tmp_path)) == ["half.bin", "half.yaml", "raw.bin"]


def test_parameters_that_came_from_a_yaml_go_on(tmp_path: Path) -> None:
    data = made(dtype="float32")
    write(tmp_path / "raw.bin", data)
    (tmp_path / "raw.yaml").write_text("{dtype: float32, n_channels: 4, data_order: samples}")
    bp = BatchProcessor(tmp_path / "raw.bin", show_progress_bar=False)
    expected = {"dtype": "float32", "n_channels": 4}
    _, params = bp.multi_channel_apply(same, "disk", output_path=tmp_path / "a.bin")
    assert params == {**expected, "data_order": "samples"}
    _, params = bp.single_channel_apply(same, "disk", tmp_path / "b.bin")
    assert params == {**expected, "data_order": "channels"}


def test_a_file_that_exists(tmp_path: Path) -> None:
    bp = processor(tmp_path, made())
    output, calls = tmp_path / "out.bin", []

    def count(block: Any) -> Any:
        calls.append(1)
        return block

    for apply in (bp.multi_channel_apply, bp.single_channel_apply):
        options: dict[str, Any] = {"mode": "disk", "output_path": output}
        output.unlink(missing_ok=True)
        (tmp_path / "out.yaml").unlink(missing_ok=True)
        path, params = apply(count, if_file_exists="skip", **options)
        assert calls, "without a file it runs"
        calls.clear()
        (tmp_path / "out.yaml").write_text("{dtype: int8, n_channels: 7, data_order: samples, more: 1}")
        found = apply(count, if_file_exists="skip", **options)
        assert found == (output, {"dtype": "int8", "n_channels": 7, "data_order": "samples", "more": 1})
        before = content(tmp_path)
        with pytest.raises(ValueError, match="exists already"):
            apply(count, if_file_exists="abort", **options)
        (tmp_path / "out.yaml").unlink()
        with pytest.raises(ValueError, match="out.yaml, which tells of it, does not"):
            apply(count, if_file_exists="skip", **options)
        assert not calls
        assert {**content(tmp_path), "out.yaml": before["out.yaml"]} == before
        output.write_bytes(b"longer" * 1000)
        (tmp_path / "out.yaml").write_text("old: 1")
        path, params = apply(same, **options)
        assert RecordingsReader(path).shape == (100, 4)
        assert yaml.safe_load((tmp_path / "out.yaml").read_text()) == params


@several
def test_functions_of_all_kinds(tmp_path: Path, processes: int) -> None:
    data, more = made(), 5
    bp = processor(tmp_path, data, max_memory=160)

    def local(block: Any) -> Any:
        return block + block.dtype.type(more)

    for function in (local, lambda block: local(block) + 0, functools.partial(Adder(), more=5)):
        for apply in (bp.multi_channel_apply, functools.partial(bp.single_channel_apply, to_time=80)):
            found = apply(function, "memory", processes=processes)
            assert sum(result.sum(dtype=int) for result in found) == sum(
                (result + 5).sum(dtype=int) for result in apply(same, "memory")
            )
    assert len(bp.multi_channel_apply(Adder(), "memory", processes="max", more=3)) == 5


def test_nothing_is_printed_without_a_bar(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bp = processor(tmp_path, made(), max_memory=160)
    for processes in (1, 2):
        bp.multi_channel_apply(same, "disk", output_path=tmp_path / "out.bin", processes=processes)
        bp.multi_channel_apply(same, "memory", processes=processes)
        bp.single_channel_apply(same, "memory", force_complete_channel_batch=False, processes=processes)
    assert capfd.readouterr() == ("", "")


@several
@pytest.mark.parametrize("mode", ["memory", "disk"])
def test_what_a_function_raises_names_the_batch(tmp_path: Path, processes: int, mode: Any) -> None:
    data = made()
    data[45, 1] = 5000
    bp = processor(tmp_path, data, max_memory=160)

    def careful(block: Any) -> Any:
        if block.max() == 5000:
            raise KeyError("too high")
        return block

    with pytest.raises(KeyError, match="too high") as raised:
        bp.multi_channel_apply(careful, mode, output_path=tmp_path / "out.bin", processes=processes)
    assert "in batch 2, which begins at observation 40" in raised.value.__notes__
    bp = processor(tmp_path, data, max_memory=200)
    with pytest.raises(KeyError, match="too high") as raised:
        bp.single_channel_apply(careful, mode, tmp_path / "out.bin", channels=[3, 1], processes=processes)
    assert "in batch 1 of channels [1], which begins at observation 0" in raised.value.__notes__
    assert os.listdir(tmp_path) == ["raw.bin"]


def test_what_a_function_raises_names_the_batch_one_after_the_other(tmp_path: Path) -> None:
    bp = processor(tmp_path, made(), max_memory=160)
    with pytest.raises(ZeroDivisionError) as raised:
        bp.multi_channel_apply(lambda block, previous_batch: 1 // (previous_batch is None), "memory",
                               from_time=5, pass_batch_results=True)  # fmt: skip
    assert raised.value.__notes__ == ["in batch 1, which begins at observation 25"]


def test_an_output_name_that_ends_with_yaml_is_not_its_own_yaml(tmp_path: Path) -> None:
    data = made()
    bp = processor(tmp_path, data)
    for name, beside in [("out", "out.yaml"), ("a.yaml", "a.yaml.yaml"), ("b.c.dat", "b.c.yaml")]:
        path, params = bp.multi_channel_apply(same, "disk", output_path=tmp_path / name)
        assert yaml.safe_load((tmp_path / beside).read_text()) == params
        np.testing.assert_array_equal(RecordingsReader(path)[:, :], data)
