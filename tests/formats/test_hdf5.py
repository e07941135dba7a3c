"""Tests of HDF5: a dataset is replaced and the others are kept; few axes, no voxels, user blocks; Imaris."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.imaris import write_imaris
from tilecore import (
    JournalError,
    OutputExistsError,
    ParameterError,
    TilecoreError,
    UnreadableFileError,
    create_sink,
    map_tiles,
    open_source,
)
from tilecore.cli.main import main
from tilecore.engine.events import TileDone
from tilecore.formats.creating import prepare_sink
from tilecore.formats.hdf5.reader import find_dataset

h5py = pytest.importorskip("h5py", reason="HDF5 is optional")

VOLUME = np.arange(24).reshape(2, 3, 4)
OTHERS = {"x": np.arange(10), "g/y": np.arange(6).reshape(2, 3), "g/z": np.array(5)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "keep.h5", "w") as file:
        for name, values in OTHERS.items():
            file[name] = values
        file.attrs["made by"] = "somebody"
        file["link"] = h5py.SoftLink("/g/y")
        file["nowhere"] = h5py.SoftLink("/nothing")
    return tmp_path / "keep.h5"


def contents(path: Path) -> dict[str, np.ndarray]:
    """All datasets of a file."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if hasattr(item, "chunks") else None)
    return found


@pytest.mark.parametrize("name", ["a/b", "x", "g/y", "link", "nowhere", "/g//new/"])
def test_only_the_dataset_is_replaced(path: Path, name: str) -> None:
    with create_sink(f"{path}:/{name}", VOLUME.shape, "i8", overwrite=True) as sink:
        sink[...] = VOLUME
        assert contents(path).keys() == OTHERS.keys()  # until it is complete
    found, its_name = contents(path), "/".join(filter(None, name.split("/")))
    np.testing.assert_array_equal(found.pop(its_name), VOLUME)
    np.testing.assert_array_equal(open_source(f"{path}:/{name}")[...], VOLUME)
    assert found.keys() == OTHERS.keys() - {its_name}
    for other, values in found.items():
        np.testing.assert_array_equal(values, OTHERS[other])
    with h5py.File(path, "r") as file:
        assert file.attrs["made by"] == "somebody"
    assert list(path.parent.iterdir()) == [path]


def test_the_command_line_keeps_other_datasets(path: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VOLUME)
    for target, code in ((f"{path}:/a/b", 0), (f"{path}:/c", 1)):
        with pytest.raises(SystemExit) as end:
            main(["convert", str(tmp_path / "v.npy"), target, *["--overwrite"] * (not code)])
        assert bool(end.value.code) == bool(code)
        assert contents(path).keys() == OTHERS.keys() | {"a/b"}


def test_a_dataset_of_the_same_file_is_filtered(path: Path) -> None:
    map_tiles(np.negative, f"{path}:/g/y", out=f"{path}:/g/negative", overwrite=True, executor="serial")
    found = contents(path)
    np.testing.assert_array_equal(found["g/negative"], -OTHERS["g/y"])
    assert found.keys() == OTHERS.keys() | {"g/negative"}


@pytest.mark.parametrize(("name", "text"), [("g", "g is a group"), ("x/y", "x is no group"), ("nowhere/y", "no group")])
def test_what_cannot_be_a_dataset_is_refused(path: Path, name: str, text: str) -> None:
    calls: list[int] = []
    with pytest.raises(ParameterError, match=text):
        map_tiles(lambda block: calls.append(1), VOLUME, out=f"{path}:/{name}", overwrite=True, executor="serial")
    assert not calls
    assert contents(path).keys() == OTHERS.keys()


def test_a_link_into_another_file_is_not_followed(path: Path) -> None:
    with h5py.File(path.parent / "other.h5", "w") as other, h5py.File(path, "a") as file:
        other.create_group("q")
        file["outside"] = h5py.ExternalLink("other.h5", "/")
    for name in ("outside/q/v", "outside/v"):
        with pytest.raises(ParameterError, match="/outside is"):
            create_sink(f"{path}:/{name}", (2,), "u1", overwrite=True)
    assert not contents(path.parent / "other.h5")


def test_a_file_that_has_changed_meanwhile_is_not_replaced(path: Path) -> None:
    sink = create_sink(f"{path}:/a", VOLUME.shape, "i8", overwrite=True)
    sink[...] = VOLUME
    with h5py.File(path, "a") as file:
        file["late"] = np.arange(1000)
    with pytest.raises(OutputExistsError, match="has changed since this run began"):
        sink.commit()
    assert contents(path).keys() == OTHERS.keys() | {"late"}
    sink.discard()
    assert list(path.parent.iterdir()) == [path]


def test_a_run_that_failed_leaves_the_file_as_it_was(path: Path) -> None:
    before = path.read_bytes()

    def fail(block: np.ndarray) -> np.ndarray:
        raise ValueError("as asked")

    with pytest.raises(TilecoreError):
        map_tiles(fail, VOLUME, out=f"{path}:/x", dtype="i8", overwrite=True, executor="serial", journal=False)
    assert path.read_bytes() == before
    with pytest.raises(OutputExistsError):
        create_sink(f"{path}:/new", (2,), "u1")
    path.write_bytes(b"no HDF5 at all")
    with pytest.raises(UnreadableFileError, match="HDF5"):
        create_sink(f"{path}:/x", (2,), "u1", overwrite=True)
    assert path.read_bytes() == b"no HDF5 at all"


def test_a_file_does_not_grow_when_a_dataset_is_replaced(path: Path) -> None:
    sizes = []
    for number in range(4):
        with create_sink(f"{path}:/big", (10**5,), "f8", overwrite=True) as sink:
            sink[...] = np.full(10**5, number)
        sizes.append(path.stat().st_size)
    assert sizes[-1] < sizes[0] + 10**5


@pytest.mark.parametrize("shape", [(), (5,), (0,), (0, 5), (3, 0, 5), (1,)])
def test_few_axes_and_no_voxels(shape: tuple[int, ...], tmp_path: Path) -> None:
    path, values = tmp_path / "v.h5", np.full(shape, 7, "u2")
    with create_sink(path, shape, "u2") as sink:
        sink[...] = values
    np.testing.assert_array_equal(contents(path)["data"], values)
    source = open_source(path)  # its only dataset
    assert (source.shape, len(source.axes)) == (shape, len(shape))
    np.testing.assert_array_equal(source[...], values)
    if shape:
        result = map_tiles(np.copy, source, out=tmp_path / "o.h5", dtype="u2", executor="serial")
        np.testing.assert_array_equal(np.asarray(result), values)


def test_an_image_among_other_datasets(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    with h5py.File(path, "w") as file:
        file["text"], file["line"], file["null"] = "abc", np.arange(3), h5py.Empty("f4")
        file["texts"] = np.array([[b"a"]])
    np.testing.assert_array_equal(open_source(path)[...], np.arange(3))  # the only one that holds numbers
    with h5py.File(path, "a") as file:
        file["image"] = VOLUME
    np.testing.assert_array_equal(open_source(path)[...], VOLUME)  # the only one of two or more axes
    with pytest.raises(UnreadableFileError, match="no elements"):
        open_source(f"{path}:/null")
    with pytest.raises(ParameterError, match="the file has image, line"):
        open_source(f"{path}:/other")


@pytest.mark.parametrize("size", [512, 4096])
def test_a_block_of_the_user_before_the_file(size: int, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w", userblock_size=size) as file:
        file["v"] = VOLUME
    np.testing.assert_array_equal(open_source(tmp_path / "v.h5")[...], VOLUME)


IMAGE = np.arange(2 * 3 * 5 * 18 * 21, dtype="u2").reshape(2, 3, 5, 18, 21)


@pytest.fixture
def imaris(tmp_path: Path) -> Path:
    options: dict[str, Any] = {"voxel_size_um": (2, 0.5, 0.5), "start_um": (10, -4, 100)}
    write_imaris(tmp_path / "v.ims", IMAGE, n_levels=2, names=("DAPI", "GFP", "Cy5"), **options)
    return tmp_path / "v.ims"


def test_imaris_levels_channels_and_times(imaris: Path) -> None:
    source = open_source(imaris)
    assert (source.axes, source.shape, source.chunks) == ("TCZYX", IMAGE.shape, (1, 1, 4, 16, 16))
    assert source.info.levels == ((2, 3, 5, 18, 21), (2, 3, 5, 9, 11))
    assert source.voxel_size_um == (2, 0.5, 0.5)
    assert source.origin_um == (11, -3.75, 100.25)  # the file tells the outer edge of the first voxel
    np.testing.assert_array_equal(source[...], IMAGE)
    np.testing.assert_array_equal(source[1, 1:, 2:, 5:17, 20], IMAGE[1, 1:, 2:, 5:17, 20])
    coarse = open_source(imaris, level=1, channel="GFP", time=1)
    np.testing.assert_array_equal(coarse[...], IMAGE[1, 1, :, ::2, ::2])
    assert coarse.voxel_size_um == pytest.approx((2, 1, 0.5 * 21 / 11))
    assert coarse.origin_um == pytest.approx((11, -3.5, 100 + 0.25 * 21 / 11))
    result = map_tiles(np.copy, source, workers=2, tile_shape=(4, 16, 16))
    np.testing.assert_array_equal(result, IMAGE)


@pytest.mark.parametrize("most", [64, 1])
def test_datasets_of_imaris_are_looked_for_once(imaris: Path, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def find(file: Any, path: str, name: str) -> Any:
        asked.append(name)
        return find_dataset(file, path, name)

    monkeypatch.setattr("tilecore.formats.hdf5.imaris.find_dataset", find)
    monkeypatch.setattr("tilecore.formats.hdf5.imaris._MOST_KEPT", most)
    with open_source(imaris) as source:
        source[0]  # the file is opened for itself
        opened = len(asked)
        for z in range(5):
            np.testing.assert_array_equal(source[:, :, z], IMAGE[:, :, z])
    n_datasets = 2 * 3
    assert opened <= len(asked) <= opened + n_datasets if most == 64 else len(asked) == opened + 5 * n_datasets


DAMAGE: dict[str, Callable[[Any], object]] = {
    "levels": lambda file: file.pop("DataSet"),
    "channels": lambda file: file["DataSet/ResolutionLevel 0/TimePoint 1"].pop("Channel 2"),
    "data": lambda file: file["DataSet/ResolutionLevel 1/TimePoint 0/Channel 0"].pop("Data"),
    "size": lambda file: file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0"].attrs.pop("ImageSizeX"),
    "longer": lambda file: file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0"].attrs.create(
        "ImageSizeX", np.frombuffer(b"4000", "S1")
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_imaris_files_that_lack_something_are_refused(imaris: Path, damage: str) -> None:
    with h5py.File(imaris, "a") as file:
        DAMAGE[damage](file)
    with pytest.raises(TilecoreError, match=r"v\.ims"):
        open_source(imaris, level=int(damage == "data"))


def test_imaris_without_a_place_or_names(tmp_path: Path) -> None:
    write_imaris(tmp_path / "v.ims", IMAGE[:1, :1], unit="furlong")
    source = open_source(tmp_path / "v.ims")
    assert (source.voxel_size_um, source.origin_um, source.info.channel_names) == (None, (0, 0, 0), ())
    with pytest.raises(ParameterError, match="1 level"):
        open_source(tmp_path / "v.ims", level=1)


def plus_one(block: np.ndarray) -> np.ndarray:
    return block + 1


def times_hundred(block: np.ndarray) -> np.ndarray:
    return 100 * block


RUN: dict[str, Any] = {"tile_shape": (1, 3, 4), "executor": "serial", "overwrite": True}


def stop_at_second_tile(out: str, **options: Any) -> None:
    """Run `plus_one` into an output until its first of two tiles is done."""

    def stop(event: Any) -> None:
        if isinstance(event, TileDone):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_tiles(plus_one, VOLUME, out=out, callbacks=[stop], **RUN, **options)


@pytest.mark.parametrize("journal", [None, "j"])
@pytest.mark.parametrize("before", [True, False])
def test_a_dataset_is_not_taken_for_another_one_that_is_finished(
    before: bool, journal: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if before:
        map_tiles(times_hundred, VOLUME, out="m.h5:/b", **RUN)
    map_tiles(plus_one, VOLUME, out="m.h5:/a", journal=journal, **RUN)
    result = map_tiles(plus_one, VOLUME, out="m.h5:/b", resume=True, **RUN)
    np.testing.assert_array_equal(np.asarray(result), VOLUME + 1)
    done: list[Any] = []
    again = map_tiles(plus_one, VOLUME, out="m.h5:/b", resume=True, callbacks=[done.append], **RUN)
    np.testing.assert_array_equal(np.asarray(again), VOLUME + 1)
    assert not [event for event in done if isinstance(event, TileDone)]  # this one is finished
    assert contents(Path("m.h5")).keys() == {"a", "b"}


@pytest.mark.parametrize("name", ["c", "", "b/c"])
def test_a_run_into_a_dataset_does_not_continue_that_of_another(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    place = f"k.h5:/{name}" if name else "k.h5"
    with create_sink(place, VOLUME.shape, "i8", chunks=RUN["tile_shape"], overwrite=True) as sink:
        sink[...] = np.full(VOLUME.shape, -1)
    stop_at_second_tile("k.h5:/a")
    assert Path("k.h5.a.journal").is_file()
    result = map_tiles(plus_one, VOLUME, out=place, resume=True, **RUN)
    np.testing.assert_array_equal(np.asarray(result), VOLUME + 1)
    assert not caplog.records
    result = map_tiles(plus_one, VOLUME, out="k.h5:/a", resume=True, **RUN)
    np.testing.assert_array_equal(np.asarray(result), VOLUME + 1)
    assert [each.name for each in tmp_path.iterdir()] == ["k.h5"]


def test_a_journal_with_a_name_of_its_own_tells_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with create_sink("k.h5:/c", VOLUME.shape, "i8", chunks=RUN["tile_shape"]) as sink:
        sink[...] = np.full(VOLUME.shape, -1)
    stop_at_second_tile("k.h5:/a", journal="j")
    with pytest.raises(JournalError, match=r'datasets was \["a"\], is \["c"\]'):
        map_tiles(plus_one, VOLUME, out="k.h5:/c", journal="j", resume=True, **RUN)
    result = map_tiles(plus_one, VOLUME, out="k.h5:/a", journal="j", resume=True, **RUN)
    np.testing.assert_array_equal(np.asarray(result), VOLUME + 1)
    assert (contents(Path("k.h5"))["c"] == -1).all()


def test_of_two_first_datasets_the_second_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    first, second = [create_sink(f"{path}:/{name}", VOLUME.shape, "i8", overwrite=True) for name in "ab"]
    for sink in (first, second):
        sink[...] = VOLUME
    first.commit()
    with pytest.raises(OutputExistsError, match="has changed since this run began"):
        second.commit()
    assert contents(path).keys() == {"a"}
    second.discard()


@pytest.mark.parametrize("journal", [None, False])
@pytest.mark.parametrize("exists", [True, False])
def test_what_a_run_has_written_into_a_changed_file_is_where_the_error_says(
    exists: bool, journal: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "m.h5"
    if exists:
        map_tiles(plus_one, VOLUME, out=f"{path}:/a", **RUN)

    def change(event: Any) -> None:
        if isinstance(event, TileDone):
            with h5py.File(path, "a") as file:
                file[f"late {event.tile.number}"] = np.arange(1000)

    run: dict[str, Any] = {"out": [f"{path}:/b", tmp_path / "other.npy"], "dtype": "i8", **RUN}
    with pytest.raises(OutputExistsError, match="has changed since this run began") as caught:
        map_tiles(twice, VOLUME, journal=journal, callbacks=[change], **run)
    place = str(caught.value).partition("is in ")[2].partition(";")[0]
    np.testing.assert_array_equal(contents(Path(place))["b"], VOLUME)
    assert not (tmp_path / "other.npy").exists()  # all of them get their names, or none
    results = map_tiles(twice, VOLUME, resume=journal is None, **run)
    assert [("is written again from the start" in each.message) for each in caplog.records] == [True] * (
        journal is None
    )
    for result in results:
        np.testing.assert_array_equal(np.asarray(result), VOLUME)
    assert contents(path).keys() == {"b", "late 0", "late 1"} | ({"a"} if exists else set())
    assert {each.name for each in tmp_path.iterdir()} == {"m.h5", "other.npy"}


def twice(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return block, block


@pytest.mark.parametrize(("chunks", "is_same"), [((1, 3, 4), True), ((1, 3, 100), True), (None, True), (2, False)])
def test_an_unfinished_file_keeps_the_chunks_that_were_asked_for(chunks: Any, is_same: bool, tmp_path: Path) -> None:
    asked = prepare_sink(tmp_path / "v.h5", VOLUME.shape, chunks=chunks)
    begun = create_sink(tmp_path / "v.h5", VOLUME.shape, "i8", chunks=(1, 3, 4))
    begun[0] = VOLUME[0]
    asked.token = begun.token
    begun.release()
    if is_same:
        with asked.reopen() as sink:
            assert sink.write_units == (1, 3, 4)
            sink[1] = VOLUME[1]
            np.testing.assert_array_equal(sink[0], VOLUME[0])
    else:
        with pytest.raises(UnreadableFileError, match=r"in chunks of \(1, 3, 4\), not .* in chunks of \(2, 2, 2\)"):
            asked.reopen()
