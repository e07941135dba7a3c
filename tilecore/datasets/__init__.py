"""Volumes to work on: a real stack of nuclei, and synthetic ones of any size."""
