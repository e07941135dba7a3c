"""Names of ``minian.utilities`` for labelled arrays on disk."""

from tilecore.datasets import concat_labelled as xrconcat_recursive
from tilecore.datasets import open_dataset as open_minian
from tilecore.datasets import open_datasets as open_minian_mf
from tilecore.datasets import save_variable as save_minian
from tilecore.datasets import update_metadata as update_meta

__all__ = [
    "open_minian",
    "open_minian_mf",
    "save_minian",
    "update_meta",
    "xrconcat_recursive",
]
