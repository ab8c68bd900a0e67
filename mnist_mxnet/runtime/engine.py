"""MXNet, started for this machine: every other module takes `mx` from here.

Threads and system libraries must be seen to before MXNet is imported, so that importing this module
does it.

Raises:
    MissingLibrary: a system library that the wheel does not bring is missing, or with the CUDA
        build the driver, or the GPU is newer than the build.
"""

import ctypes
import os
import warnings

from mnist_mxnet.errors import MissingLibrary
from mnist_mxnet.runtime.cpus import available_cpus
from mnist_mxnet.runtime.cuda import load_cuda

# libgomp reads these when it is loaded, which the check below does. By itself MXNet takes half of
# the CPUs. Threads that wait spin for a moment, which trains 15 % faster than none, but not for
# long: with libgomp's own default training stalls for a minute where another process wants the same
# CPUs.
os.environ.setdefault("OMP_NUM_THREADS", str(available_cpus()))
os.environ.setdefault("GOMP_SPINCOUNT", "30000")
os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")  # a line for every Module
for library, package in (("libgomp.so.1", "libgomp1"), ("libquadmath.so.0", "libquadmath0")):
    try:
        ctypes.CDLL(library)
    except OSError as error:
        raise MissingLibrary(
            f"MXNet needs the system library {library}: install the Debian package {package}"
        ) from error
load_cuda()
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # MXNet 1.9.1 uses np.bool
    import mxnet as mx

__all__ = ["mx"]
