"""An exported model in a Kubeflow Model Registry, through the registry's own client.

A model has versions, a version has an artifact: the ONNX model, of which the registry has the
address.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import math
import os
import pathlib
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
from model_registry.core import ModelRegistryAPIClient
from model_registry.types import ModelArtifact, ModelVersion, RegisteredModel
from mr_openapi import Configuration
from mr_openapi.exceptions import ApiException, ConflictException, NotFoundException

from kfp_mnist_mxnet.errors import OWN_AUTHORITY, InvalidInput, Unavailable
from kfp_mnist_mxnet.export.layout import CARD_FILE, MODEL_FILE, VERSION
from kfp_mnist_mxnet.storage.artifact import regular_file
from kfp_mnist_mxnet.storage.destinations import parse_server
from kfp_mnist_mxnet.storage.secret import checked_secret

TOKEN = "KF_PIPELINES_SA_TOKEN_PATH"  # noqa: S105 (names the file, for all clients of Kubeflow)
DIGEST = "sha256"  # the property of a version that says which model it is
TIMEOUT = 60  # seconds that a try to register may take
RETRY_DELAYS = (0.5, 2.0, 8.0)  # seconds before another try
SHORT = 12  # digits of a digest that are a version


@dataclasses.dataclass(frozen=True)
class Entry:
    """What a registry gets of a model.

    uri: of the model's directory; digest: the SHA-256 of the ONNX file; figures: finite numbers.
    """

    name: str
    version: str
    uri: str
    digest: str
    figures: Mapping[str, float]

    def properties(self) -> dict[str, float | str]:
        """Return what the registry shows of the version."""
        card = f"{self.uri}/{CARD_FILE}"
        return {**self.figures, DIGEST: self.digest, "model_card": card}


def entry_of(directory: str, uri: str, version: str, figures: Mapping[str, Any]) -> Entry:
    """Return what a registry gets of the exported model in a directory.

    uri: the address of the directory; version: empty for the start of the digest; figures: of
    which those that are numbers are taken.

    Raises:
        InvalidInput: there is no exported model, or several, or the version is no word.
    """
    files = sorted(pathlib.Path(directory).glob(f"*/{VERSION}/{MODEL_FILE}"))
    if len(files) != 1:
        raise InvalidInput(
            f"{directory} has {len(files)} exported models, expected the one that export writes"
        )
    with regular_file(files[0].parent, MODEL_FILE).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not re.fullmatch(r"[\w.+-]{0,100}", version):
        raise InvalidInput(
            "model_version must be at most 100 letters, digits, '.', '_', '+' and '-', "
            f"got {version[:200]!r}"
        )
    name = files[0].parents[1].name
    numbers = {
        key: value
        for key, value in figures.items()
        if type(value) in (int, float) and math.isfinite(value)
    }
    # A model server knows the store as s3, which Kubeflow Pipelines calls minio.
    uri = re.sub("^minio://", "s3://", f"{uri.rstrip('/')}/{name}")
    return Entry(name, version or digest[:SHORT], uri, digest, numbers)


def register_model(registry_uri: str, entry: Entry) -> dict[str, str]:
    """Register a model; return its name, version and address, and the registry's ids.

    A version that is there with the same model is left as it is, with its address; what a
    registration that was cut short has left out is added.

    Raises:
        InvalidInput: registry_uri is no address of an HTTP server, the version is there with
            another model, or the registry refuses.
        Unavailable: the registry does not answer, or not in time, four times.
    """
    address = parse_server(registry_uri, "registry_uri")
    # The client's own constructors leave certificates unchecked, or want a token.
    host = f"{address.scheme}://{address.host}{address.path.rstrip('/')}"
    client = ModelRegistryAPIClient(Configuration(host=host, access_token=token()))
    for pause in RETRY_DELAYS:
        try:
            return registered(client, entry)
        except Unavailable as error:
            logging.warning("Trying again: %s", error)
            time.sleep(pause)
    return registered(client, entry)


def token() -> str | None:
    """Return the token that the environment names, None if it names none.

    Raises:
        InvalidInput: it can't be read, or has a character in it that no request may have.
    """
    path = os.environ.get(TOKEN)
    if not path:
        return None
    try:
        text = pathlib.Path(path).read_text()
    except OSError as error:
        raise InvalidInput(f"the token in {path}, of {TOKEN}, can't be read: {error}") from error
    except ValueError:  # of UTF-8: it would show a part of the token
        raise InvalidInput(f"the token in {path}, of {TOKEN}, is no text") from None
    return checked_secret(f"the token in {path}, of {TOKEN},", text)


def registered(client: ModelRegistryAPIClient, entry: Entry) -> dict[str, str]:
    """Register a model in one try, as `register_model` says."""
    attempt = asyncio.wait_for(upsert(client, entry), TIMEOUT)
    # In a thread of its own, as a notebook's has a loop that runs already.
    with translate_errors(client.config.host), ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, attempt).result()


async def upsert(client: ModelRegistryAPIClient, entry: Entry) -> dict[str, str]:
    """Find or make the model, its version and its artifacts.

    Raises:
        InvalidInput: the version is there with another model.
    """
    model = await client.get_registered_model_by_params(entry.name)
    model = model or await client.upsert_registered_model(RegisteredModel(name=entry.name))
    version = await client.get_model_version_by_params(model.id, entry.version)
    if version is None:
        new = ModelVersion(name=entry.version, custom_properties=entry.properties())
        version = await client.upsert_model_version(new, model.id)
    elif (known := (version.custom_properties or {}).get(DIGEST)) != entry.digest:
        raise InvalidInput(
            f"version {entry.version} of {entry.name} is registered with another model, whose "
            f"SHA-256 is {known}: choose another model_version"
        )
    artifact = await client.get_model_artifact_by_params(entry.name, version.id)
    if artifact is None:
        new_artifact = ModelArtifact(
            name=entry.name, uri=entry.uri, model_format_name="onnx", model_format_version="1"
        )
        artifact = await client.upsert_model_version_artifact(new_artifact, version.id)
    return {
        "name": entry.name,
        "version": entry.version,
        "uri": artifact.uri,
        "model_id": model.id,
        "version_id": version.id,
        "artifact_id": artifact.id,
    }


@contextlib.contextmanager
def translate_errors(host: str) -> Iterator[None]:
    """Turn what the client raises into our errors, in one sentence."""
    try:
        yield
    except NotFoundException as error:
        raise InvalidInput(f"{host} is no model registry: it answers with status 404") from error
    except ConflictException as error:
        raise Unavailable(f"{host}: something else registers this model now; try again") from error
    except ApiException as error:
        status = f"{host} answers with status {error.status}"
        if (error.status or 500) >= 500:
            raise Unavailable(f"{status}; try again later") from error
        said = " ".join(str(error.body or error.reason).split())[:200]
        raise InvalidInput(f"{status}: {said}") from error
    except InvalidInput:
        raise
    except ValueError as error:  # of JSON, or of pydantic
        raise InvalidInput(f"{host} is no model registry: it answers something else") from error
    except TimeoutError as error:
        raise Unavailable(f"{host} does not answer within {TIMEOUT} s") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise InvalidInput(f"{host}: no secure connection ({error}){OWN_AUTHORITY}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"{host} does not answer: {error}") from error
