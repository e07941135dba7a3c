"""The engine: functions mapped over tiles, results merged, runs recorded; paths wherever it takes arrays."""
