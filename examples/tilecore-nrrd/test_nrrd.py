"""Sink and reader keep tilecore's contracts: run ``pytest`` once the package is installed."""

import numpy as np
import pytest

from tilecore import ParameterError, UnreadableFileError, create_sink, open_source
from tilecore.testing import ReaderContract, SinkContract


class TestNrrdSink(SinkContract):
    name = "volume.nrrd"

    def read(self, path):
        header, _, voxels = path.read_bytes().partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in header.decode().splitlines()[1:])
        shape = [int(length) for length in fields["sizes"].split()][::-1]
        return np.frombuffer(voxels, {"float": "float32"}.get(fields["type"], fields["type"])).reshape(shape)


class TestNrrdReader(ReaderContract):
    voxel_size_um = (2.0, 0.5, 0.25)

    def write(self, folder, volume):
        lines = ["NRRD0004", "# by hand", "type: unsigned short", "dimension: 3", "sizes: 53 41 12", "encoding: raw"]
        lines += ["endian: big", 'space units: "nm" "um" "mm"', "space directions: (250,0,0) (0,0.3,0.4) (0,0,0.002)"]
        (folder / "volume.nrrd").write_bytes("\n".join([*lines, "", ""]).encode() + volume.astype(">u2").tobytes())
        return folder / "volume.nrrd", {}


def test_axes_that_are_not_space(tmp_path):
    with create_sink(tmp_path / "v.nrrd", (2, 3, 4, 5), "f4", axes="CZYX", voxel_size_um=(3, 2, 1)) as sink:
        sink[...] = 7
    source = open_source(tmp_path / "v.nrrd")
    assert (source.axes, source.voxel_size_um, float(source[1, 2, 3, 4])) == ("CZYX", (3, 2, 1), 7)


def test_what_is_not_written_or_read_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="dtype='complex64'"):
        create_sink(tmp_path / "v.nrrd", (2, 3, 4), "c8")
    with pytest.raises(ParameterError, match="no empty volumes"):
        create_sink(tmp_path / "v.nrrd", (2, 0, 4), "u1")
    (tmp_path / "v.nrrd").write_text("NRRD0004\ntype: float\nsizes: 2 2\nencoding: gzip\n\n")
    with pytest.raises(UnreadableFileError, match="compressed"):
        open_source(tmp_path / "v.nrrd")
