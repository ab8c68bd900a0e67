"""CUDA libraries that come as Python packages, and whether the driver and the GPU fit them."""

import ctypes
import importlib.metadata
import pathlib

from kfp_mnist_mxnet.errors import MissingLibrary


def load_cuda() -> None:
    """Load the libraries of the nvidia-*-cu11 packages, where the CUDA build of MXNet is installed.

    They lie in site-packages/nvidia/*/lib, where the loader does not look: once they are loaded
    for all to see, `import mxnet` finds them by name. Does nothing with the CPU build.

    Raises:
        MissingLibrary: the driver is missing, or this build has no code for a GPU's architecture.
    """
    try:
        build = importlib.metadata.distribution("mxnet-cu117")
    except importlib.metadata.PackageNotFoundError:
        return
    try:
        driver = ctypes.CDLL("libcuda.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise MissingLibrary(
            "this node has no NVIDIA driver (libcuda.so.1 is missing), which the CUDA build of "
            "MXNet needs: run the step on a node with a GPU, or compile the pipeline for the CPU"
        ) from error
    check_compute_capability(driver)
    packages = pathlib.Path(str(build.locate_file("nvidia")))
    waiting = sorted(packages.glob("*/lib/lib*.so*"))
    while waiting:  # a library loads once those that it needs are loaded
        failed = [path for path in waiting if not load_library(path)]
        if len(failed) == len(waiting):
            break
        waiting = failed


def load_library(path: pathlib.Path) -> bool:
    """Load a shared library for all to see; tell whether it could be loaded."""
    try:
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


def check_compute_capability(driver: ctypes.CDLL) -> None:
    """Check that the CUDA build of MXNet 1.9.1 has code for every GPU that the driver shows.

    Its wheel has cubins for the compute capabilities 5.0, 6.0, 7.0, 8.0 and 8.6 and no PTX; a
    cubin runs on its own major version from its minor version on (CUDA C++ Programming Guide,
    "Binary Compatibility").

    Raises:
        MissingLibrary: a GPU of another major version.
    """
    capabilities = gpu_capabilities(driver)
    for index, (major, minor) in enumerate(capabilities):
        if major not in (5, 6, 7, 8):
            raise MissingLibrary(
                f"GPU {index} has the compute capability {major}.{minor}, but MXNet 1.9.1 for "
                "CUDA 11.7 has code for 5.0 to 8.9 only (V100, T4, A100, A10, L4, not H100): "
                "choose another node pool, or compile the pipeline for the CPU"
            )


def gpu_capabilities(driver: ctypes.CDLL) -> list[tuple[int, int]]:
    """Return the compute capability (major, minor) of each GPU that the CUDA driver shows.

    driver: libcuda.so.1. An error of the driver counts as no GPU. Source: CUDA Driver API,
    cuDeviceGetAttribute, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75 and _MINOR = 76.
    """

    def get(function: str, *arguments: int | None) -> int | None:
        value = ctypes.c_int()
        failed = getattr(driver, function)(ctypes.byref(value), *arguments)
        return None if failed else value.value

    if driver.cuInit(0):
        return []
    found = []
    for index in range(get("cuDeviceGetCount") or 0):
        device = get("cuDeviceGet", index)
        major, minor = (get("cuDeviceGetAttribute", code, device) for code in (75, 76))
        if major is not None and minor is not None:
            found.append((major, minor))
    return found
