"""The machine: MXNet, CPUs, GPUs."""
