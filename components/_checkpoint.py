"""Checkpoints: what training needs to go on after the last whole epoch, in one file.

checkpoint.npz  NumPy arrays (zip with CRC-32): arg:NAME and aux:NAME, the Module's parameters;
state:INDEX:I, the optimizer's; progress, JSON with training (what it belongs to) and history
(one record for each epoch). No random state: each epoch's is made from the seed and its number.
"""

from typing import Any

from components._files import npy_header
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
    import json
    import zipfile

    try:
        arrays = read_npz(content)
        progress = json.loads(str(arrays.pop("progress")))
        before, history = progress["training"], progress["history"]
        if not isinstance(before, dict):
            raise ValueError(f"training must be a JSON object, got {before!r}")
        check_history(history)
    except (
        *(ValueError, KeyError, TypeError, OSError, EOFError, RecursionError, zipfile.BadZipFile),
        *(NotImplementedError, RuntimeError),  # zipfile: an unknown method, an encrypted file
    ) as error:
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


def read_npz(content: bytes) -> dict[str, Any]:
    """Return the arrays by name of a file that numpy.savez wrote.

    Nothing in it is compressed, so its arrays take no more memory than the file.

    Raises:
        ValueError: an array is compressed, damaged, or of a type that savez pickles.
        zipfile.BadZipFile, RuntimeError, NotImplementedError: it is no zip file, or another kind.
    """
    import io
    import zipfile

    import numpy as np

    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("it is compressed")
        if sum(member.file_size for member in members) > len(content):
            raise ValueError("its parts are larger than the whole")
        for member in members:
            data = archive.read(member)
            descr, shape, offset = npy_header(data, len(data), member.filename)
            array = np.frombuffer(data, descr, offset=offset).reshape(shape)
            arrays[member.filename[: -len(".npy")]] = array
    return arrays


def check_history(history: Any) -> None:
    """Check the history of a checkpoint: a record of numbers for each epoch, at least one.

    Raises:
        ValueError: it is something else.
        KeyError, TypeError: a record is something else.
    """
    import math

    if not isinstance(history, list) or not history:
        raise ValueError("history must be a list with a record for each epoch")
    for record in history:
        numbers = [record[name] for name in ("train_accuracy", "train_loss")]
        numbers += [record[name] for name in ("seconds", "samples_per_second")]
        numbers += [value for point in record["curve"] for value in point]
        numbers += [record.get("validation_accuracy", 0.0)]
        points = {len(point) for point in record["curve"]}
        if points != {4} or not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
            raise ValueError(f"history has the record {str(record)[:200]}")


def check_arrays(module: Any, arrays: dict[str, Any], name: str) -> None:
    """Check that the arrays of a checkpoint are those of a Module.

    arrays: as unpack_progress returns them; name: what messages call the checkpoint.

    Raises:
        ValueError: an array is missing, or there is one that the Module has not.
    """
    arguments, auxiliary = module.get_params()
    shapes = {f"arg:{key}": array.shape for key, array in arguments.items()}
    states = {
        f"state:{index}:{i}": shapes[f"arg:{key}"]
        for index, key in module._optimizer.idx2name.items()
        for i in range(2)
    }
    shapes |= {f"aux:{key}": array.shape for key, array in auxiliary.items()}
    found = {key: array.shape for key, array in arrays.items()}
    wrong = [key for key, shape in shapes.items() if found.get(key) != shape]
    known = {**shapes, **states}
    wrong += [key for key, shape in found.items() if known.get(key) != shape]
    wrong += [key for key, array in arrays.items() if array.dtype != "float32"]
    if wrong:
        raise ValueError(
            f"the checkpoint {name} is damaged: remove it to start again "
            f"({wrong[0]} does not fit the network)"
        )


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
