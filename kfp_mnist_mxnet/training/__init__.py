"""Training: the trainer, its batches, augmentation and checkpoints."""
