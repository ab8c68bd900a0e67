"""What a training elsewhere is told: on several nodes, or as a trial."""

import dataclasses
import json
from typing import Self

from kfp_mnist_mxnet.training.request import Request

RESULT = "result.zip"  # in the working store: what the first node wrote


@dataclasses.dataclass(frozen=True)
class Assignment:
    """What the nodes of a training are told, the same for each; a trial has one node.

    train_data, validation_data: directory or s3:// or minio:// address of a data set; the second
    may be empty. working_uri: where the result goes, and a checkpoint if the request names no
    place for it. attempt: tells these nodes from those of another attempt.
    """

    request: Request
    train_data: str
    validation_data: str
    working_uri: str
    num_nodes: int = 1
    attempt: str = ""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the assignment of a JSON text that to_json returned."""
        content = json.loads(text)
        return cls(**{**content, "request": Request(**content["request"])})

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(dataclasses.asdict(self))
