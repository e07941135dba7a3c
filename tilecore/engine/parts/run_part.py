"""Part of a run: which of the plan's tiles one process works on, also as an array job tells it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from tilecore.errors import ParameterError, ParameterTypeError
from tilecore.geometry.per_axis import as_integer

__all__ = ["PartLike", "RunPart"]

_ALLOWED = "must be I/N, the part's number from 1 to N and their number, such as 3/16, or auto/N in an array job"
_TEXT = re.compile(r"\s*(?P<number>\d+|auto)\s*/\s*(?P<count>\d+)\s*", re.ASCII)

# Variables of array jobs, for each kind of batch queue: a task's number, and the first, last, and step of all tasks.
_QUEUES = (
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP"),
    ("SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE"),
)


@dataclass(frozen=True)
class RunPart:
    """One of the equal parts of a run; all of them together are the run.

    Attributes
    ----------
    number : int
        Number of the part, from 1.
    count : int
        Number of parts.
    application : str
        Who makes something of the results when the run is finished; empty for the engine itself.
    facts : mapping of str to object
        What it needs to know for that, of types that a journal can keep.
    proposes_tiles : bool
        Whether the tiles that this process asks for are a proposal, which the plan of another part may replace.
    command : tuple of str
        Words of the command that runs this part, without the part itself; empty if it is no command.
    """

    number: int
    count: int
    application: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    proposes_tiles: bool = False
    command: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: PartLike) -> RunPart:
        """Return the part that a caller means.

        Raises
        ------
        ParameterError, ParameterTypeError
            If it is none, or ``"auto/N"`` outside of an array job that has N tasks.
        """
        if isinstance(given, RunPart):
            return given
        if isinstance(given, str):
            match = _TEXT.fullmatch(given)
            if match is None:
                raise ParameterError.of("shard", given, _ALLOWED)
            count = int(match["count"])
            number = _number_in_array(count, given) if match["number"] == "auto" else int(match["number"])
        elif isinstance(given, Sequence) and len(given) == 2:
            number, count = (as_integer(each, "shard") for each in given)
        else:
            raise ParameterTypeError.of("shard", given, "must be (i, n), such as (3, 16), or text such as '3/16'")
        if not 1 <= number <= count:
            raise ParameterError.of("shard", given, f"parts are numbered from 1 to {max(count, 1)}")
        return cls(number, count)

    def __str__(self) -> str:
        return f"part {self.number} of {self.count}"

    def numbered(self, number: int) -> RunPart:
        """Another part of the same run."""
        return replace(self, number=number)

    def numbers(self, n_tiles: int) -> range:
        """Numbers of the tiles of this part, which follow each other; none if there are fewer tiles than parts."""
        return range((self.number - 1) * n_tiles // self.count, self.number * n_tiles // self.count)


#: What stands for a part of a run: its number and how many there are, as a pair or as text.
PartLike: TypeAlias = tuple[int, int] | Sequence[int] | str | RunPart


def _number_in_array(count: int, given: str) -> int:
    """The number of this task in an array job of `count` tasks, from 1, whatever the numbers of the job's tasks."""
    for names in _QUEUES:
        task, first, last, step = (_whole(os.environ.get(name)) for name in names)
        if task is None:
            continue
        first, step = 1 if first is None else first, step or 1
        last = first + (count - 1) * step if last is None else last
        n_tasks = _whole(os.environ.get("SLURM_ARRAY_TASK_COUNT")) if names is _QUEUES[0] else None
        expected = (last - first) // step + 1
        if n_tasks not in (None, expected) or expected != count:
            raise ParameterError.of(
                "shard",
                given,
                f"this array job has {n_tasks or expected} tasks, numbered from {first} to {last}, and {count} parts "
                f"are asked for: start {count} tasks, or give the number of the part, as in 1/{count}",
            )
        return (task - first) // step + 1
    raise ParameterError.of(
        "shard",
        given,
        f"neither {' nor '.join(names[0] for names in _QUEUES)} is set, as it is in a task of an array "
        f"job: give the number of the part, as in 1/{count}",
    )


def _whole(text: str | None) -> int | None:
    """A whole number; None of anything else, such as the "undefined" of SGE outside of an array job."""
    return int(text) if text is not None and text.isdecimal() else None
