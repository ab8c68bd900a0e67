"""IDX files to data set artifacts."""

from kfp.dsl import HTML, Dataset, Output

from components import _artifact, _dataset, _idx, _ingestion, _report, _source
from components._artifact import staged
from components._dataset import write_dataset
from components._ingestion import hold_out, read_parts, write_data_report
from components._source import fetch
from components._step import step


@step(
    packages=["jinja2", "matplotlib", "numpy", "urllib3"],
    helpers=[_artifact, _dataset, _idx, _ingestion, _report, _source],
)
def ingest(
    train_data: Output[Dataset],
    validation_data: Output[Dataset],
    test_data: Output[Dataset],
    data_report: Output[HTML],
    data_uri: str = "mnist",
    validation_fraction: float = 0.1,
    seed: int = 0,
):
    """Ingest the four IDX files of an image data set as three splits.

    A split is a directory: images.npy, uint8 (N, C, H, W); labels.npy, uint8 (N,);
    dataset.json, which says what the artifact's metadata says.

    Args:
        data_uri: Where the files are: mnist (public mirrors), a directory or an http(s) prefix;
            several, separated by white space, are mirrors and tried in order.
        validation_fraction: Share of the training images of each class that is held out.
        seed: Chooses which images are held out.

    Returns:
        train_data: Training images and labels without those held out.
        validation_data: Images held out of the training images.
        test_data: Test images and labels.
        data_report: What the data looks like.

    Raises:
        ValueError: A file is missing or damaged, the parts don't fit, a parameter is out of range.
    """
    import pathlib
    import tempfile

    if not 0 <= validation_fraction < 1:
        raise ValueError(
            f"validation_fraction must be at least 0 and below 1, got {validation_fraction}"
        )
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    with tempfile.TemporaryDirectory() as downloads:
        parts = read_parts(fetch(data_uri, pathlib.Path(downloads)))
    held_out = hold_out(parts["train_labels"], validation_fraction, seed)
    splits = {
        "train": (parts["train_images"][~held_out], parts["train_labels"][~held_out]),
        "validation": (parts["train_images"][held_out], parts["train_labels"][held_out]),
        "test": (parts["test_images"], parts["test_labels"]),
    }
    num_classes = 1 + int(max(parts["train_labels"].max(), parts["test_labels"].max()))
    artifacts = (train_data, validation_data, test_data)
    with staged(*artifacts, data_report) as (*directories, report):
        abouts = [
            write_dataset(directory, images, labels, num_classes, source=data_uri)
            for directory, (images, labels) in zip(directories, splits.values())
        ]
        write_data_report(report, dict(zip(splits, abouts)), splits["train"])
    for artifact, about in zip(artifacts, abouts):
        artifact.metadata.update(about)
