"""Identity of runs: which function, arguments and sources tell one run from another."""
