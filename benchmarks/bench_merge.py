"""Merging of sub-ROIs into one stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measuring import Benchmark
from tilecore import merge_split_stack, merge_split_stack2, stack_splitter

OVERLAP = (4, 4, 4)


class Merge(Benchmark):
    """Merging of 512 sub-ROIs; the plain loop knows the stack's shape and all slices before."""

    name = "merge"
    goal = "at least 0.8x a plain loop of slice assignments, at least 5x nested np.concatenate"
    repeats = 7

    def setup(self) -> None:
        side = 8 if self.quick else 64
        self.stack = np.random.default_rng(0).integers(0, 2**16, (8 * side,) * 3, dtype=np.uint16)
        self.max_pixels = (side,) * 3
        self.slices, _ = stack_splitter(self.stack.shape, self.max_pixels, OVERLAP)
        self.sub_rois = np.empty_like(self.slices)
        for index, each in np.ndenumerate(self.slices):
            self.sub_rois[index] = self.stack[each].copy()
        self.output = np.zeros((1, *self.stack.shape), dtype=np.uint16)
        self.plain_output = np.zeros_like(self.stack)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        return {
            "merge_split_stack": lambda: merge_split_stack(self.sub_rois, self.max_pixels, OVERLAP),
            "merge_split_stack2": lambda: merge_split_stack2(self.sub_rois, OVERLAP, 1, self.output),
            "plain loop, new array": lambda: self._loop(np.empty_like(self.stack)),
            "plain loop, same array": lambda: self._loop(self.plain_output),
            "nested np.concatenate": self._concatenate,
        }

    def remarks(self) -> list[str]:
        same = bool((merge_split_stack(self.sub_rois, self.max_pixels, OVERLAP) == self.stack).all())
        return [f"merged stack equals the original: {same}"]

    def _loop(self, merged: Any) -> Any:
        for index, sub_roi in np.ndenumerate(self.sub_rois):
            start = tuple(position * length for position, length in zip(index, self.max_pixels, strict=True))
            box = tuple(slice(first, first + length) for first, length in zip(start, self.max_pixels, strict=True))
            merged[box] = sub_roi[tuple(slice(0, length) for length in self.max_pixels)]
        return merged

    def _concatenate(self) -> Any:
        """Concatenate sub-ROIs to rows, planes and the stack, one after another."""
        own = tuple(slice(0, length) for length in self.max_pixels)
        stack = None
        for planes in self.sub_rois:
            plane = None
            for rois in planes:
                row = None
                for sub_roi in rois:
                    row = sub_roi[own] if row is None else np.concatenate((row, sub_roi[own]), axis=2)
                plane = row if plane is None else np.concatenate((plane, row), axis=1)
            stack = plane if stack is None else np.concatenate((stack, plane), axis=0)
        return stack
