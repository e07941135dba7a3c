"""Fuzzers of the public interface: what is drawn from a seed is run tiled, and compared with the plain way."""
