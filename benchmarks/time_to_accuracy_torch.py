"""PyTorch's turn in benchmarks/time_to_accuracy.py: the suite's network, schedule and warps.

It needs torch and numpy only, besides this repository. Arguments: the directory of the data sets,
a JSON object of hyperparameters, the seed, and `plain` or `tuned`. Tuned is what PyTorch's own
tuning guide says for CPUs: channels last and torch.compile; the time to compile does not count.
"""

import json
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from train import ROOT, load

sys.path.insert(0, str(ROOT))
from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters  # found by the line above
from kfp_mnist_mxnet.training.schedule import learning_rate_at


def build(chosen: Hyperparameters, shape: Sequence[int]) -> nn.Module:
    """Return the network with first weights as the suite's; shape: (C, H, W)."""
    layers: list[Any] = []
    for kernel, filters, pad, pool in chosen.convolutions():
        layers.append(nn.LazyConv2d(filters, kernel, padding=pad))
        layers += [nn.MaxPool2d(2)] if pool else []
        layers += [nn.LazyBatchNorm2d()] if chosen.batch_norm else []
        layers += [nn.ReLU()]
    layers.append(nn.Flatten())
    *hidden, classes = chosen.hidden_units
    for units in hidden:
        layers += [nn.LazyLinear(units), nn.ReLU()]
    layers += [nn.Dropout(chosen.dropout)] if chosen.dropout else []
    network = nn.Sequential(*layers, nn.LazyLinear(classes))
    network(torch.zeros(2, *shape))
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)
    return network


def new_optimizer(network: nn.Module, chosen: Hyperparameters) -> torch.optim.Optimizer:
    """Return Nesterov's SGD; only weights decay."""
    decayed = [p for name, p in network.named_parameters() if p.ndim > 1]
    others = [p for name, p in network.named_parameters() if p.ndim == 1]
    groups = [
        {"params": decayed, "weight_decay": chosen.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, chosen.learning_rate, momentum=chosen.momentum, nesterov=True)


def warp(images: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Return images, float32 (N, C, H, W), warped at random as the suite does.

    basis: float32 (K + 1, 2 * H * W), of warp_basis.
    """
    n, count = len(images), len(basis) - 1
    draws = torch.randn(n, count + 1)
    draws[:, :6] = 2 * torch.rand(n, 6) - 1
    draws *= torch.rand(n, 1)
    draws[:, count] = 1
    grid = (draws @ basis).reshape(n, 2, *images.shape[2:]).permute(0, 2, 3, 1)
    return nn.functional.grid_sample(images, grid, align_corners=True)


def accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the accuracy on images, uint8 (N, C, H, W)."""
    network.eval()
    with torch.inference_mode():
        correct = [
            (network(images[i : i + 1000].float() / 255).argmax(1) == labels[i : i + 1000]).sum()
            for i in range(0, len(images), 1000)
        ]
    return int(sum(correct)) / len(images)


def main() -> None:
    """Train, and print seconds and test accuracy."""
    directory, settings, seed, form = sys.argv[1:]
    chosen = Hyperparameters(**json.loads(settings))
    torch.manual_seed(int(seed))
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    images, labels = (torch.from_numpy(array) for array in load(directory, "train_data"))
    basis = torch.from_numpy(np.load(pathlib.Path(directory, "basis.npy")))
    network = build(chosen, images.shape[1:])
    step = network
    if form == "tuned":
        network = network.to(memory_format=torch.channels_last)
        step = torch.compile(network)
    optimizer, loss = new_optimizer(network, chosen), nn.CrossEntropyLoss()
    batches = -(-len(images) // chosen.batch_size)
    updates = chosen.epochs * batches

    def update(picked: torch.Tensor, rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate
        data = warp(images[picked].float(), basis) / 255
        if form == "tuned":
            data = data.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        loss(step(data), labels[picked].long()).backward()
        optimizer.step()

    for _ in range(3):  # compiles and warms up; changes nothing, as the rate is 0
        update(torch.arange(chosen.batch_size), 0.0)
    for group in optimizer.state.values():
        group["momentum_buffer"].zero_()
    started = time.perf_counter()
    for epoch in range(chosen.epochs):
        order = torch.randperm(len(images))
        order = torch.cat([order, order[: -len(order) % chosen.batch_size]])
        for batch, picked in enumerate(order.split(chosen.batch_size)):
            update(picked, learning_rate_at(epoch * batches + batch, updates, chosen))
    seconds = time.perf_counter() - started
    images, labels = (torch.from_numpy(array) for array in load(directory, "test_data"))
    print(json.dumps({"seconds": seconds, "accuracy": accuracy(network, images, labels)}))


if __name__ == "__main__":
    main()
