"""Models: hyperparameters, the network, and the format of the artifact."""
