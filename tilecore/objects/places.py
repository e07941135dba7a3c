"""Partial outputs in an object store: each run writes below a name of its own, and copies what is complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self

from tilecore.errors import MissingFileError, OutputExistsError, UnwritableFileError
from tilecore.objects.claims import Claim
from tilecore.objects.documents import DOCUMENTS
from tilecore.objects.paths import ObjectPath, is_complete, unfinished
from tilecore.objects.requests import tidying
from tilecore.objects.store import ObjectStore
from tilecore.output_file import PARTIAL, Place, new_token

__all__ = ["ObjectPlace", "place_kind"]


def place_kind(path: Path) -> type[Place]:
    """The kind of place in which an output of this path is written."""
    return ObjectPlace if isinstance(path, ObjectPath) else Place


class ObjectPlace(Place):
    """The place of an output in an object store: a folder that is no folder, but the beginning of keys.

    A claim stands for the lock. As objects cannot be renamed, `commit` lets the store copy them, metadata last.
    """

    def __init__(self, path: Path, token: str) -> None:
        super().__init__(path, token)
        self._written, self._final = ObjectStore(str(self.data)), ObjectStore(str(path))
        self._claim = Claim(f"{self.folder}/claim")

    @classmethod
    def create(cls, path: Path, token: str | None = None, *, alone: bool = False) -> Self:
        """Begin a new place, and remove what runs have left that are known to have ended; see `Place.create`."""
        for other in cls._all(path):
            other._remove_abandoned()
        place = cls(path, token or new_token())
        place._claim.take()
        if alone:
            others = [each.folder for each in cls._all(path) if each.token != place.token and each._claim.is_held]
            if others:
                place.discard()
                raise UnwritableFileError(
                    f"{path} is being written already, in {others[0]}: use another name, or remove that if no run is "
                    "going on"
                )
        return place

    @classmethod
    def open(cls, path: Path, token: str) -> Self:
        """Open the place that another process, or an earlier run, has begun."""
        place = cls(path, token)
        place._check_there()
        return place

    @classmethod
    def resume(cls, path: Path, token: str) -> Self:
        """Take over the place that an earlier run has left."""
        place = cls.open(path, token)
        try:
            place._claim.take()
        except BlockingIOError as error:
            raise UnwritableFileError(f"{place.folder} is {error}") from error
        return place

    def commit(self, *, overwrite: bool = False) -> None:
        """Let the store copy the complete output to its final name, its metadata last, and remove the place.

        An old output is removed before, its metadata first: so whoever reads the name finds the old one, nothing, or
        the new one. If the process ends meanwhile, the place is still whole.
        """
        self._check_there()
        claim = unfinished(self.path)
        try:
            claim.take()
        except BlockingIOError as error:
            raise UnwritableFileError(f"{self.path} is {error}. The output of this run is in {self.data}") from error
        old = self._final.all_keys()
        is_left = claim.took_over and not is_complete(old)  # by a run that was stopped just here
        if old and not overwrite and not is_left:
            claim.remove()
            raise OutputExistsError(
                f"{self.path} exists already; choose another name, or overwrite it (overwrite=True). The output of "
                f"this run is in {self.data}"
            )
        try:
            self._move(old)
        except BaseException:
            with tidying(f"{self.path}.unfinished"):
                claim.let_go()  # what lies there is incomplete, as every later run is told
            raise
        claim.remove()
        self.discard()

    def close(self) -> None:
        """Say that nobody uses the place; it stays, for a later run."""
        with tidying(str(self.folder)):
            self._claim.let_go()

    def discard(self) -> None:
        """Remove all that lies in the place, the claim last."""
        with tidying(str(self.folder)):
            self._written.remove(self._written.all_keys())
            self._claim.remove()

    def _move(self, old: list[str]) -> None:
        """Replace an old output, which is not visible any more once its outer metadata are gone."""
        for keys in _by_depth(old):
            self._final.remove(keys)
        for keys in reversed(_by_depth(self._written.all_keys())):
            self._written.copy(keys, self._final)

    def _check_there(self) -> None:
        if not self._claim.exists:
            raise MissingFileError(f"{self.folder} no longer exists: {self.path} is complete, or its run was stopped")

    def _remove_abandoned(self) -> None:
        if not self._claim.is_held:
            self.discard()

    @classmethod
    def _all(cls, path: Path) -> list[Self]:
        """All places of an output, in use or left by runs that were stopped."""
        name = re.compile(re.escape(path.name) + PARTIAL)
        found = [name.fullmatch(each) for each in ObjectStore(str(path.parent)).folders()]
        return [cls(path, match[1]) for match in found if match]


def _by_depth(keys: list[str]) -> list[list[str]]:
    """Metadata documents by their depth, the outermost first; then all other keys."""
    is_document = {key: key.rpartition("/")[2] in DOCUMENTS for key in keys}
    depths = sorted({key.count("/") for key in keys if is_document[key]})
    documents = [[key for key in keys if is_document[key] and key.count("/") == depth] for depth in depths]
    return [*documents, [key for key in keys if not is_document[key]]]
