"""MXNet, started for this machine: every other module takes `mx` from here.

Threads and system libraries must be seen to before MXNet is imported, so that importing this module
does it.

Raises:
    MissingLibrary: a system library that the wheel does not bring is missing, or with the CUDA
        build the driver, or the GPU is newer than the build.
"""

import ctypes
import os

from kfp_mnist_mxnet.errors import MissingLibrary
from kfp_mnist_mxnet.runtime.cuda import load_cuda
from kfp_mnist_mxnet.runtime.mxnet_compatibility import importable_mxnet

# Its own metadata ask for NumPy 1, which pip would have to build on Python 3.13 and later.
INSTALL_MXNET = "pip install --no-deps mxnet==1.9.1"

# CPUs are used by several contexts with a thread each, not by several threads at each operator:
# those wait for each other after every one, so that a neighbour on one CPU holds up all (training
# took 6 times as long beside one busy process), and their number decides the last bits of the sums.
# libgomp reads this when it is loaded, which the check below does.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")  # a line for every Module
for library, package in (("libgomp.so.1", "libgomp1"), ("libquadmath.so.0", "libquadmath0")):
    try:
        ctypes.CDLL(library)
    except OSError as error:
        raise MissingLibrary(
            f"MXNet needs the system library {library}: install the Debian package {package}"
        ) from error
load_cuda()
with importable_mxnet():
    try:
        import mxnet as mx
    except ModuleNotFoundError as error:
        if error.name != "mxnet":
            raise
        raise MissingLibrary(f"MXNet is not installed: {INSTALL_MXNET}") from error

__all__ = ["cpu_contexts", "mx"]

# As many on every machine, so that the same seed gives the same model on any number of CPUs. On two
# CPUs two would train 5 to 9 % faster when nobody else is there, and 8 to 14 % slower beside a busy
# process.
CPU_CONTEXTS = 4


def cpu_contexts() -> list[mx.Context]:
    """Return the contexts that share the work on a CPU: MXNet has a thread for each."""
    return [mx.cpu(i) for i in range(CPU_CONTEXTS)]
