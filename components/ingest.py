"""IDX files to data set artifacts."""

from kfp.dsl import HTML, Dataset, Output

from kfp_mnist_mxnet.compiler.step import step


@step
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
    class_names: list[str] = [],
):
    """Ingest the four IDX files of an image data set as three splits.

    Images are stored as (N, H, W) or with channels, (N, H, W, C) or (N, C, H, W); the sizes tell
    which: 1, 3 or 4 at one end, and squares. Where they don't, the file is refused.

    A split is a directory: images.npy, uint8 (N, C, H, W); labels.npy, uint8 (N,);
    dataset.json, which says what the artifact's metadata says.

    Args:
        data_uri: Where the files are: mnist (public mirrors), a directory, or the prefix of
            http(s)://, s3:// or minio:// addresses; several, separated by white space, are mirrors
            and tried in order. In an address a space is written %20 and, unless it is http(s),
            # %23 and ? %3F; one existing directory may have spaces in its path.
        validation_fraction: Share of the training images of each class that is held out.
        seed: Chooses which images are held out.
        sha256: Expected digests of the decompressed files, a JSON object of file name to
            hexadecimal digest; empty for no such check.
        s3_endpoint: host:port of the S3 server, with http:// if it has no TLS; empty for
            AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, else the store of Kubeflow Pipelines.
            Credentials come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
            or MINIO_ACCESS_KEY and MINIO_SECRET_KEY.
        train_images_file: File name of the training images; empty for train-images-idx3-ubyte or,
            with channels, train-images-idx4-ubyte.
        train_labels_file: File name of the training labels; empty for train-labels-idx1-ubyte.
        test_images_file: File name of the test images; empty for t10k-images-idx3-ubyte or,
            with channels, t10k-images-idx4-ubyte.
        test_labels_file: File name of the test labels; empty for t10k-labels-idx1-ubyte.
        class_names: Name of each class; empty for those in class_names.txt beside the files, one a
            line, if it is there, else for the labels.

    Returns:
        train_data: Training images and labels without those held out.
        validation_data: Images held out of the training images.
        test_data: Test images and labels.
        data_report: What the data looks like.

    Raises:
        ValueError: A file is missing or damaged, the parts don't fit, a parameter is out of range,
            or the class names are not one for each class.
    """
    import pathlib
    import tempfile

    from kfp_mnist_mxnet.data import mnist
    from kfp_mnist_mxnet.data.ingestion import check_hold_out, ingest_files, read_digests
    from kfp_mnist_mxnet.data.names import STANDARD_NAMES, check_names
    from kfp_mnist_mxnet.data.sources import fetch, fetch_class_names, read_mirrors
    from kfp_mnist_mxnet.reports.data import write_data_report
    from kfp_mnist_mxnet.storage.staging import staged

    check_hold_out(validation_fraction, seed)
    given = (train_images_file, train_labels_file, test_images_file, test_labels_file)
    names = {
        part: name.strip() or standard
        for (part, standard), name in zip(STANDARD_NAMES.items(), given, strict=True)
    }
    check_names(names)
    digests = read_digests(sha256, names)
    artifacts = (train_data, validation_data, test_data)

    def attempt(mirror):
        expected = {**digests, **mirror.sha256}
        with (
            tempfile.TemporaryDirectory() as downloads,
            staged(*artifacts, data_report) as (*directories, report),
        ):
            place = pathlib.Path(downloads)
            files = fetch(mirror, names, place, s3_endpoint)
            splits = ingest_files(
                files,
                expected,
                directories,
                validation_fraction,
                seed,
                mirror.shown,
                class_names or fetch_class_names(mirror, place, s3_endpoint),
            )
            write_data_report(report, splits)
            if mirror.is_mnist:
                mnist.keep(files)
        return splits

    splits = read_mirrors(data_uri, attempt)
    for artifact, split in zip(artifacts, splits.values(), strict=True):
        artifact.metadata.update(split.info.metadata())
