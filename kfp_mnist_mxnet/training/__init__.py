"""Training: a request and what comes of it, the trainer, its batches, augmentation and checkpoints.

Used from outside: Request (request.py), train_and_save (session.py), Assignment (assignment.py),
Trainer (trainer.py), Checkpoint (checkpoint.py).
"""
