"""Who runs tasks: the calling thread, threads, or supervised processes."""
