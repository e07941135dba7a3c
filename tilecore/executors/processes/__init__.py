"""Worker processes: how they start, what is sent to them, and how their deaths are detected."""
