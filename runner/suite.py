"""The components of the suite, and the YAML by which other pipelines load them."""

import importlib
import pathlib
from typing import Any

import components
from runner.target import write_yaml

DIRECTORY = pathlib.Path(components.__file__).parent
YAML = DIRECTORY / "yaml"


def load_components() -> dict[str, Any]:
    """Return every component by its name: each is in a file of that name."""
    names = sorted(path.stem for path in DIRECTORY.glob("[a-z]*.py"))
    return {name: getattr(importlib.import_module(f"components.{name}"), name) for name in names}


COMPONENTS = load_components()


def main() -> None:
    """Write components/yaml/<name>.yaml for every component, as it runs on the public image."""
    for name, component in COMPONENTS.items():
        write_yaml(component, YAML / f"{name}.yaml")


if __name__ == "__main__":
    main()
