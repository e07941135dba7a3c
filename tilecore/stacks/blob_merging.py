"""Merging of blobs as in MagellanMapper: the blobs of all sub-ROIs in one table."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tilecore.errors import ParameterError

__all__ = ["merge_blobs"]


def merge_blobs(blob_rois: npt.NDArray[np.object_]) -> npt.NDArray[Any] | None:
    """Merge the blobs of all sub-ROIs into one table that tells where each was found.

    Parameters
    ----------
    blob_rois : ndarray of object, shape (n_z, n_y, n_x)
        For each sub-ROI an array, shape (n_blobs, n_columns), or None if it has no blob.

    Returns
    -------
    ndarray, shape (n_all_blobs, n_columns + 3), or None
        The original columns, then the sub-ROI's position z, y, x; None if there is no
        blob. A blob in an overlap occurs once for each sub-ROI that found it.

    Raises
    ------
    ParameterError
        If an entry is not a table, or tables have different numbers of columns.

    References
    ----------
    .. [1] Name and meaning from ``magmap.cv.chunking``.

    Examples
    --------
    >>> rois = np.empty((1, 1, 2), dtype=object)
    >>> rois[0, 0, 1] = np.array([[5.0, 6.0, 7.0]])
    >>> merge_blobs(rois).tolist()
    [[5.0, 6.0, 7.0, 0.0, 0.0, 1.0]]
    """
    tables = []
    for index, found in np.ndenumerate(blob_rois):
        if found is None or np.size(found) == 0:
            continue
        blobs = np.asarray(found)
        if blobs.ndim != 2:
            raise ParameterError.of(f"blob_rois[{index}]", blobs.shape, "must be a table of shape (n_blobs, n_columns)")
        tables.append(np.concatenate([blobs, np.tile(np.array(index), (len(blobs), 1))], axis=1))
    if len({table.shape[1] for table in tables}) > 1:
        widths = sorted({table.shape[1] - blob_rois.ndim for table in tables})
        raise ParameterError.of("blob_rois", widths, "all tables must have the same number of columns")
    return np.concatenate(tables) if tables else None
