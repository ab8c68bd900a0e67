"""Reaching an S3 server."""

from typing import Any


def object_store(uri: str, endpoint: str) -> tuple[Any, str, str]:
    """Return the client, the bucket and the key of s3://bucket/key or minio://bucket/key.

    endpoint: host:port, with http:// for no TLS; empty for $AWS_ENDPOINT_URL, else the store of
    Kubeflow Pipelines. Credentials come from the environment; without them the bucket is public.

    Raises:
        ValueError: the URI names no bucket.
    """
    import os
    import urllib.parse

    import minio
    import urllib3

    split = urllib.parse.urlsplit(uri)
    if not split.netloc:
        raise ValueError(f"{uri} must name a bucket: {split.scheme}://bucket/prefix")
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL") or "http://seaweedfs.kubeflow:9000"
    address = urllib.parse.urlsplit(endpoint if "://" in endpoint else "https://" + endpoint)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region and not address.netloc.endswith("amazonaws.com"):
        region = "us-east-1"  # else the SDK asks for the bucket's, which few credentials may
    client = minio.Minio(
        address.netloc,
        credentials=store_credentials(),
        secure=address.scheme != "http",
        region=region,
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=10, read=60),
            retries=urllib3.Retry(3, backoff_factor=0.5, status_forcelist=[500, 502, 503, 504]),
        ),
    )
    return client, split.netloc, split.path.strip("/")


def store_credentials() -> Any:
    """Return the provider of the AWS_* or MINIO_* credentials in the environment, else None."""
    import os

    from minio import credentials

    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return credentials.EnvAWSProvider()
    return credentials.EnvMinioProvider() if os.environ.get("MINIO_ACCESS_KEY") else None
