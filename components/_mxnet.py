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

    # libgomp reads these when it is loaded, which the check below does. Threads that spin while
    # they wait stall for seconds where another process wants the same CPU.
    os.environ.setdefault("OMP_NUM_THREADS", str(available_cpus()))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
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


def available_cpus() -> int:
    """Return how many CPUs this process may use: its affinity, cut by the container's quota.

    Source: cgroup v2 cpu.max, cgroup v1 cpu.cfs_quota_us and cpu.cfs_period_us (Linux kernel,
    Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst).
    """
    import os
    import pathlib

    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    root = pathlib.Path("/sys/fs/cgroup")
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((root / name).read_text() for name in files).split()
        except (OSError, ValueError):
            continue
        if quota not in ("max", "-1"):
            cpus = min(cpus, max(1, int(quota) // int(period)))
    return cpus


def contexts(device: str, num_gpus: int) -> list[Any]:
    """Return the MXNet contexts to train on.

    device: auto (all GPUs, else the CPU), cpu, or gpu (all GPUs). num_gpus: how many there are.

    Raises:
        ValueError: gpu where there is none, or another word.
    """
    import mxnet as mx

    if device not in ("auto", "cpu", "gpu"):
        raise ValueError(f"device must be auto, cpu or gpu, got {device!r}")
    if device == "gpu" and num_gpus == 0:
        raise ValueError("device is gpu, but MXNet finds no usable GPU: use auto or cpu")
    if device == "cpu" or num_gpus == 0:
        return [mx.cpu()]
    return [mx.gpu(i) for i in range(num_gpus)]
