"""Table of the kinds of files: how each is recognized, read and written. A new kind is one row and one module."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from tilecore import plugins

__all__ = [
    "KINDS",
    "READERS",
    "SINKS",
    "Kind",
    "kind_of_signature",
    "kind_of_suffix",
    "kind_to_write",
    "known_suffixes",
    "last_suffix",
    "split_place",
    "written_suffixes",
]

#: Where packages register kinds of files that are read, and that are written, each by its suffix without the dot.
READERS, SINKS = "tilecore.readers", "tilecore.sinks"


@dataclass(frozen=True)
class Kind:
    """One kind of file: its suffixes, its reader and its sink.

    Attributes
    ----------
    suffixes : tuple of str
        Suffixes in lower case; if several kinds fit a name, the first one is used.
    reader : str
        Reference of ``open(path, **options)``, which returns a `Reader`.
    options : tuple of str
        Options of `open_source` that the reader takes.
    signatures : tuple of bytes
        First bytes of such a file, to tell a wrong suffix from a damaged file.
    sink : str, optional
        Reference of the `FileSink` that writes it.
    written : tuple of str, optional
        Suffixes that can be written. Default: all.
    has_user_block : bool
        Whether the first bytes may stand behind 512, 1024, 2048, ... bytes of something else.
    """

    suffixes: tuple[str, ...]
    reader: str
    options: tuple[str, ...] = ()
    signatures: tuple[bytes, ...] = ()
    sink: str | None = None
    written: tuple[str, ...] | None = None
    has_user_block: bool = False


_SEVERAL = ("series", "level", "missing_chunks")
_OF_ZARR = (*_SEVERAL, "dataset")
_ZARR = "tilecore.formats.zarr.reader:open_zarr"

#: Kinds of files by name. Other packages add kinds by `READERS` and `SINKS`; these suffixes stay tilecore's.
KINDS = {
    "npy": Kind(
        (".npy",), "tilecore.formats.npy:open_npy", signatures=(b"\x93NUMPY",), sink="tilecore.formats.npy:NpySink"
    ),
    "raw": Kind(
        (".raw", ".bin", ".dat"),
        "tilecore.formats.raw:open_raw",
        ("shape", "dtype", "offset", "order"),
        sink="tilecore.formats.raw:RawSink",
    ),
    "tiff": Kind(
        (".tif", ".tiff", ".btf", ".tf8", ".tf2", ".lsm", ".svs"),
        "tilecore.formats.tiff.reader:open_tiff",
        _SEVERAL,
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        "tilecore.formats.tiff.sink:TiffSink",
        (".tif", ".tiff"),
    ),
    "planes": Kind((), "tilecore.formats.planes.reader:open_planes", ("missing_chunks",)),
    "ome-zarr": Kind((".ome.zarr",), _ZARR, _OF_ZARR, (b"PK\3\4",), "tilecore.formats.zarr.ome_sink:OmeZarrSink"),
    "zarr": Kind(
        (".zarr", ".zip", ".ozx"), _ZARR, _OF_ZARR, (b"PK\3\4",), "tilecore.formats.zarr.sink:ZarrSink", (".zarr",)
    ),
    "hdf5": Kind(
        (".h5", ".hdf5", ".hdf"),
        "tilecore.formats.hdf5.reader:open_hdf5",
        ("dataset",),
        (b"\x89HDF",),
        "tilecore.formats.hdf5.sink:Hdf5Sink",
        (".h5", ".hdf5"),
        has_user_block=True,
    ),
    "imaris": Kind(
        (".ims",), "tilecore.formats.hdf5.imaris:open_imaris", ("level",), (b"\x89HDF",), has_user_block=True
    ),
    "n5": Kind((".n5",), "tilecore.formats.zarr.n5:open_n5", ("level", "missing_chunks")),
}

# Suffixes of files and folders that hold several arrays, each with a path of its own.
_HOLDING = "|".join(
    re.escape(suffix) for kind in KINDS.values() if "dataset" in kind.options for suffix in kind.suffixes
)
_IN_FILE = re.compile(rf"(?P<file>.+(?:{_HOLDING})):/?(?P<dataset>.*)", re.IGNORECASE)


def known_suffixes() -> list[str]:
    """List the suffixes of all files that can be read: tilecore's, then those of other packages."""
    own = [suffix for kind in KINDS.values() for suffix in kind.suffixes]
    return own + [f".{name}" for name in plugins.names(READERS) if f".{name}" not in own]


def written_suffixes() -> list[str]:
    """List the suffixes of files that can be written: tilecore's, then those of other packages."""
    own = [suffix for _, suffix in _written()]
    return own + [f".{name}" for name in plugins.names(SINKS) if f".{name}" not in own]


def last_suffix(name: str) -> str:
    """What stands behind the last dot of a file's name, in lower case."""
    return os.path.splitext(name)[1].lower().lstrip(".")


def kind_of_suffix(name: str) -> str:
    """Kind of file that a suffix stands for; for an unknown suffix, the suffix itself without the dot."""
    known = [(kind, suffix) for kind, row in KINDS.items() for suffix in row.suffixes]
    return _first_that_fits(name, known) or last_suffix(name)


def kind_of_signature(start: bytes) -> str | None:
    """Kind of files that begin with these bytes; None if there is none."""
    return next((name for name, kind in KINDS.items() if kind.signatures and start.startswith(kind.signatures)), None)


def kind_to_write(name: str) -> Kind | None:
    """The kind of tilecore's own that is written under a name; None if none has this suffix."""
    found = _first_that_fits(name, _written())
    return None if found is None else KINDS[found]


def split_place(path: str) -> tuple[str, str]:
    """Split ``file.h5:/path/in/file`` into the file and the place in it, also of zarr; other names have no place."""
    match = _IN_FILE.fullmatch(path)
    if match is None or os.path.exists(path):
        return path, ""
    return match["file"], "/".join([part for part in match["dataset"].split("/") if part not in ("", ".")])


def _written() -> list[tuple[str, str]]:
    """Kinds and suffixes that are written; a list, as Ctrl-C while a generator is dropped would be lost."""
    return [(name, suffix) for name, kind in KINDS.items() if kind.sink for suffix in kind.written or kind.suffixes]


def _first_that_fits(name: str, known: list[tuple[str, str]]) -> str | None:
    return next((kind for kind, suffix in known if name.lower().endswith(suffix)), None)
