"""Pictures of volumes: projections, with blobs or other points."""
