"""Tiles and the chunks of a file: two tiles in one chunk lose data, tiles of whole chunks do not."""

from drawing import DARK, LOOK, PALE, panels, rectangle

from tilecore import TileGrid, plan_tiles

shape, chunks = (64, 64), (16, 16)
planned = plan_tiles(shape, "uint16", workers=2, write_units=chunks, max_memory="42kB").grid
cut_badly = TileGrid(shape, (24, 24))

figure, both = panels(7.6, 4.3, columns=2)
titles = "Tiles of 24 x 24: refused", f"Tiles of {planned.tile_shape[0]} x {planned.tile_shape[1]}: whole chunks"
for panel, title, grid in zip(both, titles, (cut_badly, planned), strict=True):
    for chunk in TileGrid(shape, chunks):
        (top, left), (bottom, right) = chunk.write.start, chunk.write.stop
        n_writers = sum(tile.write.intersection(chunk.write).size > 0 for tile in grid)
        colour = LOOK if n_writers > 1 else PALE
        rectangle(panel, (top, bottom), (left, right), facecolor=colour, edgecolor="white", linewidth=2)
        panel.text(left + 3.5, top + 5, n_writers, ha="center", fontsize=11)
    for tile in grid:
        (top, left), (bottom, right) = tile.write.start, tile.write.stop
        rectangle(panel, (top, bottom), (left, right), facecolor="none", edgecolor=DARK, linewidth=2.5)
    panel.set(xlim=(-1, 65), ylim=(65, -1), aspect="equal")
    panel.set_title(title, fontsize=12)
    panel.set_axis_off()
figure.text(
    0.5, 0.015, "squares: chunks, with the number of tiles that write them        dark lines: tiles", ha="center"
)
figure.get_layout_engine().set(rect=(0, 0.06, 1, 0.94))
