"""The picture that the tutorial's ``tilecore blobs`` makes."""

from pictures_of_blobs import show

from tilecore import detect_blobs
from tilecore.samples.synthetic import SyntheticNuclei

volume = SyntheticNuclei((32, 256, 256), seed=0)[:, :, :]
search = {"min_sigma": 2, "max_sigma": 4, "num_sigma": 5, "threshold": 0.001}
show(volume, detect_blobs(volume, **search, executor="serial"), width=7.0)
