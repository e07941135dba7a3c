"""tilecore's own detectors: maxima of a scale space."""
