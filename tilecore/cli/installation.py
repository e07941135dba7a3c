"""The installation: versions of the packages that tilecore needs, and of those that it can use."""

from __future__ import annotations

import platform
import re
from collections import Counter
from dataclasses import dataclass
from importlib import metadata

from tilecore import __version__

__all__ = ["OptionalPackage", "optional_packages", "versions"]

# The extra that has all packages that add abilities; other extras are for developers.
_EVERYTHING = "all"


@dataclass(frozen=True)
class OptionalPackage:
    """A package that tilecore can use.

    Attributes
    ----------
    name, extra : str
        Names of the package, and of the extra that brings it.
    version : str or None
        None if it is not installed.
    """

    name: str
    extra: str
    version: str | None

    @property
    def command(self) -> str:
        """Command that installs it."""
        return f'pip install "tilecore[{self.extra}]"'


def versions() -> dict[str, str | None]:
    """Versions of tilecore, Python, and the packages that tilecore needs; None of what is not installed."""
    own = {"tilecore": __version__, "python": platform.python_version()}
    return own | {name: _version(name) for name, extra in _requirements() if extra is None}


def optional_packages() -> list[OptionalPackage]:
    """Packages that tilecore can use; each with the smallest extra that brings it."""
    needed = _requirements()
    sizes = Counter(extra for _, extra in needed)
    wanted = [name for name, extra in needed if extra == _EVERYTHING]
    extras = {name: [extra for other, extra in needed if other == name and extra] for name in wanted}
    return [OptionalPackage(name, min(extras[name], key=sizes.__getitem__), _version(name)) for name in wanted]


def _requirements() -> list[tuple[str, str | None]]:
    """Packages that the installed tilecore names, each with its extra; None of those that it always needs."""
    try:
        lines = metadata.requires("tilecore") or []
    except metadata.PackageNotFoundError:  # run from the folder of its sources
        return []
    extras = [re.search(r"""\bextra == ["']([\w-]+)["']""", line) for line in lines]
    names = [re.match(r"[\w.-]+", line) for line in lines]
    return [(name[0], extra and extra[1]) for name, extra in zip(names, extras, strict=True) if name]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
