"""Data sets: IDX files, where they come from, and the format of the artifact."""
