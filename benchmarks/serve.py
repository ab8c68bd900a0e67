"""How many images a second a served model predicts, and the Module beside it.

Run by hand: python benchmarks/serve.py MODEL, the directory of a model that train wrote. Both run
on the same CPUs, one after the other; the clients of the server too, which costs it a part.
"""

import argparse
import concurrent.futures
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
import urllib3

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from kfp_mnist_mxnet.cli.serve.server import JSON, Served, exported, free_port, running
from kfp_mnist_mxnet.export.verification import synthetic_images
from kfp_mnist_mxnet.prediction.batches import BATCH_SIZE
from kfp_mnist_mxnet.prediction.predictor import Predictor

MANY = 4 * BATCH_SIZE  # images, a batch for each context of the Module


def json_request(images: np.ndarray) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request as JSON."""
    given = {"name": "images", "shape": images.shape, "datatype": "UINT8"}
    body = json.dumps({"inputs": [{**given, "data": images.ravel().tolist()}]}).encode()
    return body, JSON


def binary_request(images: np.ndarray) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request in the binary form, with a binary answer."""
    size = {"binary_data_size": images.nbytes}
    given = {"name": "images", "shape": images.shape, "datatype": "UINT8", "parameters": size}
    wanted = {"name": "probabilities", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [given], "outputs": [wanted]}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    return head + images.tobytes(), {"Content-Type": "application/octet-stream", **length}


def served_speed(
    served: Served,
    images: np.ndarray,
    request: Callable[[np.ndarray], tuple[bytes, dict[str, str]]],
    clients: int,
    seconds: float,
) -> float:
    """Return the images a second that clients get predicted, one request after the other."""
    body, headers = request(images)
    server = urllib3.PoolManager(maxsize=clients)
    until = time.perf_counter() + seconds

    def ask(_: int) -> int:
        count = 0
        while time.perf_counter() < until:
            answer = server.request("POST", served.infer(), body=body, headers=headers)
            if answer.status != 200:
                raise RuntimeError(f"the server answers {answer.status}: {answer.data!r}")
            count += len(images)
        return count

    with concurrent.futures.ThreadPoolExecutor(clients) as threads:
        return sum(threads.map(ask, range(clients))) / seconds


def module_speed(model: str, images: np.ndarray, seconds: float) -> float:
    """Return the images a second that the Module predicts."""
    predictor = Predictor(model, min(len(images), BATCH_SIZE))
    list(predictor.probabilities(images))
    count, started = 0, time.perf_counter()
    while time.perf_counter() < started + seconds:
        list(predictor.probabilities(images))
        count += len(images)
    return count / (time.perf_counter() - started)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    chosen = parser.parse_args()
    print("| predicted by | images of a request | clients | images a second |\n|---|---|---|---|")
    shape = Predictor(chosen.model, 1).info.input_shape
    images = np.resize(synthetic_images(shape), (MANY, *shape))
    for count in (1, 64, MANY):
        speed = module_speed(chosen.model, images[-count:], chosen.seconds)
        print(f"| Module | {count} | - | {speed:,.0f} |", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        model = exported(pathlib.Path(chosen.model), scratch)
        with running(model, free_port(0), scratch / "log.txt") as (_, url):
            served = Served(model, url, scratch)
            for name, request in (("JSON", json_request), ("binary", binary_request)):
                for count, clients in ((1, 1), (1, 8), (64, 1), (64, 8)):
                    speed = served_speed(served, images[:count], request, clients, chosen.seconds)
                    print(f"| server, {name} | {count} | {clients} | {speed:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
