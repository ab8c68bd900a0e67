"""What a step on the public Python image installs before it starts."""

import dataclasses
import importlib.resources
import re
import shlex
from collections.abc import Iterable

PROJECT = "kfp-mnist-mxnet"
PYTHON_IMAGE = "python:3.13"
CPU_PINS = "requirements.txt"
CUDA_PINS = "requirements-gpu.txt"
LOCK = "lock.txt"
UV = "uv==0.13.9"

# uv installs a step's packages in a third of pip's time; where uv can't be had, pip does it. The
# packages go where any user may write.
#
# Of the variables of pip and uv only those count here which say where packages come from and how
# to get there. The others are meant for other installations and would break this one (PIP_USER,
# PIP_PREFIX), have it succeed without a package (PIP_ROOT, PIP_DRY_RUN, UV_EXCLUDE) or with those
# of another Python (PIP_PYTHON_VERSION, UV_PYTHON, a .venv). What pip's files say of the kind is
# set back by an option or a variable. uv reads neither, so what pip is told is handed over.
#
# With one -q pip would speak of its version and of root.
# Where pip installs the library, each byte of this stands in the back end's record some 60 times.
INDEX_VARIABLES = "INDEX|LINKS|"  # where packages come from
CONNECTION_VARIABLES = "HOST|CERT|PROXY|HTTP|TLS|TIMEOUT|RETRIES|FILE"  # how to get there
SCRIPT = r"""
export PYTHONPATH="$(mktemp -d)"
(
unset $(env | sed -nE "s/^((PIP|UV)_[A-Z_]+)=.*/\1/p" | grep -vE "{kept}")
export PIP_CONSTRAINT=/dev/null PIP_REQUIRE_VIRTUALENV=0{only}
told="$(python3 -m pip config list 2>/dev/null)"
tell() {{
  value="$(printf %s "$told" | sed -n "s/\\\\n/ /g;s/^[^=]*\.$2='\(.*\)'$/\1/p" | tail -n 1)"
  [ -z "$value" ] || printenv $1 >/dev/null || export "$1=$value"
}}
tell UV_DEFAULT_INDEX index-url
tell UV_INDEX extra-index-url
tell UV_INSECURE_HOST trusted-host
tell SSL_CERT_FILE cert
to="--no-deps --target $PYTHONPATH"
pip="python3 -m pip install -qq --no-user $to"
packages="$1"
$pip {uv} 2>/dev/null && $PYTHONPATH/bin/uv -q pip install --no-cache $to \
  -p "$(command -v python3)" $packages || $pip $packages
) || exit
shift
exec "$@"
"""

# What makes an index the only one. It stands for pip's extra index too, as an empty variable would
# not count against pip's files, and so does the directory, which is empty, for their find-links.
ONLY = (
    " UV_DEFAULT_INDEX={index} UV_CONFIG_FILE=/dev/null PIP_INDEX_URL={index}"
    " PIP_EXTRA_INDEX_URL={index} PIP_NO_INDEX=0 PIP_FIND_LINKS=$PYTHONPATH"
)


@dataclasses.dataclass(frozen=True)
class Base:
    """What a step that installs packages begins with.

    image: one with Python 3.11 to 3.14 and the libraries that MXNet loads. index: address of the
    only package index; empty for those that pip is told of in the step's container, else PyPI.
    """

    image: str = PYTHON_IMAGE
    index: str = ""


PUBLIC = Base()


def pins(file: str, names: Iterable[str] | None = None) -> list[str]:
    """Return the `name==version` lines of a requirements file, all or those of some names.

    Raises:
        KeyError: a name that is not pinned there.
    """
    found = [re.match(r"([\w.-]+)==[\w.]+", line) for line in resource(file)]
    pinned = {pin[1]: pin[0] for pin in found if pin}
    return [pinned[name] for name in (pinned if names is None else sorted(names))]


def resource(name: str) -> list[str]:
    """Return the lines of a file beside this one."""
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8").splitlines()


def with_dependencies(packages: Iterable[str]) -> set[str]:
    """Return packages and what they need, as the lock has it.

    A line of the lock is `name==version  # via PACKAGE, ...`: which packages need this one.
    """
    needs: dict[str, set[str]] = {}
    for line in resource(LOCK):
        name, _, parents = re.fullmatch(r"([\w.-]+)==(\S+)\s*(?:# via (.*))?", line).groups()  # type: ignore[union-attr]
        for parent in (parents or "").split(", "):
            needs.setdefault(parent, set()).add(name)
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += needs.get(name, ())
    return found


def step_pins(packages: Iterable[str], cuda: bool = False) -> list[str]:
    """Return the pins of the packages that a step imports, of what they need, and of kfp.

    kfp comes without what it needs, which no step does. cuda: with the CUDA build of MXNet, and
    what it loads, in place of the CPU's.
    """
    names = with_dependencies(packages)
    kfp = pins(CPU_PINS, ["kfp"])
    if not (cuda and "mxnet" in names):
        return sorted(pins(LOCK, names) + kfp)
    return sorted(pins(LOCK, names - {"mxnet"}) + pins(CUDA_PINS) + kfp)


def install_script(index: str = "") -> str:
    """Return a shell script that installs packages, then runs a command.

    Its first argument is the packages, separated by spaces; the others are the command.
    index: address of the only index that is asked; empty for those that pip is told of.
    """
    if not index:
        return SCRIPT.format(uv=UV, only="", kept=INDEX_VARIABLES + CONNECTION_VARIABLES)
    only = ONLY.format(index=shlex.quote(index))
    return SCRIPT.format(uv=UV, only=only, kept=CONNECTION_VARIABLES)


def install_command(packages: Iterable[str], index: str = "") -> list[str]:
    """Return a command that installs packages, then runs its arguments; index: as above."""
    return ["sh", "-c", install_script(index), "sh", " ".join(packages)]
