"""Runs in parts: each part is a process of its own, started at any time on any host, and one more finishes the run."""
