"""The CUDA build without a GPU: a stand-in for the driver, and the real build where it is."""

import ctypes
import os
import pathlib
import shutil
import subprocess

import pytest
from conftest import ROOT

from kfp_mnist_mxnet.compiler.install import CUDA_PINS, pins
from kfp_mnist_mxnet.runtime.cuda import check_compute_capability, gpu_capabilities, load_cuda

# An interpreter that has kfp and requirements-gpu.txt: about 4 GB, so it is not in .venv.
CUDA_PYTHON = os.environ.get("CUDA_PYTHON", "")
needs_cuda_build = pytest.mark.skipif(
    not CUDA_PYTHON, reason="CUDA_PYTHON names no interpreter with the CUDA build of MXNet"
)

# What libmxnet.so of the CUDA build asks of the driver, and what load_cuda asks.
DRIVER = """
#define FAIL(name) int name() { return 100; } /* CUDA_ERROR_NO_DEVICE */
FAIL(cuDevicePrimaryCtxRetain) FAIL(cuGetErrorString) FAIL(cuGraphKernelNodeGetParams)
FAIL(cuGraphNodeGetType) FAIL(cuLaunchKernel) FAIL(cuModuleGetFunction) FAIL(cuModuleLoadData)
FAIL(cuModuleLoadDataEx) FAIL(cuModuleUnload)
int cuInit(unsigned flags) { return INIT; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetAttribute(int *value, int code, int device) {
  *value = code == 75 ? MAJOR : code == 76 ? MINOR : 0;
  return 0;
}
"""


def make_driver(directory: pathlib.Path, init=0, count=0, major=0, minor=0) -> pathlib.Path:
    """Compile a libcuda.so.1 that answers so."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for a stand-in of the driver")
    source = directory / "driver.c"
    source.write_text(DRIVER)
    library = directory / "libcuda.so.1"
    values = {"INIT": init, "COUNT": count, "MAJOR": major, "MINOR": minor}
    flags = [f"-D{name}={value}" for name, value in values.items()]
    subprocess.run([compiler, "-shared", "-fPIC", *flags, source, "-o", library], check=True)
    return library


def load(library: pathlib.Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(library))


def test_reads_the_compute_capability_of_every_gpu(tmp_path):
    driver = load(make_driver(tmp_path, count=2, major=8, minor=6))
    assert gpu_capabilities(driver) == [(8, 6), (8, 6)]


def test_a_driver_that_does_not_start_shows_no_gpu(tmp_path):
    assert gpu_capabilities(load(make_driver(tmp_path, init=100, count=2))) == []


@pytest.mark.parametrize(("major", "minor"), [(7, 0), (7, 5), (8, 0), (8, 6), (8, 9)])
def test_takes_the_gpus_that_the_build_has_code_for(tmp_path, major, minor):
    check_compute_capability(load(make_driver(tmp_path, count=1, major=major, minor=minor)))


@pytest.mark.parametrize(("major", "minor"), [(3, 7), (9, 0), (10, 0)])
def test_refuses_a_gpu_that_the_build_has_no_code_for(tmp_path, major, minor):
    driver = load(make_driver(tmp_path, count=1, major=major, minor=minor))
    with pytest.raises(RuntimeError, match=rf"GPU 0 has the compute capability {major}\.{minor}"):
        check_compute_capability(driver)


def test_does_nothing_with_the_cpu_build(monkeypatch):
    opened = []
    monkeypatch.setattr("ctypes.CDLL", lambda *names, **_: opened.append(names))
    load_cuda()
    assert opened == []


def test_names_the_missing_driver(tmp_path, monkeypatch):
    about = tmp_path / "mxnet_cu117-1.9.1.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text("Metadata-Version: 2.1\nName: mxnet-cu117\nVersion: 1.9.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeError, match="no NVIDIA driver"):
        load_cuda()


def run_cuda(program: str, library_path: pathlib.Path) -> subprocess.CompletedProcess:
    env = {**os.environ, "LD_LIBRARY_PATH": str(library_path), "PYTHONPATH": str(ROOT)}
    command = [CUDA_PYTHON, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, env=env)


IMPORT = "from kfp_mnist_mxnet.runtime.engine import mx; print(mx.context.num_gpus())"


@needs_cuda_build
def test_the_cuda_build_imports_with_only_the_driver_stubbed(tmp_path):
    make_driver(tmp_path, init=100)
    done = run_cuda(IMPORT, tmp_path)
    assert done.stdout.strip() == "0", done.stderr


@needs_cuda_build
def test_the_cuda_build_without_a_driver_is_one_sentence(tmp_path):
    done = run_cuda(IMPORT, tmp_path)
    assert done.returncode == 1
    assert "MissingLibrary: this node has no NVIDIA driver" in done.stderr.splitlines()[-1]


@needs_cuda_build
def test_device_gpu_without_a_gpu_says_what_was_found(tmp_path):
    make_driver(tmp_path, init=100)
    program = "from kfp_mnist_mxnet.runtime.devices import *; contexts('gpu', count_gpus())"
    done = run_cuda(program, tmp_path)
    assert "is built for CUDA" in done.stderr.splitlines()[-1]
    assert "0 GPUs are visible" in done.stderr.splitlines()[-1]


@needs_cuda_build
def test_every_library_but_the_drivers_is_a_pinned_package():
    command = [CUDA_PYTHON, "-m", "pip", "list", "--format=freeze"]
    installed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert set(pins(CUDA_PINS)) <= set(installed)
