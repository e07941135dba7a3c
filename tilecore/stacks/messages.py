"""Messages on the terminal, as in SCOUT."""

from __future__ import annotations

from typing import Protocol

__all__ = ["verbose_print"]


class Verbose(Protocol):
    """What says whether messages are wanted, such as a namespace of `argparse`."""

    @property
    def verbose(self) -> bool:
        """Whether they are."""
        ...


def verbose_print(args: Verbose, msg: str) -> None:
    """Print a message if ``args.verbose`` is true.

    References
    ----------
    .. [1] Name and meaning from ``scout.utils``.
    """
    if args.verbose:
        print(msg)  # noqa: T201
