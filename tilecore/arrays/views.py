"""Arrays that show another array in a way of their own, such as a part of it: workers reach them by that array."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tilecore.arrays.access import Access, Reach
from tilecore.arrays.extents import Extent
from tilecore.arrays.kinds import access_of

__all__ = ["ViewAccess"]


class ViewAccess(Access):
    """Access to a frozen dataclass with an array ``source``, and ``describe()``, which tells what it makes of it."""

    @property
    def _source(self) -> Access:
        return access_of(self.array.source)

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Where the source lies."""
        return self._source.extents

    @property
    def is_unknowable(self) -> bool:
        """Whether that is so of the source."""
        return self._source.is_unknowable

    def content(self) -> dict[str, Any] | None:
        """What tells the source from others, and what is made of it."""
        content = self._source.content()
        return content and {"of": content, **self.array.describe()}

    def stamps(self) -> dict[str, Any] | None:
        """Of the source's files."""
        return self._source.stamps()

    def readable(self, reach: Reach) -> Any | None:
        """The same of what workers reach of the source."""
        source = self._source.readable(reach)
        return None if source is None else replace(self.array, source=source)
