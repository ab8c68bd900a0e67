"""Running the pipelines from a terminal."""
