"""The way out: a model in the format that everything reads, with proof that it is the same."""
