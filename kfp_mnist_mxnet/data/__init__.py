"""Data sets: IDX files, where they come from, and the format of the artifact.

Used from outside: read_dataset, read_images and write_dataset (dataset.py), ingest_files
(ingestion.py), fetch and read_mirrors (sources.py), name_classes (class_names.py).
"""
