"""Messages on the terminal, as in SCOUT."""

from __future__ import annotations

from typing import Any

__all__ = ["verbose_print"]


def verbose_print(args: Any, msg: str) -> None:
    """Print a message if ``args.verbose`` is true.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.
    """
    if args.verbose:
        print(msg)  # noqa: T201
