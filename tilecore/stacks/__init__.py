"""Tools for loops of your own: splitting, shared arrays, pools, `pmap_chunks` and merging."""
