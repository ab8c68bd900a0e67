"""Training: the trainer, its batches, augmentation and checkpoints.

Used from outside: Trainer (trainer.py), Checkpoint (checkpoint.py).
"""
