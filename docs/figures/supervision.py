"""Who watches whom in a run."""

from drawing import DARK, GREY, LIGHT, LOOK, PALE, arrow, box, sheet

figure, axes = sheet(7.6, 4.2)
box(axes, (0.2, 1.5), (2.3, 1.5), "calling process\n\nhands out tiles,\nwatches, decides", facecolor=LIGHT)
for number, bottom in enumerate((3.0, 1.75, 0.5)):
    box(axes, (4.9, bottom), (2.4, 0.9), f"worker {number}\nruns the function", facecolor=PALE)
    arrow(axes, (2.5, 2.25 + 0.35 * (1 - number)), (4.9, bottom + 0.55), arrowstyle="<|-|>")
axes.text(3.55, 3.65, "one channel each:\ntile numbers go,\nshort reports come", ha="center", va="center", fontsize=10)
arrow(axes, (4.9, 0.72), (1.35, 1.5), color=LOOK, linestyle="--", connectionstyle="arc3,rad=-0.22")
axes.text(
    2.75, 0.35, "pidfd: readable at once\nwhen the worker dies", ha="center", va="center", fontsize=10, color=LOOK
)
box(axes, (0.2, 3.35), (2.3, 0.6), "journal, on the disk", facecolor="white", edgecolor=GREY)
arrow(axes, (1.35, 3.0), (1.35, 3.35), color=GREY)
axes.text(1.5, 3.16, "finished tiles", fontsize=10, color=DARK, va="center")
