"""Memory that processes share: segments without a name, and direct access to another process's memory."""
