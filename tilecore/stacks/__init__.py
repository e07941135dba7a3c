"""The parts, for those who loop by themselves: splitter, shared arrays, pools, pmap_chunks, merging."""
