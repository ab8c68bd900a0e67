"""Which symbols are loaded: graphs of the operators that the suite's networks are built of."""

import json
import re
from typing import Any

from kfp_mnist_mxnet.errors import DamagedFile

# A symbol is a program. These operators only compute: they call back no code, read no file.
# Operator to the number of its inputs and the names of its attributes.
ALLOWED_OPERATORS: dict[str, tuple[int, tuple[str, ...]]] = {
    "Cast": (1, ("dtype",)),
    "_div_scalar": (1, ("scalar",)),
    "Convolution": (3, ("kernel", "num_filter", "pad")),
    "BatchNorm": (5, ("eps", "fix_gamma", "momentum")),
    "Pooling": (1, ("kernel", "pool_type", "stride")),
    "Activation": (1, ("act_type",)),
    "Dropout": (1, ("p",)),
    "Flatten": (1, ()),
    "FullyConnected": (3, ("num_hidden",)),
    "SoftmaxOutput": (2, ("smooth_alpha",)),
}
ATTRIBUTES = {name for _, names in ALLOWED_OPERATORS.values() for name in names}


def check_symbol(content: bytes, name: str) -> None:
    """Check that a symbol is a graph of allowed operators, before MXNet loads it.

    MXNet trusts a symbol: a node that is not there, or a stride of 0, ends the whole process.
    content: JSON; name: what messages call it.

    Raises:
        DamagedFile: it is no symbol, has an operator or an attribute that is not allowed, or an
            input of a node is not the output of an earlier one.
    """
    try:
        graph = json.loads(content)
        nodes, heads = graph["nodes"], graph["heads"]
        variables = [i for i, node in enumerate(nodes) if node["op"] == "null"]
        names = {node["name"] for node in nodes}
        if not 1 <= len(nodes) <= 1000 or len(names) != len(nodes):
            raise DamagedFile(f"expected 1 to 1000 nodes with a name each, got {len(nodes)}")
        for i, node in enumerate(nodes):
            check_node(i, node, variables)
        if graph["arg_nodes"] != variables:
            raise DamagedFile(f"arg_nodes must be {variables}, got {graph['arg_nodes']!r}")
        if json.dumps(heads) not in (f"[[{len(nodes) - 1}, 0, {version}]]" for version in (0, 1)):
            raise DamagedFile(f"heads must be the last node, got {heads!r}")
        others = set(graph) - {"nodes", "arg_nodes", "node_row_ptr", "heads", "attrs"}
        if others or graph.get("attrs", {}) != {"mxnet_version": ["int", 10901]}:
            raise DamagedFile(f"expected what MXNet 1.9.1 writes, got the keys {sorted(graph)}")
        if not all(type(row) is int and row >= 0 for row in graph["node_row_ptr"]):
            raise DamagedFile("node_row_ptr must be whole numbers")
    except KeyError as error:
        raise DamagedFile(f"{name} is not a symbol: {error} is missing") from error
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise DamagedFile(f"{name} is not a symbol of this suite: {str(error)[:500]}") from error


def check_node(number: int, node: dict[str, Any], variables: list[int]) -> None:
    """Check one node of a symbol.

    number: its place; variables: the places of the nodes that are variables.

    Raises:
        DamagedFile: an operator, attribute or input that the suite's networks do not have.
        KeyError, TypeError, AttributeError: it is not what a node of a symbol is.
    """
    operator = node["op"]
    if not re.fullmatch(r"[\w.-]{1,100}", node["name"]):
        raise DamagedFile(f"node {number} has the name {node['name']!r}")
    if set(node) - {"op", "name", "attrs", "inputs"}:
        raise DamagedFile(f"node {number} has the keys {sorted(node)}")
    if operator == "null":
        count, names = 0, ATTRIBUTES
    elif operator in ALLOWED_OPERATORS:
        count, names = ALLOWED_OPERATORS[operator][0], set(ALLOWED_OPERATORS[operator][1])
    else:
        raise DamagedFile(
            f"it has the operator {operator}, which no network of this suite has: it was not loaded"
        )
    for name, value in node.get("attrs", {}).items():
        if name not in names and not (operator == "null" and name == "__init__"):
            raise DamagedFile(f"the operator {operator} has the attribute {name}={value!r}")
        check_attribute(name, value)
    check_inputs(number, node, count, variables)


def check_attribute(name: str, value: str) -> None:
    """Check the value of a node's attribute: a number, a word, or a pair of sizes up to 9999.

    Raises:
        DamagedFile: it is something else.
        TypeError: it is no text.
    """
    size = r"\d{1,4}" if name == "pad" else r"[1-9]\d{0,3}"
    kind = r"[\w.-]{1,20}"
    if name in ("kernel", "pad", "stride"):
        kind = rf"\({size}, {size}\)"
    elif name == "__init__":  # of a variable: how training starts it
        kind = r'\["(zero|one)", \{\}\]'
    if not re.fullmatch(kind, value):
        raise DamagedFile(f"an operator has the attribute {name}={value!r}")


def check_inputs(number: int, node: dict[str, Any], count: int, variables: list[int]) -> None:
    """Check that a node computes with the output of an earlier one, and else with variables.

    number: its place; count: of its inputs; variables: the places of the nodes that are variables.

    Raises:
        DamagedFile: there are other inputs.
        KeyError, TypeError: they are not what the inputs of a node are.
    """
    inputs = node["inputs"]
    fits = len(inputs) == count and all(
        [type(value) for value in entry] == [int, int, int]
        and 0 <= entry[0] < number
        and entry[1] == 0
        and entry[2] in (0, 1)
        and (place == 0 or entry[0] in variables)
        for place, entry in enumerate(inputs)
    )
    if not fits:
        raise DamagedFile(f"node {number}, {node['op']}, has the inputs {inputs!r}")
