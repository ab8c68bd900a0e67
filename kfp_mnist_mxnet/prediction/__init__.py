"""Prediction: a model applied to images of any number."""
