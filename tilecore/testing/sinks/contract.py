"""SinkContract: what every kind of file that is written must do."""

from __future__ import annotations

from tilecore.testing.sinks.files import FileContract
from tilecore.testing.sinks.runs import RunContract
from tilecore.testing.sinks.writers import WriterContract

__all__ = ["SinkContract"]


class SinkContract(FileContract, WriterContract, RunContract):
    """Test a sink: derive a class whose name begins with ``Test``, and say how its files are called and read.

    The sink is made by `create_sink`, as a user would: it must be registered among the entry points
    ``tilecore.sinks``, a reader of the same suffix among ``tilecore.readers``, and its package installed.

    Attributes
    ----------
    name : str
        Name of a file, such as ``"volume.nrrd"``.
    options : dict
        Further options of `create_sink`, such as chunks. Default: none.
    dtypes : sequence of str
        Of uint8, uint16, int16 and float32, those that the kind of file holds. Default: all; uint16 is needed.
    keeps_voxel_size : bool
        Whether the file has a place for the voxel size. Default: True.
    beside : sequence of str
        Names of files that the sink writes beside it. Default: none.

    Examples
    --------
    >>> class TestNpy(SinkContract):
    ...     name = "volume.npy"
    ...     keeps_voxel_size = False
    ...
    ...     def read(self, path):
    ...         return np.load(path)
    """
