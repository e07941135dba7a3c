"""Worker processes: how they start, what they are sent, how their deaths are seen."""
