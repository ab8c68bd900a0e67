"""Runs on Kubeflow Pipelines: submit and follow."""
