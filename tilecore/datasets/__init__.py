"""Labelled datasets: arrays whose axes have names, in memory, in blocks and on disk."""
