"""Image files as volumes, read and written by region, never as a whole."""
