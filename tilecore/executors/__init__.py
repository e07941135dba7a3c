"""Executors, which run tasks: in the calling thread, in threads, or in supervised processes."""
