"""Pictures of volumes: projections, with points."""
