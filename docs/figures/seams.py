"""Where a Gaussian filter, run tile by tile, differs from the same filter on the whole volume."""

import numpy as np
from drawing import DARK, panels
from scipy.ndimage import gaussian_filter

from tilecore import map_tiles
from tilecore.samples.synthetic import SyntheticNuclei

volume = SyntheticNuclei((8, 128, 128), seed=3)[:, :, :].astype("float32")
whole = gaussian_filter(volume, 2)

figure, both = panels(7.6, 4.0, columns=2)
for panel, halo in zip(both, (2, 8), strict=True):
    tiled = map_tiles(
        gaussian_filter, volume, kwargs={"sigma": 2}, tile_shape=(8, 32, 32), halo=halo, executor="serial"
    )
    wrong = np.abs(tiled - whole).max(axis=0)
    panel.imshow(wrong, cmap="Greys", vmin=0, vmax=1)
    share = (
        f"{100 * (tiled != whole).mean():.0f} % of the voxels differ" if (tiled != whole).any() else "no voxel differs"
    )
    panel.set_title(f"halo={halo}: {share}", fontsize=12, color=DARK)
    panel.set(xticks=range(0, 129, 32), yticks=range(0, 129, 32))
    for spine in panel.spines.values():
        spine.set_visible(True)
both[0].set(xlabel="x [voxel]; tiles are 32 long", ylabel="y [voxel]")
both[1].set(xlabel="x [voxel]")
