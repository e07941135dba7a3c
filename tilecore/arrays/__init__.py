"""Arrays that cross process borders: shared, remote, packed; and boxes of arrays."""
