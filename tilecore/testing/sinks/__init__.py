"""The contract of sinks, in three parts: the file, who writes it at once, whole runs."""
