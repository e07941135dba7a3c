"""Tests of `rechunk`: the copy is equal, by whatever way, and nothing else is left."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from tilecore import (
    DiskSpaceError,
    JournalError,
    MemoryBudgetError,
    OutputExistsError,
    ParameterError,
    ParameterTypeError,
    RunStarted,
    SourceChangedError,
    TileDone,
    TileError,
    create_sink,
    open_source,
    rechunk,
)
from tilecore.formats.opening import FileSource
from tilecore.objects.store import ObjectStore

VOLUME = np.random.default_rng(0).integers(0, 1000, (12, 20, 16), np.uint16)
HERE: dict[str, Any] = {"executor": "serial", "progress": False}
#: Enough for one plane, or one column, and not for all planes.
LITTLE = 2000


@pytest.fixture
def planes(tmp_path: Path) -> Path:
    path = tmp_path / "planes.zarr"
    zarr.create_array(path, data=VOLUME, chunks=(1, 20, 16))
    return path


def only(folder: Path, *names: str) -> bool:
    return sorted(each.name for each in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize(("max_memory", "n_passes"), [(LITTLE, 2), ("1MB", 1)])
@pytest.mark.parametrize("name", ["out.zarr", "out.ome.zarr", "out.h5"])
def test_the_copy_is_equal(planes: Path, tmp_path: Path, name: str, max_memory: int | str, n_passes: int) -> None:
    passes: set[str] = set()

    def started(event: object) -> None:
        if isinstance(event, RunStarted):
            passes.add(event.name)

    options = {"chunks": (12, 4, 4), "max_memory": max_memory, **HERE, "workers": 1}
    plan = rechunk(planes, tmp_path / name, **options, dry_run=True)
    assert len(plan.passes) == n_passes
    assert only(tmp_path, "planes.zarr")
    result = rechunk(planes, tmp_path / name, **options, callbacks=[started])
    assert isinstance(result, FileSource)
    assert result.chunks == (12, 4, 4)
    np.testing.assert_array_equal(result[...], VOLUME)
    assert {"pass 1 of 2", "pass 2 of 2"} <= passes if n_passes == 2 else "rechunk" in passes
    assert only(tmp_path, "planes.zarr", name)


@pytest.mark.parametrize("executor", ["processes", "threads"])
def test_workers_of_any_kind(planes: Path, tmp_path: Path, executor: str) -> None:
    options: dict[str, Any] = {"executor": executor, "workers": 2, "progress": False}
    result = rechunk(planes, tmp_path / "out.zarr", chunks=(12, 4, 4), max_memory=2 * LITTLE, **options)
    np.testing.assert_array_equal(result[...], VOLUME)
    assert only(tmp_path, "planes.zarr", "out.zarr")


@pytest.mark.parametrize(
    "source_of",
    [
        pytest.param(lambda folder: VOLUME, id="ndarray"),
        pytest.param(lambda folder: VOLUME[::-1, :, ::2].astype(">u2"), id="view with swapped bytes"),
        pytest.param(lambda folder: open_source(folder / "planes.zarr"), id="FileSource"),
        pytest.param(lambda folder: zarr.open_array(folder / "planes.zarr", mode="r"), id="zarr array"),
    ],
)
def test_sources_of_any_kind(planes: Path, source_of: Callable[[Path], Any]) -> None:
    source = source_of(planes.parent)
    result = rechunk(source, planes.parent / "out.zarr", chunks=(6, 4, 4), shards=(12, 8, 8), **HERE)
    assert result.write_units == (12, 8, 8)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result[...], np.asarray(source[...]))


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(1, 5), st.integers(1, 2)), max_size=4),
    st.integers(200, 20000),
)
def test_any_chunks(
    tmp_path_factory: pytest.TempPathFactory, axes: list[tuple[int, int, int, int]], memory: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    shape, chunks, target = (tuple([axis[n] for axis in axes]) for n in range(3))
    shards = tuple([axis[2] * axis[3] for axis in axes])
    volume = np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.uint16).reshape(shape)  # zarr leaves out zeros
    zarr.create_array(folder / "in.zarr", data=volume, chunks=chunks)
    try:
        result = rechunk(
            folder / "in.zarr", folder / "out.zarr", chunks=target, shards=shards, max_memory=memory, **HERE, workers=1
        )
    except MemoryBudgetError:
        assert only(folder, "in.zarr")
        return
    np.testing.assert_array_equal(np.asarray(result[...]), volume)
    assert only(folder, "in.zarr", "out.zarr")


def test_what_the_file_tells_is_kept(tmp_path: Path) -> None:
    with create_sink(
        tmp_path / "in.zarr",
        (2, 4, 5, 6),
        "u1",
        axes="CZYX",
        voxel_size_um=(2, 1, 1),
        origin_um=(5, 0, 0),
        channel_names=["a", "b"],
    ) as sink:
        sink[...] = np.arange(240, dtype=np.uint8).reshape(2, 4, 5, 6)
    info = rechunk(tmp_path / "in.zarr", tmp_path / "out.ome.zarr", chunks=(1, 2, 2, 2), **HERE).info
    assert (info.axes, info.voxel_size_um, info.origin_um) == ("CZYX", (2, 1, 1), (5, 0, 0))
    assert info.channel_names == ("a", "b")


def test_pyramids_are_made(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 99, (4, 300, 600), np.uint8)
    rechunk(volume, tmp_path / "out.ome.zarr", chunks=(4, 64, 64), **HERE)
    np.testing.assert_array_equal(open_source(tmp_path / "out.ome.zarr")[...], volume)
    assert open_source(tmp_path / "out.ome.zarr", level=1).shape == (2, 150, 300)


class TestOutputThatIsTheSource:
    """The copy never takes the place of what it is made from, by whatever name."""

    def refused(self, source: Any, out: Path) -> None:
        with pytest.raises(ParameterError, match="is the source, or a part of it"):
            rechunk(source, out, chunks=(12, 4, 4), overwrite=True, **HERE)
        np.testing.assert_array_equal(open_source(source)[...] if isinstance(source, Path) else source, VOLUME)

    def test_same_path(self, planes: Path) -> None:
        self.refused(planes, planes)

    def test_links(self, planes: Path, tmp_path: Path) -> None:
        (tmp_path / "link.zarr").symlink_to(planes)
        self.refused(planes, tmp_path / "link.zarr")
        self.refused(tmp_path / "link.zarr", planes)

    def test_link_to_the_folder(self, planes: Path, tmp_path: Path) -> None:
        (tmp_path / "folder").symlink_to(tmp_path)
        self.refused(planes, tmp_path / "folder" / "planes.zarr")

    def test_hard_link(self, tmp_path: Path) -> None:
        with create_sink(tmp_path / "in.h5", VOLUME.shape, "u2") as sink:
            sink[...] = VOLUME
        os.link(tmp_path / "in.h5", tmp_path / "out.h5")
        self.refused(tmp_path / "in.h5", tmp_path / "out.h5")

    def test_inside_the_source(self, planes: Path) -> None:
        self.refused(planes, planes / "c" / "out.zarr")

    def test_around_the_source(self, tmp_path: Path) -> None:
        rechunk(VOLUME, tmp_path / "image.ome.zarr", chunks=8, **HERE)
        self.refused(tmp_path / "image.ome.zarr", tmp_path / "image.ome.zarr")

    def test_mapped_array(self, tmp_path: Path) -> None:
        np.save(tmp_path / "in.npy", VOLUME)
        os.link(tmp_path / "in.npy", tmp_path / "out.zarr")
        self.refused(np.load(tmp_path / "in.npy", mmap_mode="r"), tmp_path / "out.zarr")


class TestRefused:
    """Wrong calls are refused by name, before anything is written."""

    def test_existing_output(self, planes: Path, tmp_path: Path) -> None:
        rechunk(planes, tmp_path / "out.zarr", chunks=4, **HERE)
        with pytest.raises(OutputExistsError):
            rechunk(planes, tmp_path / "out.zarr", chunks=8, **HERE)
        assert rechunk(planes, tmp_path / "out.zarr", chunks=8, overwrite=True, **HERE).chunks == (8, 8, 8)

    @pytest.mark.parametrize("name", ["out.npy", "out.tif"])
    def test_kind_without_chunks(self, planes: Path, tmp_path: Path, name: str) -> None:
        with pytest.raises(ParameterError, match="chunks"):
            rechunk(planes, tmp_path / name, chunks=4, **HERE)

    def test_shards_that_cut_chunks(self, planes: Path, tmp_path: Path) -> None:
        with pytest.raises(ParameterError, match="shards"):
            rechunk(planes, tmp_path / "out.zarr", chunks=4, shards=6, **HERE)

    def test_no_room(self, planes: Path, tmp_path: Path) -> None:
        with pytest.raises(MemoryBudgetError, match="a unit of 12 x 4 x 4 voxels"):
            rechunk(planes, tmp_path / "out.zarr", chunks=(12, 4, 4), max_memory=100, **HERE)

    def test_several_volumes(self, planes: Path, tmp_path: Path) -> None:
        with pytest.raises(ParameterError, match="one volume"):
            rechunk([planes, planes], tmp_path / "out.zarr", chunks=4, **HERE)  # type: ignore[call-overload]

    def test_unknown_option(self, planes: Path, tmp_path: Path) -> None:
        with pytest.raises(ParameterTypeError, match="did you mean workers"):
            rechunk(planes, tmp_path / "out.zarr", chunks=4, n_jobs=2)  # type: ignore[call-overload]

    def test_journal_elsewhere(self, planes: Path, tmp_path: Path) -> None:
        with pytest.raises(ParameterError, match="beside the output"):
            rechunk(planes, tmp_path / "out.zarr", chunks=4, journal=tmp_path / "j", **HERE)

    def test_continuing_without_a_journal(self, planes: Path, tmp_path: Path) -> None:
        with pytest.raises(ParameterError, match="nothing to continue"):
            rechunk(planes, tmp_path / "out.zarr", chunks=4, journal=False, resume=True, **HERE)

    def test_full_disk(self, planes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tilecore.engine.rechunk_run.free_space", lambda path: VOLUME.nbytes)
        with pytest.raises(DiskSpaceError, match="out.zarr needs"):
            rechunk(planes, tmp_path / "out.zarr", chunks=(12, 4, 4), max_memory=LITTLE, **HERE, workers=1)
        assert only(tmp_path, "planes.zarr")


class Stop(Exception):
    """Ends a run from a callback."""


def stopped(n_tiles: int, then: Callable[[], None] | None = None) -> Callable[[object], None]:
    """Return a callback that ends the run when so many tiles are done."""
    left = [n_tiles]

    def look(event: object) -> None:
        if isinstance(event, TileDone):
            left[0] -= 1
            if left[0] == 0:
                if then is not None:
                    then()
                    return
                raise Stop

    return look


class TestContinuing:
    """A run that was stopped goes on in the pass in which it was, and the result is equal."""

    options: ClassVar[dict[str, Any]] = {"chunks": (12, 4, 4), "max_memory": LITTLE, **HERE, "workers": 1}

    @pytest.mark.parametrize("n_tiles", [1, 5, 12, 13, 20])
    def test_in_either_pass(self, planes: Path, tmp_path: Path, n_tiles: int) -> None:
        out, done = tmp_path / "out.zarr", []
        with pytest.raises(Stop):
            rechunk(planes, out, **self.options, callbacks=[stopped(n_tiles)])
        assert not out.exists()
        watch = [lambda event: done.append(event) if isinstance(event, TileDone) else None]
        result = rechunk(planes, out, **self.options | {"max_memory": "1MB"}, resume=True, callbacks=watch)
        np.testing.assert_array_equal(result[...], VOLUME)
        plan = rechunk(planes, tmp_path / "other.zarr", **self.options, dry_run=True)
        assert len(done) <= sum(each.n_tiles for each in plan.passes) - n_tiles + 1
        assert only(tmp_path, "planes.zarr", "out.zarr")

    @pytest.mark.parametrize("n_tiles", [1, 13, 20])
    def test_in_an_object_store(self, planes: Path, tmp_path: Path, bucket: str, n_tiles: int) -> None:
        """The temporary file was on this machine, so the first pass is done again, but not the second one."""
        out, done = f"{bucket}/out.zarr", []
        with pytest.raises(Stop):
            rechunk(planes, out, **self.options, callbacks=[stopped(n_tiles)])
        watch = [lambda event: done.append(event) if isinstance(event, TileDone) else None]
        result = rechunk(planes, out, **self.options | {"max_memory": "1MB"}, resume=True, callbacks=watch)
        np.testing.assert_array_equal(result[...], VOLUME)
        n_first, n_second = (each.n_tiles for each in rechunk(planes, out, **self.options, dry_run=True).passes)
        assert len(done) <= n_first + n_second - max(n_tiles - 1 - n_first, 0)
        assert all(key.startswith("out.zarr/") for key in ObjectStore(bucket).all_keys())
        again = rechunk(planes, out, **self.options, resume=True, callbacks=[stopped(1)])
        np.testing.assert_array_equal(again[...], VOLUME)

    def test_without_a_journal_nothing_is_left_in_an_object_store(self, planes: Path, bucket: str) -> None:
        for journal in (False, True):
            with pytest.raises(Stop):
                rechunk(planes, f"{bucket}/out.zarr", **self.options, callbacks=[stopped(14)], journal=journal)
            keys = ObjectStore(bucket).all_keys()
            assert any("rechunk.second.journal" in key for key in keys) == journal
        rechunk(planes, f"{bucket}/out.zarr", **self.options)
        assert all(key.startswith("out.zarr/") for key in ObjectStore(bucket).all_keys())

    def test_a_finished_run_is_not_done_again(self, planes: Path, tmp_path: Path) -> None:
        rechunk(planes, tmp_path / "out.zarr", **self.options)
        again = rechunk(planes, tmp_path / "out.zarr", **self.options, resume=True, callbacks=[stopped(1)])
        np.testing.assert_array_equal(again[...], VOLUME)

    def test_without_resume_it_starts_over(self, planes: Path, tmp_path: Path) -> None:
        with pytest.raises(Stop):
            rechunk(planes, tmp_path / "out.zarr", **self.options, callbacks=[stopped(5)])
        rechunk(planes, tmp_path / "out.zarr", **self.options)
        assert only(tmp_path, "planes.zarr", "out.zarr")

    def test_without_a_journal_nothing_is_left(self, planes: Path, tmp_path: Path) -> None:
        with pytest.raises(Stop):
            rechunk(planes, tmp_path / "out.zarr", **self.options, callbacks=[stopped(5)], journal=False)
        assert only(tmp_path, "planes.zarr")

    @pytest.mark.parametrize("other", [{"chunks": (12, 8, 8)}, {"codec": "gzip"}])
    def test_of_another_run(self, planes: Path, tmp_path: Path, other: dict[str, Any]) -> None:
        with pytest.raises(Stop):
            rechunk(planes, tmp_path / "out.zarr", **self.options, callbacks=[stopped(5)])
        with pytest.raises(JournalError, match="belongs to another run"):
            rechunk(planes, tmp_path / "out.zarr", **self.options | {"max_memory": "1MB"} | other, resume=True)

    def test_with_another_source(self, planes: Path, tmp_path: Path) -> None:
        with pytest.raises(Stop):
            rechunk(planes, tmp_path / "out.zarr", **self.options, callbacks=[stopped(5)])
        zarr.open_array(planes)[3] = 7
        with pytest.raises(JournalError, match="belongs to another run"):
            rechunk(planes, tmp_path / "out.zarr", **self.options, resume=True)

    @pytest.mark.parametrize("n_tiles", [3, 15])
    def test_a_source_that_changes(self, planes: Path, tmp_path: Path, n_tiles: int) -> None:
        """What was read before it changed and after it must not be mixed; in the second pass it is read no more."""

        def change() -> None:
            zarr.open_array(planes)[3] = 7

        options = self.options | {"callbacks": [stopped(n_tiles, change)]}
        if n_tiles > 12:
            np.testing.assert_array_equal(rechunk(planes, tmp_path / "out.zarr", **options)[...], VOLUME)
            return
        with pytest.raises(SourceChangedError):
            rechunk(planes, tmp_path / "out.zarr", **options)
        assert only(tmp_path, "planes.zarr")

    def test_a_damaged_chunk_is_named(self, planes: Path, tmp_path: Path) -> None:
        (planes / "c" / "7" / "0" / "0").write_bytes(b"nonsense")
        with pytest.raises(TileError, match=r"c/7/0/0"):
            rechunk(planes, tmp_path / "out.zarr", **self.options, retries=0)
        zarr.open_array(planes)[7] = VOLUME[7]
        rechunk(planes, tmp_path / "out.zarr", **self.options)
        assert only(tmp_path, "planes.zarr", "out.zarr")
