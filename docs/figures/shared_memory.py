"""How workers reach a volume: the bytes stay where they are, a descriptor travels."""

import pickle

from drawing import DARK, GREY, LIGHT, LOOK, PALE, arrow, box, sheet

from tilecore import SharedArray

with SharedArray((16, 256, 256), "uint16") as shared:
    n_bytes, n_voxels = len(pickle.dumps(shared)), shared.size

figure, axes = sheet(7.6, 4.0)
box(axes, (0.2, 2.85), (2.3, 0.95), "calling process\nSharedArray", facecolor=PALE)
box(axes, (5.1, 2.85), (2.3, 0.95), "worker\nblock = a view", facecolor=PALE)
box(axes, (1.7, 0.3), (4.2, 1.1), "memory without a name\n(one copy of all voxels)", facecolor=LIGHT, fontsize=12)
arrow(axes, (2.5, 3.32), (5.1, 3.32), color=LOOK)
axes.text(3.8, 3.55, f"descriptor: {n_bytes} bytes", ha="center", fontsize=10, color=LOOK)
axes.text(3.8, 3.05, "no voxel takes this way", ha="center", fontsize=10, color=GREY)
arrow(axes, (1.35, 2.85), (2.9, 1.4), color=DARK)
arrow(axes, (6.25, 2.85), (4.7, 1.4), color=DARK)
axes.text(1.25, 2.05, "mapped", ha="center", fontsize=10)
axes.text(6.3, 2.05, "mapped", ha="center", fontsize=10)
