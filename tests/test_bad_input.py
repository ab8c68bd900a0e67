"""Bad files and parameters, each given to a component: refused in one sentence, nothing left.

What test_idx, test_ingest, test_train, test_evaluate, test_predict and test_batch_predict refuse
already is not repeated here.
"""

import gzip
import io
import json
import os
import pathlib
import struct
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
from conftest import Artifacts, damage_model, new_data, write_idx_set
from kfp import dsl

from kfp_mnist_mxnet.components.compare import compare
from kfp_mnist_mxnet.components.evaluate import evaluate
from kfp_mnist_mxnet.components.ingest_images import ingest_images
from kfp_mnist_mxnet.components.merge import merge
from kfp_mnist_mxnet.components.plan import plan
from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.components.upload import upload
from kfp_mnist_mxnet.data.idx import IdxFile
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.model.parameters import parse_parameters

DEEP = b"[" * 100_000 + b"]" * 100_000
TOO_DEEP = "(recursion|Stack overflow)"  # in the words of Python before 3.14, and since


def refused(root: pathlib.Path, message: str, call, *arguments, **parameters) -> None:
    """Assert that a call is refused in one line and leaves nothing under the root."""
    before = sorted(root.rglob("*")) if root.exists() else []
    with pytest.raises(ValueError, match=message) as caught:
        call(*arguments, **parameters)
    assert isinstance(caught.value, InvalidInput)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500
    assert (sorted(root.rglob("*")) if root.exists() else []) == before


def idx(code: int, rank: int, *sizes: int, data: bytes = b"") -> bytes:
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, code, rank, *sizes) + data


TWO = idx(8, 3, 2, 2, 2, data=bytes(8))
BAD_IDX = {
    "wrong magic": (b"\1\0\x08\3" + TWO[4:], "it starts with"),
    "type code 0x0F": (idx(0x0F, 1, 1), "has the type code 0x0F"),
    "type code 0xFF": (idx(0xFF, 3, 1, 1, 1), "has the type code 0xFF"),
    "rank 255": (idx(8, 255, *[1] * 10), "has the rank 255"),
    "rank 1 for images": (idx(8, 1, 8, data=bytes(8)), "expected images as"),
    "rank 32": (idx(8, 32, *[1] * 32, data=b"0"), "expected images as"),
    "dimensions of zero": (idx(8, 3, 2, 0, 0), "got 0 bytes"),
    "a product beyond 64 bits": (idx(8, 3, *[2**32 - 1] * 3), "expected 79228162458924105385300"),
    "2^31 images in 30 bytes": (idx(8, 3, 2**31, 28, 28, data=bytes(14)), "found at most 14"),
    "2^31 images in 40 gzipped bytes": (gzip.compress(idx(8, 3, 2**31, 1, 1)), "found at most"),
    "an item of 65 MiB": (
        gzip.compress(idx(8, 3, 1, 65 << 10, 1 << 10, data=bytes(65 << 20))),
        "64",
    ),
    "a signalling NaN": (idx(0x0D, 3, 1, 1, 1, data=b"\x7f\xa0\0\1"), "the float32 value nan"),
    "gzip of gzip": (gzip.compress(gzip.compress(TWO, mtime=0)), "it starts with b'.x1f.x8b"),
    "gzip without data": (gzip.compress(b""), "it starts with b''"),
    "half a gzip header": (b"\x1f\x8b\x08\x10", "is cut short|can't be read"),
    "a gzip name that never ends": (
        b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 999,
        "cut short|be read",
    ),
    "two gzip members too many": (gzip.compress(TWO) * 3, "is too long"),
    "a damaged second member": (gzip.compress(TWO[:9]) + gzip.compress(TWO[9:])[:-3], "cut short"),
    "a line feed behind gzip data": (gzip.compress(TWO) + b"\n", "is too long: other bytes follow"),
    "channels at either end": (idx(8, 4, 1, 3, 9, 3, data=bytes(81)), "which may be"),
    "a zip file": (b"PK\3\4" + bytes(40), "it starts with b'PK"),
    "an empty file": (b"", "it starts with b''"),
}


def ingested(artifacts, source, **parameters) -> None:
    parameters = {"images_file": "file-idx3-ubyte", "labels_file": "", **parameters}
    artifacts.run(ingest_images, data_uri=str(source), **parameters)


@pytest.mark.parametrize("case", BAD_IDX)
def test_refuses_a_bad_idx_file(tmp_path, artifacts, case):
    content, message = BAD_IDX[case]
    (tmp_path / "file-idx3-ubyte").write_bytes(content)
    refused(artifacts.root, f"file-idx3-ubyte .*{message}", ingested, artifacts, tmp_path)


def test_a_gzip_bomb_of_labels_takes_no_memory(tmp_path, artifacts):
    (tmp_path / "file-idx3-ubyte").write_bytes(TWO)
    bomb = gzip.compress(idx(8, 1, 100 << 20, data=bytes(100 << 20)), 1)
    (tmp_path / "labels-idx1-ubyte").write_bytes(bomb)
    tracemalloc.start()
    try:
        message = "labels-idx1-ubyte has 104857600 labels, expected one for each of the 2 images"
        parameters = {"labels_file": "labels-idx1-ubyte"}
        refused(artifacts.root, message, ingested, artifacts, tmp_path, **parameters)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_behind_the_labels_takes_no_memory(tmp_path):
    bomb = gzip.compress(idx(8, 1, 10, data=bytes(100 << 20)), 1)
    (tmp_path / "bomb").write_bytes(bomb)
    tracemalloc.start()
    try:
        with IdxFile(tmp_path / "bomb", "bomb") as opened:
            refused(tmp_path, "bomb is too long", opened.labels)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


BAD_PLACES: dict[str, tuple[Any, str]] = {
    "a pipe": (os.mkfifo, "is a pipe or a device, expected an IDX file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a pipe or a device"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "has no test_images"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "has no test_images"),
}


@pytest.mark.parametrize("case", BAD_PLACES)
def test_refuses_what_is_no_file(tmp_path, artifacts, case):
    make, message = BAD_PLACES[case]
    make(tmp_path / "file-idx3-ubyte")
    refused(artifacts.root, message, ingested, artifacts, tmp_path)


BAD_NAMES = [
    "../secret",
    "/etc/passwd",
    "a/../../b",
    "a\nb",
    "a\0b",
    "\x1b[2J",
    "..\\a",
    "x" * 300,
    "a//b",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_refuses_a_file_name_that_leads_elsewhere(tmp_path, artifacts, name):
    message = "the file name of test_images must be that of a file under data_uri"
    refused(artifacts.root, message, ingested, artifacts, tmp_path, images_file=name)
    message = "the file name of test_labels must be that of a file under data_uri"
    source = write_idx_set(tmp_path / "idx")
    refused(artifacts.root, message, artifacts.ingest, source, test_labels_file=name)


BAD_PARAMETERS = {
    "a path of 10,000 letters": ({"data_uri": "/" + "x" * 10_000}, "can't be read: File name too"),
    "digests nested too deep": ({"sha256": DEEP.decode()}, f"sha256 is not JSON .*{TOO_DEEP}"),
    "a script in place of a URI": ({"data_uri": "javascript:alert(1)"}, "has the scheme 'javascr"),
}


@pytest.mark.parametrize("case", BAD_PARAMETERS)
def test_ingest_refuses_a_bad_parameter(tmp_path, artifacts, case):
    parameters, message = BAD_PARAMETERS[case]
    parameters = dict(parameters)
    source = parameters.pop("data_uri", tmp_path)
    with pytest.raises(ValueError, match=message):
        artifacts.ingest(source, **parameters)
    assert not any(artifacts.root.rglob("*"))


def npy(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def npy_of(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b" \n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


IMAGES = np.zeros((2, 1, 12, 12), np.uint8)
START = "{'descr': '|u1', 'fortran_order': False, 'shape': "
BAD_NPY = {
    "a pickle in an array": npy(np.array([[[[os.getcwd]]]], object)),
    "a pickle": b"\x80\x04\x95" + bytes(100),
    "Fortran order": npy(np.asfortranarray(np.zeros((2, 3, 4, 5), np.uint8))),
    "version 2": npy(IMAGES, version=(2, 0)),
    "version 9": b"\x93NUMPY\x09" + npy(IMAGES)[7:],
    "a header that is a call": npy_of("__import__('os').getpid()"),
    "a header nested too deep": npy_of("[" * 20_000 + "]" * 20_000),
    "a header of 64 KiB": npy_of(START + "(2, 1, 12, 12), }" + " " * 60_000, bytes(288)),
    "a header longer than the file": b"\x93NUMPY\1\0\xff\xff{'descr'",
    "a shape larger than the file": npy_of(START + "(2000000000, 1, 12, 12), }", bytes(288)),
    "a shape beyond 64 bits": npy_of(START + f"({10**17}, {10**17}, {10**17}, 9), }}", bytes(9)),
    "a negative shape": npy_of(START + "(-2, 1, 12, 12), }", bytes(288)),
    "more data than the shape": npy(IMAGES) + b"more",
    "an unknown type": npy_of(START.replace("|u1", "|u9") + "(2, 1, 12, 12), }", bytes(288)),
    "several arrays in a zip": b"PK\3\4" + bytes(100),
    "float32": npy(IMAGES.astype(np.float32)),
    "rank 3": npy(IMAGES[0]),
    "cut short": npy(IMAGES)[:-1],
    "nothing": b"",
}


@pytest.mark.parametrize("case", BAD_NPY)
def test_refuses_a_bad_npy_file(artifacts, trained, case):
    data = new_data(artifacts, IMAGES, np.zeros(2, np.uint8), 3)
    pathlib.Path(data.path, "images.npy").write_bytes(BAD_NPY[case])
    message = r"images\.npy (is not a valid \.npy file|must be uint8 with 4 dimensions)"
    refused(artifacts.root, message, predicted, artifacts, trained["model"], data)


def predicted(artifacts, model, data, **parameters) -> None:
    artifacts.run(predict, model=model, data=data, **parameters)


BAD_DATASET_JSON = {
    "no JSON": (b"{", "is damaged"),
    "nested too deep": (DEEP, f"is damaged: .*{TOO_DEEP}"),
    "no UTF-8": (b'{"num_classes": 3, "source": "\xff"}', "is damaged: .*utf-8"),
    "a list": (b"[3]", "expected a JSON object"),
    "empty": (b"", "is damaged"),
    "no classes": (b"{}", "num_classes must be a whole number from 1 to 256, got None"),
    "NaN": (b'{"num_classes": NaN}', "NaN is no JSON number"),
    "infinity": (b'{"num_classes": 1e999}', "num_classes must be .*, got inf"),
    "negative": (b'{"num_classes": -3}', "num_classes must be .*, got -3"),
    "a billion classes": (b'{"num_classes": 1000000000}', "num_classes must be .*, got 1000000000"),
    "a number of 5,000 digits": (b'{"num_classes": %s}' % (b"9" * 5000), "is damaged|num_classes"),
    "a text": (b'{"num_classes": "3"}', "num_classes must be .*, got '3'"),
    "true": (b'{"num_classes": true}', "num_classes must be .*, got True"),
    "a digest that is a list": (
        b'{"num_classes": 3, "sha256": [1]}',
        r"sha256 must be .*got \[1\]",
    ),
    "20 MB": (b'{"num_classes": 3, "x": "%s"}' % bytes(20_000_000), "expected at most 16 MiB"),
}


@pytest.mark.parametrize("case", BAD_DATASET_JSON)
def test_refuses_a_bad_dataset_json(artifacts, case):
    content, message = BAD_DATASET_JSON[case]
    data = new_data(artifacts, IMAGES, np.zeros(2, np.uint8), 3)
    pathlib.Path(data.path, "dataset.json").write_bytes(content)
    call = {"train_data": data, "validation_data": data, "trials": [{}]}
    refused(artifacts.root, f"dataset.json.*{message}", plan.python_func, **call)


def make_secret(root: pathlib.Path) -> pathlib.Path:
    secret = root / "secret"
    secret.write_text("secret")
    return secret


BAD_ENTRIES = {
    "a link": lambda path, secret: path.symlink_to(secret),
    "a link to /etc/passwd": lambda path, secret: path.symlink_to("/etc/passwd"),
    "a link to a device": lambda path, secret: path.symlink_to("/dev/zero"),
    "a pipe": lambda path, secret: os.mkfifo(path),
    "a directory": lambda path, secret: path.mkdir(),
}


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "dataset.json"])
@pytest.mark.parametrize("case", BAD_ENTRIES)
def test_refuses_a_data_set_with_an_entry_that_is_no_file(tmp_path, artifacts, case, name):
    data = new_data(artifacts, IMAGES, np.zeros(2, np.uint8), 3)
    path = pathlib.Path(data.path, name)
    path.unlink()
    BAD_ENTRIES[case](path, make_secret(tmp_path))
    call = {"train_data": data, "validation_data": data, "trials": [{}]}
    message = f"{name} is (a symbolic link|no regular file): an artifact consists of regular"
    refused(artifacts.root, message, plan.python_func, **call)


@pytest.mark.parametrize("name", ["model.json", "model-symbol.json", "model-0000.params"])
@pytest.mark.parametrize("case", BAD_ENTRIES)
def test_refuses_a_model_with_an_entry_that_is_no_file(tmp_path, artifacts, trained, case, name):
    model = damage_model(artifacts, trained["model"], name, lambda content: None)
    BAD_ENTRIES[case](pathlib.Path(model.path, name), make_secret(tmp_path))
    message = f"{name} is (a symbolic link|no regular file): an artifact consists of regular"
    refused(artifacts.root, message, predicted, artifacts, model, trained["test_data"])


@pytest.mark.parametrize("case", BAD_ENTRIES)
def test_no_link_of_a_model_is_followed_into_a_copy(tmp_path, artifacts, trained, case):
    model = damage_model(artifacts, trained["model"], "model.json", lambda content: content)
    BAD_ENTRIES[case](pathlib.Path(model.path, "more"), make_secret(tmp_path))
    message = "more is (a symbolic link|no regular file)"
    refused(artifacts.root, message, compared, artifacts, [model])


@pytest.mark.parametrize("case", BAD_ENTRIES)
def test_no_link_of_predictions_is_followed_into_an_upload(tmp_path, case):
    (tmp_path / "predictions").mkdir()
    BAD_ENTRIES[case](tmp_path / "predictions" / "labels.npy", make_secret(tmp_path))
    predictions = dsl.Dataset(uri=str(tmp_path / "predictions"))
    call = {"predictions": predictions, "destination_uri": "s3://b/p", "s3_endpoint": "127.0.0.1:1"}
    refused(tmp_path, "labels.npy is (a symbolic link|no regular)", upload.python_func, **call)


def symbol_with(content: bytes, place: str, value: object) -> bytes:
    """A symbol in which a value stands at a place, as `flatten.inputs.0`: a node, or `graph`."""
    graph = json.loads(content)
    *way, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    inner: Any = {node["name"]: node for node in graph["nodes"]} | {"graph": graph}
    for part in way:
        inner = inner[part]
    inner[last] = value
    return json.dumps(graph).encode()


# A place in the symbol, what stands there, and what is said of it.
BAD_SYMBOLS: dict[str, tuple[str, object, str]] = {
    "Custom": ("flatten.op", "Custom", "of the operator Custom, which no network may"),
    "_CachedOp": ("flatten.op", "_CachedOp", "the operator _CachedOp"),
    "a loop": ("flatten.op", "_foreach", "the operator _foreach"),
    "a branch": ("flatten.op", "_cond", "the operator _cond"),
    "a file's reader": ("flatten.op", "_cvimread", "the operator _cvimread"),
    "an operator that is unknown": ("flatten.op", "NoSuchOperator", "the operator NoSuchOperator"),
    "an operator that is a list": ("flatten.op", [], "unhashable"),
    "a node that is not there": ("flatten.inputs", [[99, 0, 0]], "has the inputs"),
    "a node of a negative number": ("flatten.inputs", [[-1, 0, 0]], "has the inputs"),
    "a cycle": ("conv0.inputs.0", [12, 0, 0], "has the inputs"),
    "a node that is its own input": (
        "graph.nodes.5.inputs",
        [[5, 0, 0]] * 3,
        "node 5, .* has the inputs",
    ),
    "an output that is not there": ("flatten.inputs.0.1", 9, "has the inputs"),
    "no inputs": ("flatten.inputs", [], "has the inputs"),
    "too many inputs": ("flatten.inputs", [[5, 0, 0]] * 9, "has the inputs"),
    "weights that are computed": ("output.inputs.1", [5, 0, 0], "has the inputs"),
    "a subgraph": ("flatten.subgraphs", [], "has the keys"),
    "a stride of zero": ("pool0.attrs.stride", "(0, 0)", "stride='"),
    "a kernel of a million": ("conv0.attrs.kernel", "(1000000, 1)", "kernel='"),
    "groups": ("conv0.attrs.num_group", "0", "num_group='0'"),
    "an attribute that is a number": ("conv0.attrs.num_filter", 8, "expected string"),
    "a layer of a billion": ("output.attrs.num_hidden", "999999999", "needs arg:output"),
    "an activation that is unknown": ("act0.attrs.act_type", "none", "act_type='none'"),
    "heads that are not there": ("graph.heads", [[99, 0, 0]], "heads must be the last"),
    "no heads": ("graph.heads", [], "heads must be the last node"),
    "arg_nodes of others": ("graph.arg_nodes", [1], "arg_nodes must be"),
    "two nodes of one name": ("act0.name", "flatten", "with a name each"),
    "no nodes": ("graph.nodes", [], "expected 1 to 1000 nodes"),
    "nodes that are a number": ("graph.nodes", 7, "is not a symbol"),
    "100,000 nodes": ("graph.nodes", [{"op": "null", "name": "x"}] * 100_000, "1 to 1000"),
}


@pytest.mark.parametrize("case", BAD_SYMBOLS)
def test_refuses_a_bad_symbol(artifacts, trained, case):
    place, value, message = BAD_SYMBOLS[case]

    def change(content: bytes) -> bytes:
        return symbol_with(content, place, value)

    model = damage_model(artifacts, trained["model"], "model-symbol.json", change, forge=True)
    refused(artifacts.root, message, predicted, artifacts, model, trained["test_data"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"nodes": [', "is not a symbol"),
        (DEEP, f"is not a symbol .*{TOO_DEEP}"),
        (b"", "is not a symbol"),
    ],
    ids=["no JSON", "nested too deep", "nothing"],
)
def test_refuses_a_symbol_that_is_no_json(artifacts, trained, content, message):
    model = damage_model(
        artifacts, trained["model"], "model-symbol.json", lambda _: content, forge=True
    )
    refused(artifacts.root, message, predicted, artifacts, model, trained["test_data"])


def refuses_parameters(artifacts, trained, change, message: str) -> None:
    """Assert that a model is refused whose parameters file is what `change` makes of it."""
    model = damage_model(artifacts, trained["model"], "model-0000.params", change, forge=True)
    refused(artifacts.root, message, predicted, artifacts, model, trained["test_data"])


@pytest.mark.parametrize(
    "change",
    [lambda content: content[:-7], lambda content: b"", lambda content: content + b"more"],
    ids=["cut short", "nothing", "more than it says"],
)
def test_refuses_a_parameters_file_of_another_length(artifacts, trained, change):
    refuses_parameters(artifacts, trained, change, "is not a valid parameters file")


# The place of a number in the file, how it is laid out, what stands there, and what is said.
BAD_NUMBERS = {
    "another magic": (0, "<Q", 0x113, "it starts with"),
    "2^64 arrays": (16, "<Q", 2**64 - 1, "is not a valid parameters file"),
    "no arrays": (16, "<Q", 0, "is not a valid parameters file"),
    "rank 2^32": (32, "<I", 2**32 - 1, "is not a valid parameters file: an array has"),
    "2^62 rows": (36, "<q", 2**62, "is not a valid parameters file: an array has"),
    "a negative number of rows": (36, "<q", -1, "is not a valid parameters file: an array has"),
    "a sparse array": (28, "<i", 2, "storage 2"),
}


@pytest.mark.parametrize("case", BAD_NUMBERS)
def test_refuses_a_parameters_file_with_a_bad_number(artifacts, trained, case):
    place, layout, value, message = BAD_NUMBERS[case]

    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        struct.pack_into(layout, changed, place, value)
        return bytes(changed)

    refuses_parameters(artifacts, trained, change, message)


def test_refuses_a_parameters_file_with_a_name_of_2_to_the_63_bytes(artifacts, trained):
    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        struct.pack_into("<Q", changed, content.rindex(b"arg:") - 8, 2**63)
        return bytes(changed)

    refuses_parameters(artifacts, trained, change, "not a valid")


def parameters_file(arrays: dict[str, np.ndarray]) -> bytes:
    """A parameters file as MXNet writes it: the arrays, then their names."""
    content = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        shape = struct.pack(f"<{array.ndim}q", *array.shape)
        content += struct.pack("<IiI", 0xF993FAC9, 0, array.ndim) + shape
        content += struct.pack("<iii", 1, 0, 0) + array.astype("<f4").tobytes()
    content += struct.pack("<Q", len(arrays))
    for name in map(str.encode, arrays):
        content += struct.pack("<Q", len(name)) + name
    return content


WEIGHT = "arg:output_weight"  # of the shape (3, 16)
# The name of an array, what it is, None for nothing, and what is said.
OTHER_ARRAYS: dict[str, tuple[str, Any, str]] = {
    "an array is missing": (
        WEIGHT,
        None,
        "needs arg:output_weight with the shape .*, but the parameters have None",
    ),
    "an array too many": ("arg:more", np.zeros(3), "needs arg:more with the shape None"),
    "a name of no kind": ("__reduce__", np.zeros(3), "needs __reduce__ with the shape None"),
    "another shape": (WEIGHT, np.zeros((16, 3)), "needs arg:output_weight with the shape"),
    "infinite": (WEIGHT, np.full((3, 16), np.inf), "NaN or infinite in output_weight"),
    "so large that sums overflow": (
        WEIGHT,
        np.full((3, 16), 3e38),
        "the model returned NaN or infinity for images 0 to 24",
    ),
}


@pytest.mark.parametrize("case", OTHER_ARRAYS)
def test_refuses_a_parameters_file_of_other_arrays(artifacts, trained, case):
    name, array, message = OTHER_ARRAYS[case]

    def change(content: bytes) -> bytes:
        arrays = {**parse_parameters(content, ""), name: array}
        return parameters_file({k: v for k, v in arrays.items() if v is not None})

    refuses_parameters(artifacts, trained, change, message)


BAD_MODEL_JSON = {
    "nested too deep": (DEEP, f"is damaged: .*{TOO_DEEP}"),
    "a list": (b"[]", "expected a JSON object"),
    "NaN": (b'{"format": NaN}', "NaN is no JSON number"),
    "no format": (b"{}", "it has no format"),
    "a format that is a list": (b'{"format": []}', r"has the format \[\]"),
    "a shape of booleans": (
        b'{"format": 1, "input_shape": [true, true, true]}',
        "input_shape must",
    ),
    "a shape of 2^90 pixels": (
        b'{"format": 1, "input_shape": [1073741824, 1073741824, 1073741824]}',
        "at most 64 MiB an image",
    ),
    "a negative shape": (b'{"format": 1, "input_shape": [1, -12, 12]}', "input_shape must be"),
    "digests in a list": (
        b'{"format": 1, "input_shape": [1, 12, 12], "num_classes": 3, "sha256": []}',
        "sha256 must map",
    ),
}


@pytest.mark.parametrize("case", BAD_MODEL_JSON)
def test_refuses_a_bad_model_json(artifacts, trained, case):
    content, message = BAD_MODEL_JSON[case]
    model = damage_model(artifacts, trained["model"], "model.json", lambda _: content)
    call = {"model": model, "data": trained["test_data"]}
    refused(artifacts.root, f"model.json.*{message}", artifacts.run, evaluate, **call)


def compared(artifacts, models) -> None:
    artifacts.run(compare, models=models)


RECORD = {"validation_accuracy": 0.5, "train_accuracy": 0.5, "train_loss": 0.5}
BAD_TRIALS_MODELS = {
    "no history": {"hyperparameters": {}},
    "an empty history": {"hyperparameters": {}, "history": []},
    "hyperparameters that are a list": {"hyperparameters": [], "history": [RECORD]},
    "a record that is a number": {"hyperparameters": {}, "history": [1]},
    "an accuracy that is a text": {
        "hyperparameters": {},
        "history": [{**RECORD, "validation_accuracy": "0.99"}],
    },
    "a loss that is missing": {"hyperparameters": {}, "history": [{"validation_accuracy": 0.5}]},
}


@pytest.mark.parametrize("case", BAD_TRIALS_MODELS)
def test_compare_refuses_a_bad_trial(artifacts, tmp_path, case):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text(json.dumps(BAD_TRIALS_MODELS[case]))
    models = [dsl.Model(uri=str(tmp_path / "model"))]
    refused(artifacts.root, "model.json has no validation accuracy", compared, artifacts, models)


def written_shard(root: pathlib.Path, csv: bytes = b"", labels: tuple[int, ...] = (0, 1)) -> str:
    """Predictions of two images, as predict writes them, and a dataset.json that counts them."""
    root.mkdir()
    np.save(root / "probabilities.npy", np.full((2, 2), 0.5, np.float32))
    np.save(root / "labels.npy", np.array(labels, np.uint8))
    rows = b"index,label,probability\n0,0,0.500000\n1,1,0.500000\n"
    (root / "predictions.csv").write_bytes(csv or rows)
    (root / "dataset.json").write_text('{"num_images": 2}')
    return str(root)


BAD_CSV = {
    "no numbers": (b"index\na,b,c\n1,1,0.5\n", "must have the index of an image .*got b'a'"),
    "a negative index": (b"index\n-5,0,0.5\n1,1,0.5\n", "must have the index of an image"),
    "one line of a megabyte": (b"x" * 1_000_000, "must have the index of an image"),
    "an index of 60 digits": (b"index\n" + b"9" * 60 + b",0,1\n1,1,1\n", "was cut short"),
    "another last row": (b"index\n0,0,0.5\n7,1,0.5\n", "was cut short: its last row is b'7,1"),
}


def merged(artifacts, shards, labels) -> None:
    paths = [dsl.Dataset(uri=shard) for shard in shards]
    artifacts.run(merge, shards=paths, labels=dsl.Dataset(uri=labels))


@pytest.mark.parametrize("case", BAD_CSV)
def test_merge_refuses_a_bad_csv(artifacts, tmp_path, case):
    content, message = BAD_CSV[case]
    shard = written_shard(tmp_path / "shard", content)
    refused(artifacts.root, f"predictions.csv .*{message}", merged, artifacts, [shard], shard)


def test_merge_refuses_shards_that_overlap_and_labels_that_no_class_has(artifacts, tmp_path):
    shard = written_shard(tmp_path / "shard")
    other = written_shard(tmp_path / "other", labels=(0, 9))
    refused(artifacts.root, "duplicated", merged, artifacts, [shard, shard], shard)
    refused(artifacts.root, "has the label 9", merged, artifacts, [other], shard)
    refused(artifacts.root, "shards is empty", merged, artifacts, [], shard)


@pytest.mark.parametrize(
    "content", [b"{}", b'{"num_images": 1e999}', b'{"num_images": -2}', DEEP, b""]
)
def test_merge_refuses_a_bad_number_of_images(artifacts, tmp_path, content):
    shard = written_shard(tmp_path / "shard")
    pathlib.Path(shard, "dataset.json").write_bytes(content)
    refused(artifacts.root, "dataset.json", merged, artifacts, [shard], shard)


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def progress(**changes: object) -> dict[str, bytes]:
    times = {"seconds": 1.0, "samples_per_second": 1.0, "curve": [[1.0, 0.5, 0.5, 0.1]]}
    content = {"training": {}, "history": [{**RECORD, **times}], **changes}
    return {"progress.npy": npy(np.array(json.dumps(content)))}


BAD_CHECKPOINTS = {
    "no zip": b"PK\3\4 and no more",
    "a zip of nothing": zipped({}),
    "a pickle": zipped({"progress.npy": npy(np.array([os.getcwd], object))}),
    "a bomb": zipped({"a.npy": npy(np.zeros(30_000_000, np.uint8))}, zipfile.ZIP_DEFLATED),
    "progress nested too deep": zipped({"progress.npy": npy(np.array(DEEP.decode()))}),
    "progress that is a list": zipped({"progress.npy": npy(np.array("[]"))}),
    "a training that is a list": zipped(progress(training=[])),
    "an empty history": zipped(progress(history=[])),
    "a history of numbers": zipped(progress(history=[1, 2])),
    "a loss that is NaN": zipped(progress(history=[{**RECORD, "train_loss": float("nan")}])),
}


@pytest.mark.parametrize("case", BAD_CHECKPOINTS)
def test_refuses_a_bad_checkpoint(tmp_path, artifacts, trained, case):
    (tmp_path / "checkpoint.npz").write_bytes(BAD_CHECKPOINTS[case])
    call = {"data": trained, "checkpoint_uri": str(tmp_path)}
    refused(artifacts.root, "checkpoint.npz is damaged: remove it", artifacts.train, **call)


BAD_ARRAYS = {
    "another shape": ("arg:conv0_weight", np.zeros(3, np.float32), "arg:conv0_weight"),
    "another type": ("arg:conv0_weight", np.zeros((8, 1, 3, 3), np.int64), "arg:conv0_weight"),
    "one too many": ("more", np.zeros(3, np.float32), "more"),
    "a state of nothing": ("state:99:0", np.zeros(3, np.float32), "state:99:0"),
    "a state with a word": ("state:x:0", np.zeros(3, np.float32), "state:x:0"),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, trained) -> bytes:
    """The checkpoint of a training of one epoch."""
    root = tmp_path_factory.mktemp("checkpoint")
    Artifacts(root).train(trained, epochs=1, checkpoint_uri=str(root))
    return (root / "checkpoint.npz").read_bytes()


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_refuses_a_checkpoint_of_other_arrays(tmp_path, artifacts, trained, checkpoint, case):
    name, array, message = BAD_ARRAYS[case]
    with np.load(io.BytesIO(checkpoint)) as file:
        arrays = {**file, name: array}
    np.savez(tmp_path / "checkpoint.npz", **arrays)
    call = {"data": trained, "epochs": 1, "checkpoint_uri": str(tmp_path)}
    message = rf"checkpoint.npz is damaged: .*\({message} does not fit the network"
    refused(artifacts.root, message, artifacts.train, **call)


INF = float("inf")
BAD_TRIALS = [
    ({"epochs": True}, "epochs must be of type int, got True"),
    ({"epochs": "3"}, "epochs must be of type int, got '3'"),
    ({"epochs": 1.5}, "epochs must be of type int, got 1.5"),
    ({"epochs": 1e300}, "epochs must be of type int, got a number of 997 bits"),
    ({"epochs": 10**9}, "epochs must be at most 1,000,000, got 1000000000"),
    ({"epochs": float("nan")}, "epochs must be of type int, got nan"),
    ({"epochs": None}, "epochs must be of type int, got None"),
    ({"learning_rate": INF}, "learning_rate must be a positive number, got inf"),
    ({"learning_rate": 10**400}, "learning_rate must be of type float, got a number of 1329 bits"),
    ({"learning_rate": False}, "learning_rate must be of type float, got False"),
    ({"learning_rate": [0.1]}, r"learning_rate must be of type float, got \[0.1\]"),
    ({"momentum": -INF}, "momentum must be at least 0 and below 1, got -inf"),
    ({"weight_decay": INF}, "weight_decay must be a finite number, at least 0, got inf"),
    ({"batch_size": 2**40}, "batch_size must be at most 1,000,000"),
    ({"kernels": ["5", "5"]}, "kernels must be positive whole numbers, got"),
    ({"kernels": [[5], [5]]}, "kernels must be positive whole numbers, got"),
    ({"kernels": [True, True]}, "kernels must be positive whole numbers, got"),
    ({"kernels": [INF, 5]}, "kernels must be at most 1,000,000, got inf"),
    ({"kernels": [10**400, 5]}, "kernels must be at most 1,000,000, got a number of 1329 bits"),
    ({"kernels": [3] * 1000, "filters": [8] * 1000}, "kernels must have at most 100 entries"),
    ({"kernels": [5, 5]}, "kernels and filters must have one entry for each convolution"),
    ({"filters": [900_000] * 3}, "the network would have .* parameters, expected at most"),
    ({"hidden_units": [-1, -1]}, "hidden_units must be positive whole numbers"),
    ({"hidden_units": [10**6, 10**6, -1]}, "the network would have .* parameters"),
    (
        {"kernels": [1], "filters": [60_000], "hidden_units": [-1], "batch_size": 200},
        "a batch would",
    ),
    ({"__class__": 1}, "'__class__' is no hyperparameter"),
    ({"schedule": "constant"}, "'schedule' is no hyperparameter"),
    ({"x" * 100_000: 1}, "is no hyperparameter"),
    ({"activation": "relu\nEpoch[0] Validation-accuracy=1"}, "activation must be one of"),
    ({"recipe": ["default"]}, "recipe must be of type str"),
]


@pytest.mark.parametrize(("trial", "message"), BAD_TRIALS, ids=range(len(BAD_TRIALS)))
def test_plan_refuses_a_bad_trial(artifacts, trial, message):
    images, labels = np.zeros((200, 1, 28, 28), np.uint8), (np.arange(200) % 2).astype(np.uint8)
    data = new_data(artifacts, images, labels, 2)
    call = {"train_data": data, "validation_data": data, "trials": [trial]}
    refused(artifacts.root, message, plan.python_func, **call)


def test_predict_refuses_a_batch_that_takes_all_memory(artifacts, trained):
    call = {"model": trained["model"], "data": trained["test_data"], "batch_size": 10**9}
    refused(artifacts.root, "batch_size must be at most 65,536", predicted, artifacts, **call)
