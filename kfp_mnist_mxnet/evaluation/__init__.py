"""Evaluation: metrics of predictions, comparison of trials.

Used from outside: scores (scores.py), class_metrics (classes.py), calibrate (calibration.py), Trial
and best_of (comparison.py).
"""
