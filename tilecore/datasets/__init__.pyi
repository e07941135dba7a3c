from .concatenating import concat_labelled
from .joining import LabelsDifferWarning
from .listing import VariableInfo, list_variables
from .opening import open_dataset
from .rechunking import rechunk_dataset
from .saving import save_variable
from .several import open_datasets
from .updating import update_metadata

__all__ = [
    "LabelsDifferWarning",
    "VariableInfo",
    "concat_labelled",
    "list_variables",
    "open_dataset",
    "open_datasets",
    "rechunk_dataset",
    "save_variable",
    "update_metadata",
]
