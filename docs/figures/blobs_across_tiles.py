"""Blobs near the border of two tiles: each belongs to the tile whose write box holds its centre."""

import numpy as np
from drawing import LOOK, panels

from tilecore import TileGrid, detect_blobs, halo_for
from tilecore.samples.synthetic import SyntheticNuclei

volume = SyntheticNuclei((16, 64, 128), seed=5)[:, :, :]
search = {"min_sigma": 2, "max_sigma": 3, "num_sigma": 2}
tile_shape = (16, 64, 64)
blobs = detect_blobs(volume, **search, threshold=0.001, tile_shape=tile_shape, executor="serial")
halo = halo_for(**search)
left = TileGrid(volume.shape, tile_shape, halo).at((0, 0, 0))

figure, axes = panels(7.6, 4.6)
axes.imshow(volume.max(axis=0), cmap="Greys", vmin=100, vmax=900)
marks = {0: ("o", "white", "found by the left tile"), 1: ("s", LOOK, "found by the right tile")}
for number, (marker, colour, label) in marks.items():
    mine = blobs[blobs["tile_x"] == number]
    axes.scatter(mine["x"], mine["y"], s=60, marker=marker, facecolor=colour, edgecolor="black", label=label)
axes.axvline(left.write.stop[2] - 0.5, color="black", linewidth=2, label="where the tiles meet")
edge = np.array([left.read.stop[2], left.read.stop[2]]) - 0.5
axes.plot(edge, [-0.5, 63.5], color=LOOK, linewidth=2, linestyle="--", label="how far the left tile reads")
axes.set(xlabel="x [voxel]", ylabel="y [voxel]", xlim=(20, 108), ylim=(63.5, -0.5))
axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2, frameon=False)
