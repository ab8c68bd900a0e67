"""An IDX file of images to predict, and the indices of the shards to predict them in."""

from kfp.dsl import Dataset, Output

from components import _artifact, _dataset, _files, _idx, _image_set, _object_store, _source
from components._artifact import staged
from components._image_set import store_image_set
from components._source import check_names, fetch, from_mirrors, without_secrets
from components._step import step


@step(
    packages=["isal", "minio", "numpy", "tqdm", "urllib3"],
    helpers=[_artifact, _dataset, _files, _idx, _image_set, _object_store, _source],
)
def ingest_images(
    images: Output[Dataset],
    labels: Output[Dataset],
    data_uri: str = "mnist",
    images_file: str = "t10k-images-idx3-ubyte",
    labels_file: str = "t10k-labels-idx1-ubyte",
    shards: int = 4,
    s3_endpoint: str = "",
) -> list[int]:
    """Ingest images to predict, with their labels if they have any.

    Args:
        data_uri: Where the files are: mnist (public mirrors), a directory, or the prefix of
            http(s)://, s3:// or minio:// addresses; several, separated by white space, are mirrors
            and tried in order. A space in an address is written %20; one existing directory may
            have spaces in its path.
        images_file: File name of the images; it may also end with .gz.
        labels_file: File name of the labels; empty if there are none.
        shards: Number of parts that the images are predicted in, each by a task of its own.
        s3_endpoint: host:port of the S3 server, with http:// if it has no TLS; empty for
            AWS_ENDPOINT_URL, else the store of Kubeflow Pipelines. Credentials come from the
            environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or MINIO_ACCESS_KEY and
            MINIO_SECRET_KEY.

    Returns:
        images: Directory with images.npy, uint8 (N, C, H, W), and dataset.json.
        labels: Directory with labels.npy, uint8 (N,) or (0,), and dataset.json.
        Output: The index of each shard: 0, 1 ... shards - 1.

    Raises:
        ValueError: A file is missing or damaged, the labels don't fit the images, or a parameter
            is out of range.
    """
    import pathlib
    import tempfile

    if not 1 <= shards <= 1000:
        raise ValueError(f"shards must be from 1 to 1000, got {shards}")
    names = {"test_images": images_file.strip(), "test_labels": labels_file.strip()}
    if not names["test_images"]:
        raise ValueError("images_file is empty: give the file name of the images")
    names = {part: name for part, name in names.items() if name}
    check_names(names)

    def attempt(uri: str, known: dict[str, str]) -> dict:
        source = "mnist" if known else without_secrets(uri)
        with (
            tempfile.TemporaryDirectory() as downloads,
            staged(images, labels) as directories,
        ):
            files = fetch(uri, names, pathlib.Path(downloads), s3_endpoint, npm=bool(known))
            return store_image_set(files, known, directories, source)

    about = from_mirrors(data_uri, attempt)
    images.metadata.update(about)
    labels.metadata.update(about)
    return list(range(shards))
