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

__all__ = ["mx"]
