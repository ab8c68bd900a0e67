"""The way out: what MXNet predicts, the exported model predicts too."""

import dataclasses
import json
import math
import pathlib
import random
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from conftest import damage_model, new_data, unknown_operator
from kfp import dsl

from kfp_mnist_mxnet.components.evaluate import evaluate
from kfp_mnist_mxnet.components.export import export
from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.data.dataset import DatasetInfo
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.export import verification
from kfp_mnist_mxnet.export.translation import translate, translate_symbol
from kfp_mnist_mxnet.export.verification import ParityResult, check_parity, synthetic_images
from kfp_mnist_mxnet.model.hyperparameters import UNSET, Hyperparameters
from kfp_mnist_mxnet.model.info import ModelInfo
from kfp_mnist_mxnet.model.module import bind_module
from kfp_mnist_mxnet.model.network import build_network
from kfp_mnist_mxnet.model.recipes import (
    RECIPES,
    choose_hyperparameters,
    misfit,
    resolve_for_dataset,
)
from kfp_mnist_mxnet.model.saving import save_model
from kfp_mnist_mxnet.prediction.predictor import Predictor
from kfp_mnist_mxnet.runtime.engine import mx

ACTIVATIONS = ("relu", "sigmoid", "softrelu", "softsign", "tanh")
OLD = pathlib.Path(__file__).parent / "release-0.1.0"


def run_export(artifacts, model, data=None, **parameters) -> dict:
    return artifacts.run(export, model=model, data=data, **parameters)


def onnx_file(outputs, name: str = "mnist") -> pathlib.Path:
    return pathlib.Path(outputs["onnx_model"].path, name, "1", "model.onnx")


def run_onnx(path: pathlib.Path, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"images": images})[0]


def made_model(directory: pathlib.Path, symbol, shape, num_classes: int) -> str:
    """A model directory with random parameters, whose batch norms have seen something."""
    module = bind_module(symbol, [8, *shape], for_training=False)
    np.random.seed(0)  # MXNet's initializers draw from it
    mx.random.seed(0)
    module.init_params(mx.init.Xavier(magnitude=6))
    arguments, auxiliary = module.get_params()
    generator = np.random.default_rng(0)
    for name, array in {**arguments, **auxiliary}.items():
        if name.endswith(("_bias", "_beta", "_mean")):
            array[:] = generator.normal(0, 0.1, array.shape)
        elif name.endswith(("_gamma", "_var")):
            array[:] = generator.uniform(0.5, 2, array.shape)
    module.set_params(arguments, auxiliary)
    directory.mkdir(parents=True, exist_ok=True)
    save_model(directory / "model", module, ModelInfo(list(shape), num_classes))
    return str(directory / "model")


def proven(root: pathlib.Path, symbol, shape, num_classes: int) -> ParityResult:
    """Export a network with random parameters and prove it on made-up images."""
    predictor = Predictor(made_model(root, symbol, shape, num_classes), 64)
    model = translate(predictor.modules[0], predictor.info, list(map(str, range(num_classes))))
    path = root / "model.onnx"
    path.write_bytes(model.SerializeToString())
    images = synthetic_images(shape)
    parity = check_parity(path, predictor, images)
    # The network tells images apart, by much more than what the translation changes.
    assert parity.onnx.std(0).max() > 30 * parity.differences.max()
    return parity


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_predicts_the_same(tmp_path, recipe):
    shape = (1, 28, 28)
    chosen = resolve_for_dataset(RECIPES[recipe], {}, 1000, shape, 10)
    parity = proven(tmp_path, build_network(chosen), shape, 10)
    assert parity.differences.max() < 1e-5


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_predicts_the_same(tmp_path, activation):
    small = Hyperparameters(
        kernels=[3], filters=[8], padding=[1], pooling=[True], hidden_units=[16, 3]
    )
    chosen = dataclasses.replace(small, activation=activation)
    parity = proven(tmp_path, build_network(chosen), (2, 9, 7), 3)
    assert parity.differences.max() < 1e-5


def drawn(seed: int) -> tuple[Hyperparameters, tuple[int, int, int], int]:
    """Hyperparameters that training would take, an image shape, and a number of classes."""
    draw = random.Random(seed)
    shape = (draw.choice([1, 3]), draw.randint(6, 20), draw.randint(6, 20))
    num_classes = draw.randint(2, 12)
    while True:
        own = {
            **UNSET,
            "activation": draw.choice(ACTIVATIONS),
            "dropout": draw.choice([0.0, 0.5]),
            "hidden_units": [*(draw.randint(1, 40) for _ in range(draw.randint(0, 3))), -1],
        }
        if draw.random() < 0.7:
            count = draw.randint(1, 3)
            own["kernels"] = [draw.randint(1, 5) for _ in range(count)]
            own["filters"] = [draw.randint(1, 40) for _ in range(count)]
        try:
            chosen = choose_hyperparameters(draw.choice(list(RECIPES)), own)
            resolved = resolve_for_dataset(chosen, own, 1000, shape, num_classes)
        except InvalidInput:
            continue
        if not misfit(resolved, shape):
            return resolved, shape, num_classes


@pytest.mark.parametrize("seed", range(20))
def test_random_hyperparameters_predict_the_same(tmp_path, seed):
    chosen, shape, num_classes = drawn(seed)
    parity = proven(tmp_path, build_network(chosen), shape, num_classes)
    assert parity.differences.max() < 1e-5


def test_gives_what_predict_gives(artifacts, trained):
    outputs = run_export(artifacts, trained["model"], trained["test_data"])
    judged = {"model": trained["model"], "data": trained["test_data"]}
    predictions = artifacts.run(predict, **judged)["predictions"]
    images = np.load(pathlib.Path(trained["test_data"].path, "images.npy"))
    found = run_onnx(onnx_file(outputs), images)
    assert np.allclose(
        found, np.load(pathlib.Path(predictions.path, "probabilities.npy")), rtol=0, atol=1e-5
    )
    labels = np.load(pathlib.Path(predictions.path, "labels.npy"))
    assert found.argmax(1).tolist() == labels.tolist()


def test_a_model_of_release_0_1_0_is_exported(artifacts):
    model, data = (dsl.Artifact(uri=str(OLD / name)) for name in ("model", "test_data"))
    found = run_onnx(
        onnx_file(run_export(artifacts, model, data)), np.load(OLD / "test_data" / "images.npy")
    )
    before = np.load(OLD / "predictions" / "probabilities.npy")
    assert np.allclose(found, before, rtol=0, atol=1e-5)


def foreign(name: str):
    """The symbol of a model from elsewhere, with MXNet's own defaults where it has them."""
    with mx.name.NameManager():
        x = mx.sym.Cast(mx.sym.Variable("data"), dtype="float32") / 255
        if name == "a convolution after batch norm and mean pooling":
            x = mx.sym.BatchNorm(x)
            x = mx.sym.Pooling(x, kernel=(3, 2), pool_type="avg", name="images")
            x = mx.sym.Convolution(x, kernel=(3, 5), num_filter=4, name="probabilities")
            x = mx.sym.Pooling(x, kernel=(2, 2))
        x = mx.sym.FullyConnected(x, num_hidden=3)
        if name != "no softmax but dropout at its end":
            return mx.sym.SoftmaxOutput(x, name="softmax")
        return mx.sym.Dropout(mx.sym.Activation(x, act_type="sigmoid"))


@pytest.mark.parametrize(
    "name",
    [
        "softmax regression",
        "a convolution after batch norm and mean pooling",
        "no softmax but dropout at its end",
    ],
)
def test_a_model_from_elsewhere_is_exported(artifacts, tmp_path, name):
    model = dsl.Model(uri=made_model(tmp_path, foreign(name), (1, 12, 12), 3))
    outputs = run_export(artifacts, model)
    assert outputs["metrics"].metadata["largest_difference"] < 1e-5


def test_the_file_is_valid_and_says_what_it_takes_and_gives(artifacts, trained):
    names = ["top", "mi\u00eble", "<b>"]
    outputs = run_export(artifacts, trained["model"], class_names=names)
    model = onnx.load(onnx_file(outputs))
    onnx.checker.check_model(model, full_check=True)
    (taken,), (given,) = model.graph.input, model.graph.output
    sizes = [size.dim_param or size.dim_value for size in taken.type.tensor_type.shape.dim]
    assert (taken.name, sizes) == ("images", ["batch", 1, 12, 12])
    assert taken.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert given.name == "probabilities"
    assert given.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["class_names"]) == names
    assert json.loads(metadata["image_shape"]) == [1, 12, 12]
    about = json.loads(pathlib.Path(trained["model"].path, "model.json").read_text())
    assert json.loads(metadata["mxnet_sha256"]) == about["sha256"]
    assert metadata["train_data_sha256"] == about["train_data_sha256"]
    described = {value.name for value in model.graph.value_info} | {given.name}
    assert described == {node.output[0] for node in model.graph.node}


@pytest.mark.parametrize("count", [1, 7, 200])
def test_a_batch_may_have_any_size(artifacts, trained, count):
    path = onnx_file(run_export(artifacts, trained["model"]))
    images = synthetic_images([1, 12, 12])[:count]
    probabilities = run_onnx(path, images)
    assert probabilities.shape == (count, 3)
    assert np.allclose(probabilities.sum(1), 1)


def test_a_translation_that_is_no_valid_model_is_refused():
    node = {"op": "Cast", "name": "strange", "inputs": [[0, 0, 0]]}
    symbol = json.dumps({"nodes": [{"op": "null", "name": "data", "inputs": []}, node]})
    with pytest.raises(InvalidInput, match="the translation is no valid ONNX model: ") as raised:
        translate_symbol(symbol, {}, ModelInfo([1, 2, 2], 2), ["0", "1"])
    assert "\n" not in str(raised.value)


def test_refuses_a_model_with_an_operator_of_no_network(artifacts, trained):
    model = unknown_operator(artifacts, trained["model"])
    with pytest.raises(ValueError, match="of the operator Custom, which no network may"):
        run_export(artifacts, model)
    assert there(artifacts) == set()


def there(artifacts) -> set[str]:
    """The outputs that exist, or something that was left of one."""
    names = ("onnx_model", "model_card", "export_report")
    return {path.name for path in artifacts.root.iterdir() if path.name.startswith(names)}


@pytest.mark.parametrize("name", ["model.json", "model-symbol.json", "model-0000.params"])
def test_refuses_a_damaged_model(artifacts, trained, name):
    model = damage_model(artifacts, trained["model"], name, lambda content: content[:-100])
    with pytest.raises(ValueError, match=f"{re.escape(name)} (is damaged|was cut short)"):
        run_export(artifacts, model)
    assert there(artifacts) == set()


def test_a_failed_proof_leaves_nothing(artifacts, trained, monkeypatch):
    monkeypatch.setattr(verification, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match=r"^the ONNX model is not the same: 0 of 25 images get "):
        run_export(artifacts, trained["model"], trained["test_data"])
    assert there(artifacts) == set()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([0.9, 0.1], None),
        ([0.90009, 0.09991], None),
        ([0.9002, 0.0998], "0 of 1 images get another class, .* is 0.0002, at most 0.0001 is"),
        ([0.1, 0.9], "1 of 1 images get another class, .* is 0.8"),
        ([math.nan, 0.1], "largest difference of a probability is nan"),
    ],
)
def test_a_proof_fails_where_both_differ(found, message):
    parity = ParityResult(
        np.array([[0.9, 0.1]], np.float32), np.array([found], np.float32), 1.0, 1.0
    )
    if message is None:
        parity.check()
    else:
        with pytest.raises(ValueError, match=message):
            parity.check()


@pytest.mark.parametrize(("ahead", "other"), [(1e-6, 0), (9e-5, 0), (1.5e-4, 1)])
def test_a_class_may_change_hands_where_both_are_as_likely(ahead, other):
    """By less than what probabilities may differ."""
    first = np.array([[0.5 + ahead / 2, 0.5 - ahead / 2]], np.float32)
    parity = ParityResult(first, first[:, ::-1].copy(), 1.0, 1.0)
    if other:
        with pytest.raises(ValueError, match="1 of 1 images get another class"):
            parity.check()
    else:
        parity.check()


def test_synthetic_images_go_from_dark_to_bright_and_fit_into_memory():
    images = synthetic_images([1, 12, 12])
    assert images.dtype == np.uint8
    assert images.shape == (1000, 1, 12, 12)
    assert images[0].max() == 0
    assert images[-4:].max() > 240
    assert np.array_equal(images, synthetic_images([1, 12, 12]))
    assert len(synthetic_images([1, 4096, 4096])) == 1


@pytest.mark.parametrize("directory", ["", "no images"])
def test_a_model_without_images_is_proven_on_made_up_ones(artifacts, trained, directory):
    data = None
    if directory:
        empty = np.zeros((0, 1, 12, 12), np.uint8)
        data = new_data(artifacts, empty, np.zeros(0, np.uint8), 3)
    outputs = run_export(artifacts, trained["model"], data)
    assert outputs["metrics"].metadata["images"] == 1000
    assert "<dt>synthetic images</dt>" in pathlib.Path(outputs["export_report"].path).read_text()
    card = pathlib.Path(outputs["model_card"].path).read_text()
    assert "It was not scored: there were no labels." in card
    assert "1,000 synthetic images" in card


def test_images_need_no_labels(artifacts, trained):
    data = new_data(artifacts, synthetic_images([1, 12, 12])[:30], np.zeros(30, np.uint8), 3)
    for name in ("labels.npy", "dataset.json"):
        pathlib.Path(data.path, name).unlink()
    outputs = run_export(artifacts, trained["model"], data)
    assert outputs["metrics"].metadata["images"] == 30
    assert "It was not scored" in pathlib.Path(outputs["model_card"].path).read_text()


def test_refuses_images_of_another_shape(artifacts, trained):
    data = new_data(artifacts, np.zeros((2, 3, 12, 12), np.uint8), np.zeros(2, np.uint8), 3)
    with pytest.raises(ValueError, match=r"\[3, 12, 12\], but the model takes \[1, 12, 12\]"):
        run_export(artifacts, trained["model"], data)
    assert there(artifacts) == set()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        *(
            ({"model_name": name}, "model_name must be 1 to 63 letters")
            for name in ("", "..", "../x", "a/b", "-a", "a b", "a\n", "x" * 64, "\u00e4")
        ),
        ({"class_names": ["a", "b"]}, "one name for each of the 3 classes, got 2"),
        ({"class_names": ["a", "b", "a"]}, "class_names must all differ"),
    ],
)
def test_refuses_bad_parameters(artifacts, trained, parameters, message):
    with pytest.raises(ValueError, match=message):
        run_export(artifacts, trained["model"], **parameters)
    assert not artifacts.root.exists()


def test_the_directory_has_what_servers_need(artifacts, trained):
    names = ["top", "line\nbreak", "bottom"]
    outputs = run_export(artifacts, trained["model"], model_name="digits-2", class_names=names)
    root = pathlib.Path(outputs["onnx_model"].path)
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert files == {
        "config.json",
        "digits-2/1/model.onnx",
        "digits-2/README.md",
        "digits-2/config.pbtxt",
        "digits-2/labels.txt",
    }
    (entry,) = json.loads((root / "config.json").read_text())["model_config_list"]
    assert entry["config"] == {"name": "digits-2", "base_path": "digits-2"}
    triton = (root / "digits-2" / "config.pbtxt").read_text()
    assert '{ name: "images" data_type: TYPE_UINT8 dims: [ 1, 12, 12 ] }' in triton
    assert '{ name: "probabilities" data_type: TYPE_FP32 dims: [ 3 ]' in triton
    labels = (root / "digits-2" / "labels.txt").read_text()
    assert labels.splitlines() == ["top", "line break", "bottom"]
    assert outputs["onnx_model"].framework == "onnx"


def test_every_metric_is_a_finite_python_number(artifacts, trained):
    outputs = run_export(artifacts, trained["model"], trained["test_data"])
    values = outputs["metrics"].metadata
    assert sorted(values) == [
        "bytes",
        "images",
        "largest_difference",
        "mxnet_images_per_second",
        "onnx_images_per_second",
        "onnx_latency_p50_ms",
        "onnx_latency_p95_ms",
    ]
    assert {type(value) for value in values.values()} <= {int, float}
    assert all(map(math.isfinite, values.values()))
    assert 0 < values["onnx_latency_p50_ms"] <= values["onnx_latency_p95_ms"]
    assert values["bytes"] == onnx_file(outputs).stat().st_size


def test_the_report_shows_what_it_promises(artifacts, trained):
    outputs = run_export(artifacts, trained["model"], trained["test_data"])
    page = pathlib.Path(outputs["export_report"].path).read_text()
    assert re.findall("<h2>(.*)</h2>", page) == [
        "Differences of the probabilities",
        "Predicted classes",
        "Network",
        "Files",
    ]
    assert len(re.findall(r"<dd>[\d,]+ images a second</dd>", page)) == 2
    assert "mathdefault" not in page
    assert "<td>conv0</td><td>Conv</td><td>batch\u00a0x\u00a08\u00a0x" in page
    assert "<td>mnist/1/model.onnx</td>" in page


def front_matter(card: str) -> dict:
    start, matter, _ = card.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(matter)


def test_the_card_has_the_scores_of_evaluate(artifacts, trained):
    outputs = run_export(artifacts, trained["model"], trained["test_data"])
    metrics = artifacts.new(dsl.Metrics, "scores")
    accuracy = evaluate.python_func(
        model=trained["model"],
        data=trained["test_data"],
        metrics=metrics,
        confusion_matrix=artifacts.new(dsl.ClassificationMetrics, "confusion_matrix"),
        evaluation_report=artifacts.new(dsl.HTML, "evaluation_report"),
    )
    card = pathlib.Path(outputs["model_card"].path).read_text()
    matter = front_matter(card)
    assert matter["library_name"] == "onnx"
    assert matter["pipeline_tag"] == "image-classification"
    (model,) = matter["model-index"]
    (result,) = model["results"]
    found = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert found == pytest.approx(
        {
            "accuracy": accuracy,
            "f1": metrics.metadata["macro_f1"],
            "expected_calibration_error": metrics.metadata["expected_calibration_error"],
        },
        abs=1e-5,
    )
    info = json.loads(pathlib.Path(trained["test_data"].path, "dataset.json").read_text())
    assert model["name"] == "mnist"
    assert result["dataset"]["args"] == {"sha256": info["sha256"]}


def test_the_card_says_what_it_takes_to_trust_a_model(artifacts, trained):
    outputs = run_export(artifacts, trained["model"], trained["test_data"])
    card = pathlib.Path(outputs["model_card"].path).read_text()
    assert re.findall("^## (.*)$", card, re.MULTILINE) == [
        "How to use it",
        "Intended use and limits",
        "Scores",
        "Training",
        "Same predictions as in MXNet",
    ]
    about = json.loads(pathlib.Path(trained["model"].path, "model.json").read_text())
    assert f"SHA-256 of the training data:\n\n{about['train_data_sha256']}\n" in card
    assert "| version of mxnet | 1.9.1 |" in card
    assert "| seed | 0 |" in card
    assert re.search(r"\| 95 % confidence interval \| \d+\.\d\d\sto\s\d+\.\d\d \|", card)
    assert "| always predicting the most common class | 36.00\N{NO-BREAK SPACE}% |" in card
    assert "| training data | idx |" in card
    assert "| training images of each class | \\[180, 180, 180\\] |" in card
    assert "| validation images | 60 |" in card
    assert re.search(r"^\| 2 \| 8 \| [\d.]+\s% \| [\d.]+\s% \| [\d.]+\s% \|$", card, re.MULTILINE)
    root = pathlib.Path(outputs["onnx_model"].path)
    assert (root / "mnist" / "README.md").read_text() == card


def test_the_program_in_the_card_runs_as_it_stands_there(artifacts, trained):
    outputs = run_export(artifacts, trained["model"], class_names=["top", "middle", "bottom"])
    card = pathlib.Path(outputs["model_card"].path).read_text()
    (program,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    directory = pathlib.Path(outputs["onnx_model"].path, "mnist")
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=directory, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.strip() in ("['top']", "['middle']", "['bottom']")


def test_the_card_names_license_owner_and_contact(artifacts, trained):
    stated = {"license": "apache-2.0", "owner": "Vision *team*", "contact": "us@example.org"}
    outputs = run_export(artifacts, trained["model"], trained["test_data"], **stated)
    card = pathlib.Path(outputs["model_card"].path).read_text()
    matter = front_matter(card)
    assert matter["license"] == "apache-2.0"
    assert matter["metrics"] == ["accuracy", "f1"]
    assert "| license | apache-2.0 |\n| owner | Vision \\*team\\* |\n" in card
    assert "| contact | us@example.org |" in card


def test_only_mnist_is_a_data_set_of_the_hub(artifacts, trained):
    def named(content: bytes) -> bytes:
        about = json.loads(content)
        return json.dumps({**about, "data": {**about["data"], "source": "mnist"}}).encode()

    model = damage_model(artifacts, trained["model"], "model.json", named)
    for each, found in ((trained["model"], None), (model, ["ylecun/mnist"])):
        card = pathlib.Path(run_export(artifacts, each)["model_card"].path).read_text()
        assert front_matter(card).get("datasets") == found
        shutil.rmtree(artifacts.new(dsl.Model, "onnx_model").path)


def test_what_nobody_stated_is_called_so_in_the_card(artifacts, trained):
    card = pathlib.Path(run_export(artifacts, trained["model"])["model_card"].path).read_text()
    assert "license" not in front_matter(card)
    assert card.count("not stated") == 3


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("mnist", "mnist"),
        ("/home/me/digits/", "digits"),
        ("file:///home/me/digits", "digits"),
        ("s3://bucket/digits", "s3://bucket/digits"),
        ("https://example.org/digits", "https://example.org/digits"),
    ],
)
def test_data_is_named_without_a_path_of_this_machine(source, name):
    assert DatasetInfo(1, (1, 2, 2), 2, [], source, "").name == name


def test_no_path_of_this_machine_is_in_the_card(artifacts, trained):
    outputs = run_export(artifacts, trained["model"], trained["test_data"])
    card = pathlib.Path(outputs["model_card"].path).read_text()
    assert "On the data idx, SHA-256:" in card
    for artifact in (outputs["onnx_model"], trained["model"], trained["test_data"]):
        assert str(pathlib.Path(artifact.path).parent) not in card


HOSTILE = [
    "a | b\n---\nlibrary_name: evil",
    "<script>alert(1)</script> [x](javascript:alert(1)) ![y](z) `c` *d* _e_ ~~f~~",
    '"\\ud83d": {x} \u2028\x00\x85\ud800\U0001f600 # {{7*7}} %',
]


def test_text_from_outside_is_no_markup_in_the_card(artifacts, trained):
    data = new_data(artifacts, np.zeros((6, 1, 12, 12), np.uint8), np.zeros(6, np.uint8), 3)
    path = pathlib.Path(data.path, "dataset.json")
    entries = {"source": HOSTILE[0], "sha256": HOSTILE[2]}
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))
    about = {"hyperparameters": {text: text for text in HOSTILE}, "versions": HOSTILE}
    model = damage_model(
        artifacts,
        trained["model"],
        "model.json",
        lambda content: json.dumps({**json.loads(content), **about}).encode(),
    )
    stated = dict(zip(("license", "owner", "contact"), HOSTILE, strict=True))
    outputs = run_export(artifacts, model, data, class_names=HOSTILE, **stated)
    card = pathlib.Path(outputs["model_card"].path).read_text()
    matter = front_matter(card)
    (result,) = matter["model-index"][0]["results"]
    assert matter["library_name"] == "onnx"
    assert matter["license"] == HOSTILE[0]
    assert result["dataset"]["name"] == HOSTILE[0]
    assert result["dataset"]["args"]["sha256"].startswith('"\\ud83d": {x} ')
    body = card.split("---\n", 2)[2]
    assert "<script" not in body
    introduction, _, rest = body.partition("## How to use it")
    assert not re.search(r"(?<!\\)[\[`*~]", introduction + rest.split("## Scores")[1])
    rows = [line for line in body.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3, 6}


def test_a_card_survives_a_model_json_that_says_strange_things(artifacts, trained):
    about = {
        "hyperparameters": [1],
        "versions": None,
        "train_data_sha256": {"a": "b" * 10_000},
        "data": {"source": ["a"] * 10_000, "class_counts": ["a"], "validation_images": []},
    }
    model = damage_model(
        artifacts,
        trained["model"],
        "model.json",
        lambda content: json.dumps({**json.loads(content), **about}).encode(),
    )
    card = pathlib.Path(run_export(artifacts, model)["model_card"].path).read_text()
    assert len(card) < 5000


def test_classes_that_the_model_does_not_know_are_errors_in_the_card(artifacts, trained):
    images, labels = np.zeros((4, 1, 12, 12), np.uint8), np.full(4, 4, np.uint8)
    outputs = run_export(artifacts, trained["model"], new_data(artifacts, images, labels, 5))
    card = pathlib.Path(outputs["model_card"].path).read_text()
    card = card.replace("\N{NO-BREAK SPACE}", " ")
    assert "| accuracy | 0.00 % |" in card
    assert "| 4 | 4 | 0.00 % | 0.00 % | 0.00 % |" in card
