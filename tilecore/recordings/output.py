"""Where a caller wants results to go: into a file, or into a list."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tilecore.errors import ParameterError, UnwritableFileError
from tilecore.formats.raw_layout import read_yaml, yaml_path

__all__ = ["IfFileExists", "Mode", "Output", "check_if_file_exists"]

#: Where results go: into a file, or into a list.
Mode: TypeAlias = Literal["disk", "memory"]
#: What becomes of an output that exists: it is replaced, refused, or taken as the result.
IfFileExists: TypeAlias = Literal["overwrite", "abort", "skip"]


@dataclass(frozen=True)
class Output:
    """Where a caller wants the results.

    Attributes
    ----------
    mode : Mode
    path : path_like or None
    if_file_exists : IfFileExists
    source : path_like
        The recording.

    Raises
    ------
    ParameterError
        If `Mode` or `IfFileExists` has no such value, or "disk" has no path.
    """

    mode: Mode
    path: str | os.PathLike[str] | None
    if_file_exists: IfFileExists
    source: str | os.PathLike[str]

    def __post_init__(self) -> None:
        if self.mode not in ("disk", "memory"):
            raise ParameterError.of("mode", self.mode, "'disk' or 'memory'")
        if self.mode == "disk" and self.path is None:
            raise ParameterError.of("output_path", None, "mode 'disk' needs one")
        if self.mode == "disk":
            check_if_file_exists(self.if_file_exists)

    def existing(self) -> dict[str, Any] | None:
        """Look at the path before any work.

        Returns
        -------
        dict or None
            The parameters of a file that is taken as the result; None if one is to be made.

        Raises
        ------
        ParameterError
            If it is the recording itself, no file can have the name, or a file is there that must not be; one that is
            taken as the result needs its ``.yaml`` file.
        UnwritableFileError
            If its folder cannot be written into.
        """
        assert self.path is not None
        _check_output(self.path, self.source)
        if self.if_file_exists == "overwrite" or not os.path.exists(self.path):
            return None
        name, parameters = str(self.path), yaml_path(self.path)
        if self.if_file_exists == "abort":
            raise ParameterError.of("output_path", name, "exists already, and if_file_exists='abort'")
        if not parameters.is_file():
            raise ParameterError.of("output_path", name, f"exists, but {parameters}, which tells of it, does not")
        return read_yaml(parameters)


def check_if_file_exists(if_file_exists: str) -> None:
    """Refuse what is no `IfFileExists`."""
    if if_file_exists not in ("overwrite", "abort", "skip"):
        raise ParameterError.of("if_file_exists", if_file_exists, "'overwrite', 'abort' or 'skip'")


def _check_output(path: str | os.PathLike[str], source: str | os.PathLike[str]) -> None:
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise ParameterError.of("output_path", str(path), f"there is no folder {folder}")
    if os.path.isdir(path):
        raise ParameterError.of("output_path", str(path), "is a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UnwritableFileError(f"output_path={path}: nothing can be written into {folder}")
    if os.path.exists(path) and os.path.samefile(path, source):
        raise ParameterError.of("output_path", str(path), "is the recording itself")
    parameters = os.path.abspath(yaml_path(source))
    if parameters in (os.path.abspath(path), os.path.abspath(yaml_path(path))):
        raise ParameterError.of("output_path", str(path), f"{parameters} tells of the recording, and of nothing else")
