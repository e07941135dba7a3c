"""Partial outputs in an object store: each run writes below a name of its own, and copies what is complete."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tilecore.errors import MissingFileError, OutputExistsError, UnwritableFileError
from tilecore.objects.claims import Claim
from tilecore.objects.documents import in_order_of_removal, is_visible
from tilecore.objects.paths import ObjectPath, unfinished
from tilecore.objects.requests import tidying
from tilecore.objects.store import ObjectStore
from tilecore.output_file import PARTIAL, Place, new_token, places_of

__all__ = ["ObjectPlace", "all_places", "place_kind", "remove_left"]

_CLAIM = "claim"


def place_kind(path: Path) -> type[Place]:
    """The kind of place in which an output of this path is written."""
    return ObjectPlace if isinstance(path, ObjectPath) else Place


class ObjectPlace(Place):
    """The place of an output in an object store: a folder that is no folder, but the beginning of keys.

    A claim stands for the lock. As objects cannot be renamed, `commit` lets the store copy them, metadata last. They
    are removed metadata first: whoever finds the outermost ones finds all that was written.
    """

    def __init__(self, path: Path, token: str) -> None:
        super().__init__(path, token)
        self._written, self._final = ObjectStore(str(self.data)), ObjectStore(str(path))
        self._claim = Claim(f"{self.folder}/{_CLAIM}")

    @classmethod
    def create(cls, path: Path, token: str | None = None, *, alone: bool = False) -> Self:
        """Begin a new place, and remove what runs have left that are known to have ended; see `Place.create`."""
        remove_left(path)
        place = cls(path, token or new_token())
        place._claim.take()
        try:
            if alone:
                place._refuse_others()
        except BaseException:
            place.discard()
            raise
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
        try:
            self._move(overwrite=overwrite, is_left=claim.took_over)
        except BaseException as error:
            with tidying(f"{self.path}.unfinished"):
                # What lies there may be incomplete, as every later run is told, unless it was not touched.
                (claim.remove if isinstance(error, OutputExistsError) else claim.let_go)()
            raise
        with tidying(f"{self.path}.unfinished"):
            claim.remove()
        self.discard()

    def close(self) -> None:
        """Say that nobody uses the place; it stays, for a later run."""
        with tidying(str(self.folder)):
            self._claim.let_go()

    def discard(self) -> None:
        """Remove all that lies in the place, its outermost metadata first, and the claim last."""
        with tidying(str(self.folder)):
            place = ObjectStore(str(self.folder))
            _remove(place, [key for key in place.all_keys() if not key.startswith(f"{_CLAIM}/")])
            self._claim.remove()

    def _move(self, *, overwrite: bool, is_left: bool) -> None:
        """Replace an old output, which is not visible any more once its outer metadata are gone."""
        old, new = self._final.all_keys(), self._written.all_keys()
        if old and not overwrite and not (is_left and not is_visible(old)):  # by a run that was stopped just here
            raise OutputExistsError(
                f"{self.path} exists already; choose another name, or overwrite it (overwrite=True). The output of "
                f"this run is in {self.data}"
            )
        self._check_visible(new)
        _remove(self._final, old)
        for keys in reversed(in_order_of_removal(new)):
            self._written.copy(keys, self._final)

    def _refuse_others(self) -> None:
        others = [each.folder for each in self._all(self.path) if each.token != self.token and each._claim.is_held]
        if others:
            raise UnwritableFileError(
                f"{self.path} is being written already, in {others[0]}: use another name, or remove that if no run is "
                "going on"
            )

    def _check_there(self) -> None:
        self._check_visible(self._written.names() if self._claim.exists else [])

    def _check_visible(self, names: list[str]) -> None:
        """Raise unless the outermost metadata are there: a run that tidies up removes them first."""
        if not is_visible(names):
            raise MissingFileError(f"{self.folder} no longer exists: {self.path} is complete, or its run was stopped")

    def _remove_abandoned(self) -> None:
        with contextlib.suppress(BlockingIOError):  # in use, or a run has just taken it over
            self._claim.take()
            self.discard()

    @classmethod
    def _all(cls, path: Path) -> list[Self]:
        """All places of an output, in use or left by runs that were stopped."""
        name = re.compile(re.escape(path.name) + PARTIAL)
        found = [name.fullmatch(each) for each in ObjectStore(str(path.parent)).folders()]
        return [cls(path, match[1]) for match in found if match]


def all_places(path: Path) -> Sequence[Place]:
    """All places of an output, in use or left by runs that were stopped."""
    return ObjectPlace._all(path) if isinstance(path, ObjectPath) else places_of(path)


def remove_left(path: Path) -> None:
    """Remove what runs have left beside an output in an object store that are known to have ended."""
    for place in ObjectPlace._all(path):
        place._remove_abandoned()
    claim = unfinished(path)
    if claim.is_left and is_visible(ObjectStore(str(path)).names()):  # it was stopped after the output had got its name
        with contextlib.suppress(BlockingIOError):
            claim.take()
            claim.remove()


def _remove(store: ObjectStore, keys: list[str]) -> None:
    for each in in_order_of_removal(keys):
        store.remove(each)
