"""Files as volumes: opened by region, never whole."""
