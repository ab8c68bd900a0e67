"""An IDX file of images to predict, and the indices of the shards to predict them in."""

from kfp.dsl import Dataset, Input, Model, Output

from kfp_mnist_mxnet.compiler.step import step


@step
def ingest_images(
    images: Output[Dataset],
    labels: Output[Dataset],
    data_uri: str = "mnist",
    images_file: str = "t10k-images-idx3-ubyte",
    labels_file: str = "t10k-labels-idx1-ubyte",
    shards: int = 4,
    s3_endpoint: str = "",
    model: Input[Model] = None,
    destination_uri: str = "",
    max_shards: int = 0,
) -> list[int]:
    """Ingest images to predict, with their labels if they have any.

    What the shards and the upload after them would refuse is refused here, once and early.

    Args:
        data_uri: Where the files are: mnist (public mirrors), a directory, or the prefix of
            http(s)://, s3:// or minio:// addresses; several, separated by white space, are mirrors
            and tried in order. In an address a space is written %20 and, unless it is http(s),
            # %23 and ? %3F; one existing directory may have spaces in its path.
        images_file: File name of the images; it may also end with .gz, and have idx4 for idx3.
        labels_file: File name of the labels; empty if there are none.
        shards: Number of shards, each predicted by a task of its own.
        s3_endpoint: host:port of the S3 server, with http:// if it has no TLS; empty for
            AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, else the store of Kubeflow Pipelines.
            Credentials come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
            or MINIO_ACCESS_KEY and MINIO_SECRET_KEY.
        model: Model that the images are for: it must be whole, and for images of their shape.
        destination_uri: Where the predictions will be uploaded, which must be writable; empty for
            nowhere.
        max_shards: How many shards the back end can hold in one run; 0 for any number.

    Returns:
        images: Directory with images.npy, uint8 (N, C, H, W), and dataset.json.
        labels: Directory with labels.npy, uint8 (N,) or (0,), and dataset.json.
        Output: The index of each shard: 0, 1 ... shards - 1.

    Raises:
        ValueError: A file is missing or damaged, the labels don't fit the images, or a parameter
            is out of range, there are more shards than the back end can hold, the model can't be
            read or is for images of another shape, or the destination can't be written.
    """
    import pathlib
    import tempfile

    from kfp_mnist_mxnet.data.image_set import check_shards, store_image_set
    from kfp_mnist_mxnet.data.names import check_names
    from kfp_mnist_mxnet.data.sources import fetch, read_mirrors
    from kfp_mnist_mxnet.errors import InvalidInput
    from kfp_mnist_mxnet.model.info import read_whole
    from kfp_mnist_mxnet.storage.staging import staged
    from kfp_mnist_mxnet.storage.upload import check_destination

    check_shards(shards, max_shards)
    names = {"test_images": images_file.strip(), "test_labels": labels_file.strip()}
    if not names["test_images"]:
        raise InvalidInput("images_file is empty: give the file name of the images")
    names = {part: name for part, name in names.items() if name}
    check_names(names)
    needed = read_whole(model.path).input_shape if model else None
    if destination_uri:
        check_destination(destination_uri, s3_endpoint)

    def attempt(mirror):
        with (
            tempfile.TemporaryDirectory() as downloads,
            staged(images, labels) as directories,
        ):
            files = fetch(mirror, names, pathlib.Path(downloads), s3_endpoint)
            return store_image_set(files, mirror.sha256, directories, mirror.shown, needed)

    about = read_mirrors(data_uri, attempt)
    images.metadata.update(about)
    labels.metadata.update(about)
    return list(range(shards))
