"""Tests of searches in parts: the table is that of the whole search, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blobs.volumes import textured
from tests.cli.commands import one_line_of, run
from tilecore import Blobs, JournalError, ParameterError, declare, detect_blobs, finish

VOLUME = textured((12, 40, 44), np.uint16)
RUN: dict[str, Any] = {"executor": "serial", "progress": False}
LOG: dict[str, Any] = {"min_sigma": 1.2, "max_sigma": 3.5, "num_sigma": 3, "threshold": 1e-4}


@declare(halo=2, columns=["brightness"])
def bright(block: np.ndarray) -> np.ndarray:
    """The voxels that are brightest of all within two voxels."""
    found = np.argwhere(block > 0.9 * block.max())
    return np.column_stack([found, block[tuple(found.T)]])


def same_table(first: Blobs, second: Blobs) -> bool:
    """Whether two tables have the same columns, those of the tiles too, the same bytes, and tell the same."""
    told = [(each.columns, each.table.tobytes(), each.tile_edges, each.largest_response) for each in (first, second)]
    also = [(each.shape, each.voxel_size_um, each.origin_um, each.axes_guess) for each in (first, second)]
    return told[0] == told[1] and also[0] == also[1]


@pytest.mark.parametrize(
    "search",
    [
        LOG,
        LOG | {"tile_shape": None, "voxel_size_um": (2, 1, 1)},
        LOG | {"overlap": 0.1, "exclude_border": 2},
        LOG | {"min_sigma": (1, 2, 2), "max_sigma": (2, 3, 3)},
        LOG | {"threshold": 10.0},
        LOG | {"mask": np.greater(VOLUME, np.median(VOLUME))},
        {"detector": "dog", "min_sigma": 1.2, "max_sigma": 3.5, "threshold": 1e-4},
        {"detector": bright},
        {"detector": bright, "mask": np.zeros_like(VOLUME)},
    ],
)
def test_all_parts_together_are_the_search(search: dict[str, Any], tmp_path: Path) -> None:
    options = {"tile_shape": (12, 17, 17), **search, **RUN}
    whole = detect_blobs(VOLUME, **options)
    for number in (3, 1, 2):
        detect_blobs(VOLUME, journal=tmp_path / "cells", shard=(number, 3), **options)
    assert same_table(finish(tmp_path / "cells"), whole)


def test_blobs_that_lie_on_a_border_of_parts_are_pruned_when_all_is_done(tmp_path: Path) -> None:
    options: dict[str, Any] = {"tile_shape": (12, 10, 44), "overlap": 0.0, **LOG, **RUN}
    parts = [detect_blobs(VOLUME, journal=tmp_path / "cells", shard=(number, 4), **options) for number in range(1, 5)]
    whole = finish(tmp_path / "cells")
    assert isinstance(whole, Blobs)
    assert sum(map(len, parts)) > len(whole)
    assert whole == detect_blobs(VOLUME, **options)


def test_hosts_of_other_sizes_search_the_tiles_of_the_first(tmp_path: Path) -> None:
    """Which tiles suit a host depends on its memory and its cores."""
    detect_blobs(VOLUME, journal=tmp_path / "cells", shard=(1, 2), max_memory="6MB", **LOG, **RUN)
    detect_blobs(
        VOLUME, journal=tmp_path / "cells", shard=(2, 2), max_memory="1GB", executor="threads", workers=2, **LOG
    )
    assert finish(tmp_path / "cells") == detect_blobs(VOLUME, **LOG, **RUN)


def test_one_of_several_channels_at_one_of_several_times(tmp_path: Path) -> None:
    several = np.stack([[VOLUME, VOLUME[::-1]], [VOLUME[:, ::-1], VOLUME[:, :, ::-1]]])
    options: dict[str, Any] = {"axes": "TCZYX", "tile_shape": 17, **LOG, **RUN}
    for number in (1, 2):
        detect_blobs(several, time=1, channel=1, journal=tmp_path / "cells", shard=(number, 2), **options)
    assert same_table(finish(tmp_path / "cells"), detect_blobs(several, time=1, channel=1, **options))
    with pytest.raises(ParameterError, match=r"shard: parts search one channel at one time: give channel"):
        detect_blobs(several, journal=tmp_path / "all", shard=(1, 2), **options)


def test_what_cannot_be_searched_in_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="give the threshold"):
        detect_blobs(VOLUME, threshold_rel=0.1, journal=tmp_path / "cells", shard=(1, 2), **RUN)
    with pytest.raises(ParameterError, match="give journal= a path"):
        detect_blobs(VOLUME, shard=(1, 2), **LOG, **RUN)
    assert not list(tmp_path.iterdir())


def test_another_search_is_refused(tmp_path: Path) -> None:
    """Also if it differs in what is done when all parts are done."""
    detect_blobs(VOLUME, journal=tmp_path / "cells", shard=(1, 2), tile_shape=17, **LOG, **RUN)
    for other in ({"overlap": 0.1}, {"threshold": 2e-4}, {"voxel_size_um": 2.0}):
        with pytest.raises(JournalError, match="belongs to another run"):
            detect_blobs(
                VOLUME,
                journal=tmp_path / "cells",
                shard=(2, 2),
                **({"tile_shape": 17} | LOG | RUN | other),
            )


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    np.save(tmp_path / "volume.npy", VOLUME)
    return tmp_path / "volume.npy"


def test_the_command_writes_the_table_when_all_is_done(
    volume: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scales = ["--min-sigma", 1.2, "--max-sigma", 3.5, "--num-sigma", 3, "--threshold", 0.0001]
    words = ["blobs", volume, *scales, "--tile-shape", 17, "--executor", "serial", "-q"]
    for number in (2, 1):
        assert run(*words, "-o", tmp_path / "parts.csv", "--shard", f"{number}/2") == 0
    assert not (tmp_path / "parts.csv").exists()
    assert run("finish", tmp_path / "parts.csv") == 0
    assert run(*words, "-o", tmp_path / "whole.csv") == 0
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert run(*words, "-o", tmp_path / "parts.csv", "--shard", "2/2") == 0  # started again: it does nothing
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.csv", "volume.npy", "whole.csv"]
    capsys.readouterr()
    refused = run(*words, "-o", tmp_path / "o.csv", "--shard", "1/2", "--picture", tmp_path / "o.png")
    one_line_of(capsys, refused, "--picture", "no part knows all blobs")
    assert run(*words, "-o", tmp_path / "whole.csv", "--overwrite", "--shard", "1/1") == 0
    capsys.readouterr()
    one_line_of(capsys, run("finish", tmp_path / "whole.csv"), "whole.csv exists already", "--overwrite")
    assert run("finish", tmp_path / "whole.csv", "--overwrite") == 0
