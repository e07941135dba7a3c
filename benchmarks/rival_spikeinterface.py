"""Jobs for spikeinterface: each comes as a line of JSON on stdin, and so does its answer on stdout.

It runs in an interpreter of its own, and so imports nothing of tilecore. The first line that it writes tells that
everything is imported. An answer comes when the job is done and its workers have ended.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any, TextIO

import numpy as np
import scipy.signal  # spikeinterface imports it in the first job, whose time this is not to be
import spikeinterface
from spikeinterface.core import read_binary, write_binary_recording
from spikeinterface.preprocessing import bandpass_filter


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what others print is no answer
    _tell(answers, {module.__name__: module.__version__ for module in (spikeinterface, np, scipy)})
    for line in sys.stdin:
        cpu, start = _cpu_seconds(), time.perf_counter()
        work(**json.loads(line))
        _tell(answers, {"wall_s": time.perf_counter() - start, "cpu_s": _cpu_seconds() - cpu})


def work(source: str, target: str, recording: dict[str, Any], band: dict[str, Any] | None, job: dict[str, Any]) -> None:
    """Write a recording as it is, or what a filter leaves of it."""
    traces = read_binary(source, **recording)
    if band is not None:
        traces = bandpass_filter(traces, **band)
    write_binary_recording(traces, target, add_file_extension=False, progress_bar=False, **job)


def _cpu_seconds() -> float:
    """Of this process and of the workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _tell(answers: TextIO, message: dict[str, Any]) -> None:
    print(json.dumps(message), file=answers, flush=True)


if __name__ == "__main__":
    main()
