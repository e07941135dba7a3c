"""Small tiles read much of the volume twice, large tiles need much memory: what a plan weighs."""

from drawing import DARK, GREY, LOOK, panels

from tilecore import TileCosts, plan_tiles

shape, halo, budget = (512, 1024, 1024), 12, "4GB"
costs = TileCosts(bytes_per_voxel=40)
edges = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
extra = [100 * (((edge + 2 * halo) / edge) ** 3 - 1) for edge in edges]
memory = [costs.needed_bytes((edge + 2 * halo) ** 3) / 2**20 for edge in edges]
plan = plan_tiles(shape, "float32", halo=halo, max_memory=budget, workers=4, costs=costs)

figure, axes = panels(7.6, 4.0)
axes.loglog(memory, extra, color=DARK, marker="o", linewidth=1.5)
for edge, x, y in zip(edges, memory, extra, strict=True):
    if edge in (16, 32, 64, 128, 256, 512):
        axes.annotate(f"{edge}³", (x, y), xytext=(6, 6), textcoords="offset points", fontsize=10)
chosen = plan.tile_bytes / 2**20, 100 * plan.halo_overhead
axes.plot(*chosen, marker="D", markersize=10, color=LOOK)
text = f"chosen: {' x '.join(map(str, plan.grid.tile_shape))},\n{plan.workers} workers at once"
axes.annotate(text, chosen, xytext=(-14, -26), textcoords="offset points", color=LOOK, ha="right")
limit = 4e9 / plan.workers / 2**20
axes.axvline(limit, color=GREY, linestyle="--")
axes.text(limit * 1.06, 300, "a worker's part\nof the memory", color=GREY, fontsize=10)
axes.set(ylim=(6, 3000), xlabel="memory of one worker [MiB]", ylabel="read more than written [%]")
