"""The operators that a network may have: exported as they predict, and refused if hostile."""

import functools
import json
from collections.abc import Callable
from typing import Any

import pytest
from test_export import ACTIVATIONS, proven

from kfp_mnist_mxnet.errors import DamagedFile, InvalidInput
from kfp_mnist_mxnet.export.operators import TRANSLATIONS
from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters
from kfp_mnist_mxnet.model.operators import NUMBER, OPERATORS, PAD, SMALL_PAD
from kfp_mnist_mxnet.model.symbol import check_symbol
from kfp_mnist_mxnet.runtime.engine import mx
from kfp_mnist_mxnet.training.trainable import check_trainable

SHAPE, CLASSES = (2, 11, 9), 3
sym: Any = mx.sym


def conv(x: mx.sym.Symbol, **sizes) -> mx.sym.Symbol:
    return sym.Convolution(x, **{"kernel": (3, 3), "num_filter": 4, **sizes})


def halved(x: mx.sym.Symbol, **sizes) -> mx.sym.Symbol:
    return sym.Pooling(x, **{"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), **sizes})


def activated(x: mx.sym.Symbol, kind: str) -> mx.sym.Symbol:
    return sym.Activation(conv(x), act_type=kind)


# Operator to networks, from float32 (N, 2, 11, 9) on.
EXAMPLES: dict[str, list[Callable[[mx.sym.Symbol], mx.sym.Symbol]]] = {
    "Cast": [lambda x: sym.Cast(x, dtype="float32")],
    "_plus_scalar": [lambda x: x + 0.25],
    "_minus_scalar": [lambda x: x - 0.1307],
    "_mul_scalar": [lambda x: x * 2.5e-1, lambda x: -x],
    "_div_scalar": [lambda x: x / 0.3081],
    "elemwise_add": [lambda x: x + conv(x, num_filter=2, pad=(1, 1))],
    "elemwise_mul": [lambda x: x * conv(x, num_filter=2, pad=(1, 1))],
    "broadcast_add": [lambda x: sym.broadcast_add(x, sym.Pooling(x, global_pool=True))],
    "broadcast_mul": [lambda x: sym.broadcast_mul(x, sym.Pooling(x, global_pool=True))],
    "Concat": [
        lambda x: sym.Concat(x, conv(x, pad=(1, 1)), x),
        lambda x: sym.Concat(sym.Flatten(x), sym.FullyConnected(x, num_hidden=5), dim=1),
    ],
    "Convolution": [
        lambda x: conv(x, stride=(2, 3), no_bias=True),
        lambda x: conv(x, kernel=(3, 2), dilate=(2, 3), pad=(4, 0)),
        lambda x: conv(x, num_group=2, kernel=(1, 1)),
    ],
    "BatchNorm": [
        lambda x: sym.BatchNorm(x, fix_gamma=False, eps=1e-4, momentum=0.8),
        lambda x: sym.BatchNorm(x, fix_gamma=True, use_global_stats=True),
    ],
    "Pooling": [
        lambda x: halved(x, pool_type="max"),
        lambda x: halved(x, pool_type="avg", pooling_convention="valid"),
        lambda x: halved(x, pool_type="avg", count_include_pad=False),
        lambda x: sym.Pooling(x, global_pool=True, pool_type="avg", kernel=(2, 2), pad=(1, 1)),
        lambda x: sym.Pooling(x, global_pool=True),
    ],
    "Activation": [functools.partial(activated, kind=kind) for kind in ACTIVATIONS],
    "LeakyReLU": [
        lambda x: sym.LeakyReLU(conv(x)),
        lambda x: sym.LeakyReLU(conv(x), act_type="leaky", slope=0.01),
        lambda x: sym.LeakyReLU(conv(x), act_type="elu", slope=0.7),
    ],
    "Dropout": [lambda x: sym.Dropout(x, p=0.5)],
    "Flatten": [sym.Flatten],
    "FullyConnected": [
        lambda x: sym.FullyConnected(sym.FullyConnected(x, num_hidden=5), num_hidden=4),
        lambda x: sym.FullyConnected(x, num_hidden=5, no_bias=True),
    ],
    "SoftmaxOutput": [sym.Flatten],  # which every network ends with
}


def network(middle: Callable[[mx.sym.Symbol], mx.sym.Symbol]) -> mx.sym.Symbol:
    """A whole network with an example in it."""
    with mx.name.NameManager():
        x = middle(sym.Cast(sym.Variable("data"), dtype="float32") / 255)
        x = sym.FullyConnected(x, num_hidden=CLASSES, name="output")
        return sym.SoftmaxOutput(x, smooth_alpha=0.1, name="softmax")


def test_every_operator_has_a_translation_and_an_example():
    assert TRANSLATIONS.keys() == EXAMPLES.keys() == OPERATORS.keys()


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_is_exported_as_it_predicts(tmp_path, operator):
    used: set[str] = set()
    for i, example in enumerate(EXAMPLES[operator]):
        made = network(example)
        nodes = [node for node in json.loads(made.tojson())["nodes"] if node["op"] == operator]
        assert nodes
        used |= {name for node in nodes for name in node.get("attrs", {})}
        check_symbol(made.tojson().encode(), "it")
        check_trainable(made, Hyperparameters(), SHAPE, CLASSES)
        assert proven(tmp_path / str(i), made, SHAPE, CLASSES).differences.max() < 1e-5
    assert used == set(OPERATORS[operator].attributes)


@pytest.mark.parametrize(
    ("middle", "message"),
    [
        (sym.sin, r"sin0 is of the operator sin, .*model/operators\.py$"),
        (
            lambda x: halved(x, pooling_convention="full"),
            r"pooling0, of the operator Pooling, has pooling_convention='full': see",
        ),
        (lambda x: conv(x, kernel=(10, 10)), r"images \(128, 2, 11, 9\) .*exceed"),
        (
            lambda x: conv(x, pad=(1, 1)) + x,
            r"_plus0: .*expected \[128,4,11,9\]",
        ),
        (
            lambda x: sym.FullyConnected(x, num_hidden=2_000_000),
            "the network would have 404,000,003 parameters, expected at most",
        ),
        (
            lambda x: conv(x, kernel=(1, 1), num_filter=400_000),
            "a batch would have 5,068,800,384 values between layers, expected at most",
        ),
    ],
)
def test_a_network_that_could_not_be_used_is_refused_before_training(middle, message):
    with pytest.raises(InvalidInput, match=message) as raised:
        check_trainable(network(middle), Hyperparameters(), SHAPE, CLASSES)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("output", "classes"), [("softmax_output", 4), ("output_output", 3)])
def test_a_network_must_give_a_probability_for_each_class(output, classes):
    made = network(sym.Flatten).get_internals()[output]
    with pytest.raises(InvalidInput, match=r"the network must give .* SoftmaxOutput called"):
        check_trainable(made, Hyperparameters(), SHAPE, classes)


def test_an_operator_without_a_translation_is_named_before_training(monkeypatch):
    monkeypatch.delitem(TRANSLATIONS, "Flatten")
    with pytest.raises(InvalidInput, match=r"^export/operators\.py has no translation of Flatten$"):
        check_trainable(network(sym.Flatten), Hyperparameters(), SHAPE, CLASSES)


def test_pixels_must_be_cast_first():
    flat = sym.Flatten(sym.Variable("data"))
    made = sym.SoftmaxOutput(sym.FullyConnected(flat, num_hidden=CLASSES), name="softmax")
    with pytest.raises(InvalidInput, match="data is for Cast"):
        check_trainable(made, Hyperparameters(), SHAPE, CLASSES)


BAD = ("0", "(0, 0)", "(1, 0)", "(-1, 1)", "(99999, 1)", "(3, 3, 3)", "None", "nan", "prelu", "")
GOOD = {NUMBER: {"0"}, PAD: {"(0, 0)", "(1, 0)"}, SMALL_PAD: {"(0, 0)", "(1, 0)"}}


@pytest.mark.parametrize("operator", OPERATORS)
def test_no_attribute_takes_what_is_no_value_of_it(operator):
    content = network(EXAMPLES[operator][0]).tojson()
    for attribute, pattern in OPERATORS[operator].attributes.items():
        for text in set(BAD) - GOOD.get(pattern, set()):
            graph = json.loads(content)
            node = next(node for node in graph["nodes"] if node["op"] == operator)
            node.setdefault("attrs", {})[attribute] = text
            with pytest.raises(DamagedFile, match=f"has {attribute}="):
                check_symbol(json.dumps(graph).encode(), "it")


@pytest.mark.parametrize(
    ("operator", "place", "source"),
    [
        ("Convolution", 1, "data"),
        ("Convolution", 1, "softmax_label"),
        ("Convolution", 0, "softmax_label"),
        ("SoftmaxOutput", 1, "output_bias"),
        ("FullyConnected", 1, "_divscalar0"),
        ("_div_scalar", 0, "data"),  # of uint8 by 0
    ],
)
def test_an_input_is_what_it_stands_for(operator, place, source):
    graph = json.loads(network(EXAMPLES["Convolution"][0]).tojson())
    # The label first, so that each node may come after it.
    graph["nodes"].insert(0, graph["nodes"].pop(-2))
    by_old = {old: old + 1 for old in range(len(graph["nodes"]) - 2)}
    by_old |= {len(graph["nodes"]) - 2: 0, len(graph["nodes"]) - 1: len(graph["nodes"]) - 1}
    for node in graph["nodes"]:
        node["inputs"] = [[by_old[i], *rest] for i, *rest in node["inputs"]]
    graph["arg_nodes"] = [i for i, node in enumerate(graph["nodes"]) if node["op"] == "null"]
    check_symbol(json.dumps(graph).encode(), "it")
    names = [node["name"] for node in graph["nodes"]]
    node = next(node for node in graph["nodes"] if node["op"] == operator)
    node["inputs"][place][0] = names.index(source)
    with pytest.raises(DamagedFile, match=f", {operator}, has the inputs"):
        check_symbol(json.dumps(graph).encode(), "it")
