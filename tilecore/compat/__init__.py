"""Modules that replace ``magmap.cv.chunking`` and ``scout.utils``, with the same names and no code of their own."""
