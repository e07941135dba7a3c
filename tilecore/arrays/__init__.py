"""How any array is reached: shared, mapped, of another process, opened again, packed."""
