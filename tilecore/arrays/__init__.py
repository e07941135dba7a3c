"""Access to arrays of any kind: shared, mapped, in another process, opened again, or packed."""
