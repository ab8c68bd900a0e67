"""Models: hyperparameters, the network, and the format of the artifact.

Used from outside: Hyperparameters (hyperparameters.py), build_network (network.py), save_model
(saving.py), load_model (loading.py), ModelInfo and read_whole (info.py).
"""
