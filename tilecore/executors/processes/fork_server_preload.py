"""Imported last by the fork server: sets aside all objects it has, before it forks.

A worker's garbage collector would look at each of them, and so copy the memory that
forks share; that took most of the time a worker needs to start.
"""

import gc

gc.collect()
gc.freeze()
