"""The layout of a model artifact, a directory.

model-symbol.json, model-0000.params  the Module checkpoint
model.json  format, input_shape [C, H, W], num_classes, sha256 of the two checkpoint files,
            hyperparameters, history, train_data_sha256, versions, and, where they are known,
            class_names and data: source, class_counts, pixel_mean and pixel_std (0 to 1) of the
            training images, and validation_images, how many there were
"""

import dataclasses
import hashlib
import json
import math
import pathlib
from typing import Any, Self

from kfp_mnist_mxnet.data.class_names import check_class_names
from kfp_mnist_mxnet.errors import DamagedFile, InvalidInput
from kfp_mnist_mxnet.storage.artifact import read_json, regular_file

FORMAT = 1  # the version of the layout that this code writes and reads
INFO_FILE = "model.json"
SYMBOL_FILE = "model-symbol.json"
PARAMETERS_FILE = "model-0000.params"
CHECKPOINT_FILES = (SYMBOL_FILE, PARAMETERS_FILE)
LARGEST_IMAGE = 64 << 20  # bytes


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What is known about a model: the content of model.json.

    What prediction needs is checked; the rest says how the model was made, and a model from
    elsewhere may lack it. class_names: of all classes, or empty; stop_reason: why training ended;
    diverged: why it ended without a model, if it did; sha256: file name to digest.
    """

    input_shape: list[int]
    num_classes: int
    hyperparameters: Any = None
    history: Any = None
    train_data_sha256: str = ""
    class_names: list[str] = dataclasses.field(default_factory=list)
    versions: Any = None
    data: Any = None
    stop_reason: str = ""
    diverged: str = ""
    sha256: dict[str, str] = dataclasses.field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def load(cls, directory: str | pathlib.Path) -> Self:
        """Read model.json.

        Raises:
            InvalidInput: it is missing or damaged, is of another format, or is not what the layout
                says.
        """
        content = read_json(directory, INFO_FILE)
        version = content.get("format")
        if version is None:
            raise DamagedFile(
                f"{directory}/model.json is damaged, or older than format 1: it has no format"
            )
        if version != FORMAT:
            raise InvalidInput(
                f"{directory}/model.json has the format {version!r}, expected {FORMAT}: "
                "use the release of the components that wrote it, or train again"
            )
        if content.get("diverged"):
            raise InvalidInput(f"{directory} has no model: {content['diverged']}")
        problem = describe_damage(content)
        if problem:
            raise DamagedFile(f"{directory}/model.json: {problem}")
        check_class_names(content.get("class_names", []), content["num_classes"])
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in names})

    def save(self, directory: pathlib.Path) -> None:
        """Write model.json."""
        content = dataclasses.asdict(self)
        for name in ("class_names", "data", "diverged", "stop_reason"):
            if not content[name]:
                del content[name]
        text = json.dumps(content, indent=1, sort_keys=True)
        (directory / INFO_FILE).write_text(text)

    def check_files(self, directory: str | pathlib.Path) -> None:
        """Check the model's files against their digests.

        Raises:
            InvalidInput: a file is missing, cut short or changed.
        """
        for name in CHECKPOINT_FILES:
            if file_sha256(regular_file(directory, name)) != self.sha256.get(name):
                raise DamagedFile(
                    f"{directory}/{name} was cut short or changed: its SHA-256 is not the one "
                    "in model.json"
                )


def read_whole(directory: str | pathlib.Path) -> ModelInfo:
    """Return what is known about a model whose files are all there and as they were written.

    Raises:
        InvalidInput: a file is missing, cut short or changed, or is of another format.
    """
    check_present(directory, INFO_FILE)
    info = ModelInfo.load(directory)  # which says whether there is a model
    check_present(directory, *CHECKPOINT_FILES)
    info.check_files(directory)
    return info


def check_present(directory: str | pathlib.Path, *names: str) -> None:
    """Check that files of a model directory are there.

    Raises:
        InvalidInput: one is missing.
    """
    for name in names:
        if not pathlib.Path(directory, name).exists():
            raise InvalidInput(f"{directory} is not a model: it has no file {name}")


def describe_damage(content: dict[str, Any]) -> str:
    """Return what is wrong with the entries of model.json that prediction needs, if anything."""
    shape, num_classes = content.get("input_shape"), content.get("num_classes")
    if not (
        isinstance(shape, list)
        and len(shape) == 3
        and all(type(size) is int and size > 0 for size in shape)
    ):
        return f"input_shape must be three positive whole numbers, got {shape!r}"
    if math.prod(shape) > LARGEST_IMAGE:
        return f"input_shape must be at most 64 MiB an image, got {shape!r}"
    if not (type(num_classes) is int and 2 <= num_classes <= 256):
        return f"num_classes must be a whole number from 2 to 256, got {num_classes!r}"
    if not isinstance(content.get("sha256"), dict):
        return f"sha256 must map the checkpoint files to digests, got {content.get('sha256')!r}"
    return ""


def file_sha256(path: pathlib.Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
