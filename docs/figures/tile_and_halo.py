"""A volume cut into tiles: what one tile owns, and what its function gets.

``python docs/figures/tile_and_halo.py docs/pictures/tile-and-halo.svg`` draws the picture of README.rst.
"""

from drawing import DARK, GREY, LIGHT, LOOK, PALE, panels, rectangle, save_if_asked

from tilecore import TileGrid

grid = TileGrid((48, 64), (16, 16), halo=4)
inside, corner = grid.at((1, 1)), grid.at((2, 3))

figure, axes = panels(7.6, 4.0)
for tile in grid:
    (top, left), (bottom, right) = tile.write.start, tile.write.stop
    rectangle(axes, (top, bottom), (left, right), facecolor=PALE, edgecolor=GREY, linewidth=0.8)
for tile in (inside, corner):
    (top, left), (bottom, right) = tile.read.start, tile.read.stop
    rectangle(axes, (top, bottom), (left, right), facecolor=LIGHT, edgecolor=LOOK, linewidth=2, linestyle="--")
    (top, left), (bottom, right) = tile.write.start, tile.write.stop
    rectangle(axes, (top, bottom), (left, right), facecolor=DARK, edgecolor=DARK)
    axes.text((left + right) / 2, (top + bottom) / 2, "write\nbox", color="white", ha="center", va="center")

look = {"arrowstyle": "-", "color": GREY, "shrinkB": 0}
axes.annotate(
    "halo: voxels that are\nread, but belong to\nother tiles", (33.8, 17), (67, 12), arrowprops=look, va="center"
)
axes.annotate("read box: what the\nfunction gets", (36, 26), (67, 24), arrowprops=look, va="center")
axes.annotate("at the volume's edge\nthe halo ends", (64, 40), (67, 39), arrowprops=look, va="center")
axes.set(xlim=(-1, 89), ylim=(49, -1), aspect="equal")
axes.set_axis_off()
save_if_asked(figure)
