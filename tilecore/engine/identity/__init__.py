"""What tells one run from another: its function, arguments and sources."""
