"""tilecore's own detectors, which find maxima in scale space."""
