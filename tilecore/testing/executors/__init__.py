"""The contract of executors, in three parts: single tasks, the crew of a run, whole runs."""
