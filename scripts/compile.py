"""Write compiled/, the pipelines for both targets and the components: run `make yaml`."""

import pathlib

from kfp_mnist_mxnet.compiler.target import Target, file_name, write_yaml
from kfp_mnist_mxnet.components import COMPONENTS
from kfp_mnist_mxnet.pipeline import PIPELINES

COMPILED = pathlib.Path(__file__).parents[1] / "compiled"


def main() -> None:
    """Write every YAML."""
    for name, made in PIPELINES.items():
        for gpu in (True, False):
            write_yaml(made(Target(gpu=gpu)), COMPILED / file_name(name, gpu))
    for name, component in COMPONENTS.items():
        write_yaml(component, COMPILED / "components" / f"{name}.yaml")


if __name__ == "__main__":
    main()
