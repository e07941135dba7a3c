"""Benchmarks of tilecore and of other libraries, which take turns in one run."""
