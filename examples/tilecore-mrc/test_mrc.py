"""The reader keeps tilecore's contract: run ``pytest`` once the package is installed."""

import struct

import pytest

from tilecore.testing import ReaderContract


class TestMrc(ReaderContract):
    voxel_size_um = (8e-4, 4e-4, 4e-4)

    def write(self, folder, volume):
        nz, ny, nx = volume.shape
        header = bytearray(1024 + 80)  # with an extended header of 80 bytes
        struct.pack_into("<4i", header, 0, nx, ny, nz, 6)
        struct.pack_into("<3i3f", header, 28, nx, ny, nz, 4 * nx, 4 * ny, 8 * nz)
        struct.pack_into("<3i", header, 64, 1, 2, 3)
        struct.pack_into("<i", header, 92, 80)
        struct.pack_into("4s4B", header, 208, b"MAP ", 0x44, 0x44, 0, 0)
        (folder / "volume.mrc").write_bytes(bytes(header) + volume.tobytes())
        return folder / "volume.mrc", {}


class TestBigEndianWithoutASize(ReaderContract):
    def write(self, folder, volume):
        nz, ny, nx = volume.shape
        header = bytearray(1024)
        struct.pack_into(">4i", header, 0, nx, ny, nz, 6)
        struct.pack_into("4s4B", header, 208, b"MAP ", 0x11, 0x11, 0, 0)
        (folder / "volume.rec").write_bytes(bytes(header) + volume.astype(">u2").tobytes())
        return folder / "volume.rec", {}


@pytest.mark.parametrize(("place", "value", "message"), [(208, b"PAM ", "no MRC file"), (12, b"\7\0\0\0", "mode 7")])
def test_what_is_not_read_is_refused(tmp_path, place, value, message):
    from tilecore import UnreadableFileError, open_source
    from tilecore.testing.readers import volume

    path, _ = TestMrc().write(tmp_path, volume())
    with path.open("r+b") as file:
        file.seek(place)
        file.write(value)
    with pytest.raises(UnreadableFileError, match=message):
        open_source(path)
