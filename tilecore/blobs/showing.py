"""Tables of blobs as people look at them: in one line, as a table of pandas, in a notebook, and as a picture."""

from __future__ import annotations

import html
import os
from typing import TYPE_CHECKING

import numpy as np

from tilecore.array_types import OneSource
from tilecore.blobs.channels import channels_of
from tilecore.blobs.columns import Table
from tilecore.blobs.matching import match_blobs, usual_tolerance
from tilecore.blobs.placing import placed
from tilecore.errors import MissingDependencyError, ParameterError
from tilecore.formats.opening import open_source
from tilecore.output_file import finished
from tilecore.pictures.points import check_picture, figure_of_blobs

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["as_html", "as_pandas", "as_text", "picture_of"]

# Rows of a table that a notebook shows.
_ROWS = 10


def as_pandas(blobs: Table) -> pd.DataFrame:
    """Convert a table to a DataFrame with all its columns: see `tilecore.Blobs.to_pandas`."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingDependencyError("a DataFrame needs pandas: pip install pandas") from error
    return pd.DataFrame({name: blobs[name] for name in blobs.columns})


def as_text(blobs: Table) -> str:
    """Describe a table in one line."""
    size = "" if blobs.voxel_size_um is None else f", voxels of {blobs.voxel_size_um} um"
    found_none = not len(blobs) and blobs.largest_response is not None
    largest = f", the largest response is {blobs.largest_response:.4g}" if found_none else ""
    guess = "" if blobs.axes_guess is None else f", axes taken for {blobs.axes_guess}"
    return f"<{len(blobs)} blobs: {', '.join(blobs.columns)}{size}{largest}{guess}>"


def as_html(blobs: Table) -> str:
    """Write the first rows of a table in HTML, below a line that describes it."""
    names = [name for name in blobs.columns if not name.startswith("tile_")]
    columns = [[f"{value:.6g}" for value in blobs[name][:_ROWS].tolist()] for name in names]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    rows = "".join(f"<tr>{''.join(f'<td>{each}</td>' for each in row)}</tr>" for row in zip(*columns, strict=True))
    more = f"<p>and {len(blobs) - _ROWS} more</p>" if len(blobs) > _ROWS else ""
    return f"<p>{html.escape(as_text(blobs))}</p><table><tr>{head}</tr>{rows}</table>{more}"


def _time_of(blobs: Table, asked: int | None) -> int | None:
    """Time point of all blobs, or the one that is asked for; None if neither tells it."""
    times = np.unique(blobs["t"]).tolist() if "t" in blobs.columns else []
    if len(times) > 1:
        raise ParameterError.of("blobs", blobs, "a picture shows one time point: blobs.filter(t=(0, 0))")
    if times and asked not in (None, *times):
        raise ParameterError.of("time", asked, f"the blobs are of time point {int(times[0])}")
    return int(times[0]) if times else asked


def picture_of(
    blobs: Table,
    source: OneSource | None,
    path: str | os.PathLike[str] | None,
    truth: Table | None,
    tolerance_um: float | None,
    axes: str | None,
    time: int | None,
) -> Figure:
    """Draw the blobs on projections of their volume: see `tilecore.Blobs.picture`."""
    if path is not None:
        check_picture(path)
    opened = open_source(source) if isinstance(source, (str, os.PathLike)) else source
    time = _time_of(blobs, time)
    volumes = None if opened is None else channels_of(opened, None, time, axes).volumes
    pairs = shown = None
    if truth is not None:
        truth = truth.filter(t=(time, time)) if "t" in truth.columns else truth
        pairs = match_blobs(blobs, truth, usual_tolerance(blobs, truth) if tolerance_um is None else tolerance_um).pairs
        shown = placed(truth, blobs.voxel_size_um, blobs.origin_um)
    figure = figure_of_blobs(volumes, blobs, truth=shown, pairs=pairs)
    if path is not None:
        with finished(path) as partial:
            figure.savefig(partial)
    return figure
