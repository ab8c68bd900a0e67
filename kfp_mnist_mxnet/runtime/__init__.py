"""The machine: MXNet, CPUs, GPUs.

Used from outside: mx, always from engine.py; contexts, prediction_contexts and count_gpus
(devices.py).
"""
