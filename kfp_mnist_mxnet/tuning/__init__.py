"""The search for hyperparameters with Katib: an Experiment whose trials train.

Used from outside: tune_with_katib (search.py), Options (options.py).
"""
