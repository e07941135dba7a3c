"""Sample volumes, real and synthetic."""
