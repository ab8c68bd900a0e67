"""Starting MXNet: system libraries, threads, devices."""

from typing import Any

from components._cuda import load_cuda


def import_mxnet() -> Any:
    """Import MXNet with one OpenMP thread for each CPU that this process may use.

    By itself MXNet takes half of the CPUs.

    Raises:
        RuntimeError: a system library that the wheel does not bring is missing, or with the
            CUDA build the driver, or the GPU is newer than the build.
    """
    import ctypes
    import os
    import warnings

    # libgomp reads these when it is loaded, which the check below does. Threads that wait spin for
    # a moment, which trains 15 % faster than none, but not for long: with libgomp's own default
    # training stalls for a minute where another process wants the same CPUs.
    os.environ.setdefault("OMP_NUM_THREADS", str(available_cpus()))
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")  # a line for every Module
    for library, package in (("libgomp.so.1", "libgomp1"), ("libquadmath.so.0", "libquadmath0")):
        try:
            ctypes.CDLL(library)
        except OSError as error:
            raise RuntimeError(
                f"MXNet needs the system library {library}: install the Debian package {package}"
            ) from error
    load_cuda()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # MXNet 1.9.1 uses np.bool
        import mxnet
    return mxnet


def available_cpus(cgroup: str = "/sys/fs/cgroup") -> int:
    """Return how many CPUs this process may use: its affinity, cut by the container's quota.

    Source: cgroup v2 cpu.max, cgroup v1 cpu.cfs_quota_us and cpu.cfs_period_us (Linux kernel,
    Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst).
    """
    import os
    import pathlib

    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join(
                pathlib.Path(cgroup, name).read_text() for name in files
            ).split()
        except (OSError, ValueError):
            continue
        if quota not in ("max", "-1"):
            cpus = min(cpus, max(1, int(quota) // int(period)))
    return cpus


def check_device(device: str) -> None:
    """Check the name of a device.

    Raises:
        ValueError: it is not auto, cpu or gpu.
    """
    if device not in ("auto", "cpu", "gpu"):
        raise ValueError(f"device must be auto, cpu or gpu, got {device!r}")


def count_gpus() -> int:
    """Return how many GPUs MXNet can use: 0 for a CPU build or without a driver."""
    import mxnet as mx

    try:
        return mx.context.num_gpus()
    except mx.MXNetError:
        return 0


def contexts(device: str, num_gpus: int) -> list[Any]:
    """Return the MXNet contexts to train on.

    device: auto (all GPUs, else the CPU), cpu, or gpu (all GPUs). num_gpus: how many there are.

    Raises:
        ValueError: gpu where there is none; the message says what was found.
    """
    import mxnet as mx

    if device == "gpu" and num_gpus == 0:
        raise ValueError(
            f"device is gpu, but there is no usable GPU ({describe_gpu_support()}): "
            "use auto or cpu, or a GPU with an MXNet that is built for CUDA"
        )
    if device == "cpu" or num_gpus == 0:
        return [mx.cpu()]
    return [mx.gpu(i) for i in range(num_gpus)]


def describe_gpu_support() -> str:
    """Return what MXNet finds of GPUs, in words: its own build, the driver, the count."""
    import ctypes

    import mxnet as mx

    cuda = mx.runtime.Features().is_enabled("CUDA")
    try:
        ctypes.CDLL("libcuda.so.1")
        driver = "the driver's libcuda.so.1 is there"
    except OSError:
        driver = "the driver's libcuda.so.1 is missing"
    build = f"MXNet {mx.__version__} is built {'for CUDA' if cuda else 'for CPUs only'}"
    return f"{build}, {driver}, {count_gpus()} GPUs are visible"
