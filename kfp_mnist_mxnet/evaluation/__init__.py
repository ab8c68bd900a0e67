"""Evaluation: what predictions and trials are worth."""
