"""An artifact to an object store."""

from kfp.dsl import Dataset, Input

from kfp_mnist_mxnet.compiler.step import step


@step
def upload(
    predictions: Input[Dataset],
    destination_uri: str,
    s3_endpoint: str = "",
) -> dict:
    """Upload predictions to an object store and check that they arrived.

    Every file is read back after its upload; size and SHA-256 must be those of the file sent.

    Args:
        predictions: Directory whose files are uploaded under their own names.
        destination_uri: s3://bucket/prefix or minio://bucket/prefix, in a bucket that exists; empty
            to do nothing.
        s3_endpoint: host:port of the S3 server, with http:// if it has no TLS; empty for
            AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, else the store of Kubeflow Pipelines.
            Credentials come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
            or MINIO_ACCESS_KEY and MINIO_SECRET_KEY.

    Returns:
        Output: File name to SHA-256 of what was uploaded; empty if it was skipped.

    Raises:
        ValueError: The destination is no such URI, the store refuses, or it has other bytes.
        ConnectionError: The store does not answer.
    """
    import logging

    if not destination_uri:
        logging.info("skipped: destination_uri is not set")
        return {}

    from kfp_mnist_mxnet.storage.upload import upload_directory

    digests = upload_directory(predictions.path, destination_uri, s3_endpoint)
    for name, digest in digests.items():
        logging.info("%s has %s with the SHA-256 %s", destination_uri, name, digest)
    return digests
