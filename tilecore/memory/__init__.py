"""Bytes that processes share or reach: segments without a name, other processes' memory."""
