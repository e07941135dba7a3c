"""How long a test waits: deadlines are there only for what hangs, never to measure how fast something is."""

from __future__ import annotations

__all__ = ["FOR_EVER", "HANGS"]

#: Ends a test that hangs; whatever works needs a small part of it, on a busy machine too [s].
HANGS = 180.0

#: How long something sleeps that must be ended by others: far longer than anybody waits for it [s].
FOR_EVER = 100 * HANGS
