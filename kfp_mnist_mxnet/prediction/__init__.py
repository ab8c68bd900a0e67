"""Prediction: a model applied to images of any number.

Used from outside: Predictor (predictor.py), write_predictions (predictions.py), and for shards
shard_range, order_shards and join_shards.
"""
