"""Volumes to try things on."""
