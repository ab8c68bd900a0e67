"""Data sets: IDX files, where they come from, and the format of the artifact.

Used from outside: read_dataset and read_images (dataset.py), write_dataset (writing.py),
ingest_files (ingestion.py), fetch and read_mirrors (sources.py), name_classes (class_names.py).
"""
