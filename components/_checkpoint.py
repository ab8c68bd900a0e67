"""Checkpoints: what training needs to go on after the last whole epoch, in one file.

checkpoint.npz  NumPy arrays (zip with CRC-32): arg:NAME and aux:NAME, the Module's parameters;
state:INDEX:I, the optimizer's; progress, JSON with training (what it belongs to) and history
(one record for each epoch). No random state: each epoch's is made from the seed and its number.
"""

from typing import Any

from components._object_store import network_fault, s3_client, s3_credentials


def open_checkpoint(uri: str, endpoint: str) -> Any:
    """Return how to read and write the checkpoint of a directory or prefix: (name, read, write).

    uri: a directory (a path or file:///path), s3://bucket/prefix or minio://bucket/prefix.
    endpoint: as for s3_client. read() returns bytes, None where there is no checkpoint yet;
    write(bytes) replaces it whole or leaves it as it was.

    Raises:
        ValueError: another scheme, no bucket, credentials in the URI or none in the environment.
    """
    import os
    import pathlib
    import urllib.parse

    parts = urllib.parse.urlsplit(uri)
    if parts.netloc and ("@" in parts.netloc or parts.query or parts.fragment):
        raise ValueError(
            "checkpoint_uri must be a path, s3://bucket/prefix or minio://bucket/prefix without "
            f"credentials, got the scheme {parts.scheme!r} and the path {parts.path!r}"
        )
    name = f"{uri.rstrip('/')}/checkpoint.npz"
    if parts.scheme in ("s3", "minio"):
        return (name, *object_checkpoint(name, endpoint))
    if parts.scheme not in ("", "file"):
        raise ValueError(
            f"checkpoint_uri has the scheme {parts.scheme!r}, expected a path, file, s3 or minio"
        )
    local = urllib.parse.unquote(parts.path) if parts.scheme else uri
    path = pathlib.Path(local, "checkpoint.npz")

    def read() -> Any:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.read_bytes() if path.is_file() else None

    def write(content: bytes) -> None:
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    return str(path), read, write


def object_checkpoint(name: str, endpoint: str) -> tuple[Any, Any]:
    """Return read and write, as open_checkpoint describes them, of one object of a store.

    Raises:
        ValueError: no bucket or no credentials.
    """
    import contextlib
    import io
    import urllib.parse

    import minio
    import urllib3

    split = urllib.parse.urlsplit(name)
    bucket, key = split.netloc, split.path.strip("/")
    if not bucket:
        raise ValueError(f"checkpoint_uri must name a bucket: {split.scheme}://bucket/prefix")
    if s3_credentials() is None:
        raise ValueError(
            f"{name} needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or MINIO_ACCESS_KEY and "
            "MINIO_SECRET_KEY, in the environment"
        )
    client, _ = s3_client(endpoint, timeout=60, retries=3)

    def read() -> Any:
        try:
            with contextlib.closing(client.get_object(bucket, key)) as response:
                return response.read()
        except minio.S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise ValueError(f"{name} can't be read: {error.code}: {error.message}") from error
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(f"{name} can't be reached: {network_fault(error)}") from error

    def write(content: bytes) -> None:
        try:
            client.put_object(bucket, key, io.BytesIO(content), len(content))
        except minio.S3Error as error:
            raise ValueError(f"{name} can't be written: {error.code}: {error.message}") from error
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(f"{name} can't be reached: {network_fault(error)}") from error

    return read, write


def pack_progress(module: Any, training: dict[str, Any], history: list[dict[str, Any]]) -> bytes:
    """Return a checkpoint of a Module after an epoch.

    training: what the checkpoint belongs to, JSON values; history: a record for each epoch.
    """
    import io
    import json

    import numpy as np

    arguments, auxiliary = module.get_params()
    arrays = {f"arg:{name}": array.asnumpy() for name, array in arguments.items()}
    arrays.update({f"aux:{name}": array.asnumpy() for name, array in auxiliary.items()})
    for index, state in module._updater.states.items():
        for i, array in enumerate(state if isinstance(state, tuple) else (state,)):
            if array is not None:  # plain SGD has no state
                arrays[f"state:{index}:{i}"] = array.asnumpy()
    arrays["progress"] = np.array(json.dumps({"training": training, "history": history}))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpack_progress(content: bytes, name: str, training: dict[str, Any]) -> tuple[Any, Any]:
    """Return the arrays by name and the history of a checkpoint.

    name: what messages call the checkpoint; training: what it must belong to.

    Raises:
        ValueError: it is damaged, or belongs to another training; the message says what differs.
    """
    import io
    import json
    import zipfile

    import numpy as np

    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        progress = json.loads(str(arrays.pop("progress")))
        before, history = progress["training"], progress["history"]
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"the checkpoint {name} is damaged: remove it to start again ({error!r})"
        ) from error
    differences = [
        f"{key} was {before.get(key)!r} and is {value!r} now"
        for key, value in training.items()
        if before.get(key) != value
    ]
    if differences:
        raise ValueError(
            f"the checkpoint {name} is of another training: {'; '.join(differences)}; "
            "choose another checkpoint_uri or remove it"
        )
    return arrays, history


def restore(module: Any, arrays: dict[str, Any]) -> None:
    """Put the parameters and the optimizer's state of a checkpoint into a Module.

    arrays: as unpack_progress returns them; the Module's optimizer is initialised.
    """
    import mxnet as mx

    parameters: dict[str, Any] = {"arg": {}, "aux": {}}
    states: dict[int, dict[int, Any]] = {}
    for key, array in arrays.items():
        kind, _, name = key.partition(":")
        if kind == "state":
            index, i = map(int, name.split(":"))
            states.setdefault(index, {})[i] = mx.nd.array(array)
        else:
            parameters[kind][name] = mx.nd.array(array)
    module.set_params(parameters["arg"], parameters["aux"])
    for index, parts in states.items():
        ordered = tuple(parts[i] for i in sorted(parts))
        module._updater.states[index] = ordered if len(ordered) > 1 else ordered[0]
        module._updater.states_synced[index] = False  # it moves to its context when it is used
