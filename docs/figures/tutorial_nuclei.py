"""The picture of real nuclei that ``make demo`` makes."""

from pictures_of_blobs import show

from tilecore import detect_blobs, open_source
from tilecore.samples.nuclei import nuclei_path

search = {"min_sigma": 10, "max_sigma": 16, "num_sigma": 4, "threshold": 0.005}
with open_source(nuclei_path()) as nuclei:
    show(nuclei, detect_blobs(nuclei, **search, executor="serial"), width=7.0)
