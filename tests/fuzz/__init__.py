"""Fuzzers of the public interface: random runs from a seed, compared with plain computation."""
