"""Where MXNet trains and predicts: the CPU, or all GPUs."""

import ctypes

from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.runtime.cpus import available_cpus
from kfp_mnist_mxnet.runtime.engine import mx

LEAST_IMAGES = 16  # of a batch in a context: batch normalisation needs some, and so does oneDNN
# Threads that predict. On fewer CPUs, too, four get a larger share beside other processes; more
# than 16 gain little, as a tenth of the work can only be done by one thread of Python at a time.
LEAST_PREDICTORS, MOST_PREDICTORS = 4, 16


def count_gpus() -> int:
    """Return how many GPUs MXNet can use: 0 for a CPU build or without a driver."""
    try:
        return mx.context.num_gpus()
    except mx.MXNetError:
        return 0


def contexts(device: str, num_gpus: int, batch_size: int, cpu_threads: int) -> list[mx.Context]:
    """Return the MXNet contexts that share each batch of a training.

    device: auto (all GPUs, else the CPU), cpu, or gpu (all GPUs). num_gpus: how many there are.
    batch_size: a small batch goes to fewer contexts. cpu_threads: contexts of the CPU, for each of
    which MXNet has a thread.

    Raises:
        InvalidInput: gpu where there is none; the message says what was found.
    """
    if device == "gpu" and num_gpus == 0:
        raise InvalidInput(
            f"device is gpu, but there is no usable GPU ({describe_gpu_support()}): "
            "use auto or cpu, or a GPU with an MXNet that is built for CUDA"
        )
    gpus = [] if device == "cpu" else [mx.gpu(i) for i in range(num_gpus)]
    cpus = [mx.cpu(i) for i in range(cpu_threads)]
    return (gpus or cpus)[: max(1, batch_size // LEAST_IMAGES)]


def prediction_contexts() -> list[mx.Context]:
    """Return the contexts that share prediction: one for each CPU, 4 to 16.

    All compute the same bits, so that their number decides nothing but the time. cpu(0) is not
    among them: there alone MXNet fuses operators for prediction, which gives other last bits, and
    is slower.
    """
    threads = min(max(available_cpus(), LEAST_PREDICTORS), MOST_PREDICTORS)
    return [mx.cpu(i + 1) for i in range(threads)]


def describe_gpu_support() -> str:
    """Return what MXNet finds of GPUs, in words: its own build, the driver, the count."""
    cuda = mx.runtime.Features().is_enabled("CUDA")
    try:
        ctypes.CDLL("libcuda.so.1")
        driver = "the driver's libcuda.so.1 is there"
    except OSError:
        driver = "the driver's libcuda.so.1 is missing"
    build = f"MXNet {mx.__version__} is built {'for CUDA' if cuda else 'for CPUs only'}"
    return f"{build}, {driver}, {count_gpus()} GPUs are visible"
