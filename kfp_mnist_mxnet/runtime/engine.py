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
from kfp_mnist_mxnet.runtime.mxnet_compatibility import check_installed, importable_mxnet

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
check_installed()
with importable_mxnet():
    import mxnet as mx

__all__ = ["cpu_contexts", "mx", "prediction_contexts"]

# As many on every machine, so that the same seed gives the same model on any number of CPUs. On two
# CPUs two would train 5 to 9 % faster when nobody else is there, and 8 to 14 % slower beside a busy
# process.
CPU_CONTEXTS = 4


def cpu_contexts() -> list[mx.Context]:
    """Return the contexts that share training on a CPU: MXNet has a thread for each."""
    return [mx.cpu(i) for i in range(CPU_CONTEXTS)]


def prediction_contexts() -> list[mx.Context]:
    """Return the contexts that share prediction on a CPU: all compute the same bits.

    cpu(0) is not among them: there alone MXNet fuses operators for prediction, which gives other
    last bits, and is slower.
    """
    return [mx.cpu(i + 1) for i in range(CPU_CONTEXTS)]
