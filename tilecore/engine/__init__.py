"""The engine maps functions over tiles, merges results and records runs; it takes paths wherever it takes arrays."""
