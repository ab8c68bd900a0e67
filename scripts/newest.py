"""Pin the newest versions that go together in place of those that are pinned: run `make newest`.

MXNet is retired, and works with a NumPy of a range. From 0.3.15 on the registry's client speaks a
version of the protocol that no server before 0.3.15 knows, while newer servers know both.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
FILES = ("kfp_mnist_mxnet/compiler/requirements.txt", "kfp_mnist_mxnet/compiler/install.py")
KEPT = ("mxnet", "model-registry")
PIN = re.compile(r"\b([\w.-]+)==(\d[\w.]*)")


def newest(pins: dict[str, str]) -> dict[str, str]:
    """Return the newest versions that go together, name to version, of packages that are pinned.

    Where they differ between versions of Python, the oldest of them.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header"]
    command += ["--universal", "--python-version", "3.11", "-"]
    wanted = [f"{name}{'==' if name in KEPT else '>='}{pin}" for name, pin in pins.items()]
    resolved = subprocess.run(
        command, input="\n".join(wanted), check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    return dict(reversed(PIN.findall(resolved.stdout)))


def main() -> None:
    """Write the newest versions into the files that have pins."""
    texts = {ROOT / name: (ROOT / name).read_text() for name in FILES}
    versions = newest(dict(pin for text in texts.values() for pin in PIN.findall(text)))
    for path, text in texts.items():
        path.write_text(PIN.sub(lambda pin: f"{pin[1]}=={versions[pin[1].lower()]}", text))


if __name__ == "__main__":
    main()
