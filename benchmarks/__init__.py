"""Benchmarks: tilecore and its rivals, alternately in one run."""
