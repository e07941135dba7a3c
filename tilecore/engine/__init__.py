"""The engine: functions mapped over tiles, results merged, runs recorded. Knows no file format."""
