"""Time and memory of ingest against `gzip -dc FILE > /dev/null` on the same files.

    python benchmarks/ingest.py [--images N ...] [--json]

For each number of images (training and test images in MNIST's 6 to 1; the images of MNIST again
and again, gzipped) a fresh process runs the whole component. Measured are

peak     MiB, the resident memory of that process at its highest
ingest   seconds in the component: decode, check, hash, split, write, count, but without drawing
report   seconds to draw the report, nearly the same for every size
gzip     seconds of `gzip -dc FILE > /dev/null` for the four files, one after the other
ratio    ingest / gzip

Ingest and gzip take turns; the best of several runs counts for each.
"""

import argparse
import gzip
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
from kfp import dsl
from tabulate import tabulate

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))


from kfp_mnist_mxnet.components.ingest import ingest
from kfp_mnist_mxnet.data.idx import IdxFile
from kfp_mnist_mxnet.data.mnist import keep
from kfp_mnist_mxnet.data.names import STANDARD_NAMES
from kfp_mnist_mxnet.data.sources import Mirror, fetch, read_mirrors
from kfp_mnist_mxnet.reports import data as data_report


def write_files(directory: pathlib.Path, images: int) -> None:
    """Write a gzipped data set of so many images, 6 of 7 for training: MNIST, repeated.

    A gzip file may have several members, so that nothing is compressed twice.
    """
    arrays = mnist()
    for split, count in (("train", images - images // 7), ("test", images // 7)):
        for kind, shape in (("images", (28, 28)), ("labels", ())):
            array = arrays[f"{split}_{kind}"]
            header = struct.pack(f">BBBB{1 + len(shape)}I", 0, 0, 8, 1 + len(shape), count, *shape)
            whole = gzip.compress(array.tobytes(), 6)
            name = STANDARD_NAMES[f"{split}_{kind}"]
            with (directory / f"{name}.gz").open("wb") as file:
                file.write(gzip.compress(header))
                for _ in range(count // len(array)):
                    file.write(whole)
                file.write(gzip.compress(array[: count % len(array)].tobytes(), 6))


def mnist() -> dict[str, np.ndarray]:
    """Return the four parts of MNIST, uint8, by name."""

    def attempt(mirror: Mirror) -> dict[str, np.ndarray]:
        arrays = {}
        with tempfile.TemporaryDirectory() as directory:
            files = fetch(mirror, STANDARD_NAMES, pathlib.Path(directory), "")
            for part, (path, name) in files.items():
                with IdxFile(path, name, mirror.sha256[part]) as idx:
                    arrays[part] = np.concatenate(list(idx.blocks))
            keep(files)
        return arrays

    return read_mirrors("mnist", attempt)


def ingest_once(source: str, root: str) -> None:
    """Run the component in this process and print seconds, seconds of drawing and peak MiB."""
    drawing = 0.0
    draw = data_report.write_data_report

    def timed(*arguments) -> None:
        nonlocal drawing
        started = time.perf_counter()
        draw(*arguments)
        drawing += time.perf_counter() - started

    data_report.write_data_report = timed  # type: ignore[assignment]
    outputs = {
        name: dsl.Dataset(uri=f"{root}/{name}")
        for name in ("train_data", "validation_data", "test_data")
    }
    started = time.perf_counter()
    ingest.python_func(**outputs, data_report=dsl.HTML(uri=f"{root}/data_report"), data_uri=source)
    seconds = time.perf_counter() - started - drawing
    # Not ru_maxrss, which counts the parent's memory at the fork.
    status = pathlib.Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps([seconds, drawing, peak / 1024]))


def measure(images: int, repeats: int) -> dict[str, float]:
    """Return the best seconds of ingest and gzip, and the highest peak, for so many images."""
    runs, unzipped = [], []
    with tempfile.TemporaryDirectory() as source:
        write_files(pathlib.Path(source), images)
        for _ in range(repeats):
            started = time.perf_counter()
            for path in sorted(pathlib.Path(source).glob("*.gz")):
                subprocess.run(["gzip", "-dc", path], stdout=subprocess.DEVNULL, check=True)
            unzipped.append(time.perf_counter() - started)
            with tempfile.TemporaryDirectory() as root:
                command = [sys.executable, __file__, "--once", source, root]
                printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
            runs.append(json.loads(printed))
    seconds, drawing, _ = map(min, zip(*runs, strict=True))
    return {
        "images": images,
        "peak": max(peak for *_, peak in runs),
        "ingest": seconds,
        "report": drawing,
        "gzip": min(unzipped),
        "ratio": seconds / min(unzipped),
    }


def main() -> None:
    """Measure each size and print a table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[60_000, 600_000, 6_000_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--once", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        return ingest_once(*options.once)
    rows = [measure(images, repeats=5 if images <= 1_000_000 else 2) for images in options.images]
    print(tabulate(rows, headers="keys", floatfmt=".2f", intfmt=","))
    if options.json:
        result = {
            "images": options.images,
            "peak_mib": [round(row["peak"], 1) for row in rows],
            "ratio_to_gzip": [round(row["ratio"], 3) for row in rows],
        }
        print(json.dumps(result))
    return None


if __name__ == "__main__":
    main()
