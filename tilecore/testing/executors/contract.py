"""ExecutorContract: what every executor must do."""

from __future__ import annotations

from tilecore.testing.executors.crews import CrewContract
from tilecore.testing.executors.runs import RunContract
from tilecore.testing.executors.tasks import TaskContract

__all__ = ["ExecutorContract"]


class ExecutorContract(TaskContract, CrewContract, RunContract):
    """Test an executor: derive a class whose name begins with ``Test``, and say how the executor is made.

    Attributes
    ----------
    tells_peak_memory : bool
        Whether outcomes tell the most memory that their worker has had. Default: True.

    Examples
    --------
    >>> from tilecore.executors.threads import ThreadExecutor
    >>> class TestThreads(ExecutorContract):
    ...     def make(self, **options):
    ...         return ThreadExecutor(**options)
    """
