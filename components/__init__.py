"""Kubeflow Pipelines components that ingest IDX images, train a CNN, evaluate it and predict."""
