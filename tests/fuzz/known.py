"""Known defects that are not mended yet; cases with them are left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Fuzzer, and whether a case of it meets the defect; each line goes when its defect is mended.
KNOWN: list[tuple[str, Callable[[Any], bool]]] = []

#: Fuzzer, and whether a case that failed by an error (and those that it came from) has met the defect.
KNOWN_ENDS: list[tuple[str, Callable[[Any, list[BaseException]], bool]]] = []


def is_known(name: str, case: Any) -> bool:
    """Whether a case has a known defect."""
    return any(name == fuzzer and meets(case) for fuzzer, meets in KNOWN)


def is_known_end(name: str, case: Any, error: BaseException) -> bool:
    """Whether a case failed because of a known defect."""
    errors = [error]
    while (before := errors[-1].__cause__ or errors[-1].__context__) is not None:
        errors.append(before)
    return any(name == fuzzer and meets(case, errors) for fuzzer, meets in KNOWN_ENDS)
