"""The components of the suite, and the YAML by which other pipelines load them."""

import pathlib
from typing import Any

from components.compare import compare
from components.evaluate import evaluate
from components.ingest import ingest
from components.ingest_images import ingest_images
from components.merge import merge
from components.plan import plan
from components.predict import predict
from components.train import train
from components.upload import upload
from runner.target import write_yaml

COMPONENTS: dict[str, Any] = {
    component.python_func.__name__: component
    for component in (
        *(ingest, train, evaluate, predict),
        *(plan, compare),
        *(ingest_images, merge, upload),
    )
}
YAML = pathlib.Path(__file__).parents[1] / "components" / "yaml"


def main() -> None:
    """Write components/yaml/<name>.yaml for every component, as it runs on the public image."""
    for name, component in COMPONENTS.items():
        write_yaml(component, YAML / f"{name}.yaml")


if __name__ == "__main__":
    main()
