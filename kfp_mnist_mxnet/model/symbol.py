"""Which symbols are loaded: graphs of the operators in operators.py."""

import json
import re
from typing import Any

from kfp_mnist_mxnet.errors import DamagedFile
from kfp_mnist_mxnet.model.operators import OPERATORS

# Operator to attribute to what its text may be. A variable has the attributes of the operator that
# it is a parameter of, which MXNet does not read, and how training starts it.
PATTERNS = {name: operator.attributes for name, operator in OPERATORS.items()}
PATTERNS["null"] = {
    "__init__": r'\["(zero|one)", \{\}\]',
    **{name: r"[\w.+(), -]{1,40}" for own in PATTERNS.values() for name in own},
}


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
        check_nodes(graph)
        nodes, heads = graph["nodes"], graph["heads"]
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


def check_nodes(graph: dict[str, Any]) -> None:
    """Check the nodes of a symbol, each of which computes with earlier ones.

    Raises:
        DamagedFile: an operator, attribute or input that is not allowed.
        KeyError, TypeError, AttributeError: it is not what a symbol is.
    """
    nodes = graph["nodes"]
    variables = [i for i, node in enumerate(nodes) if node["op"] == "null"]
    names = {node["name"] for node in nodes}
    if not 1 <= len(nodes) <= 1000 or len(names) != len(nodes):
        raise DamagedFile(f"expected 1 to 1000 nodes with a name each, got {len(nodes)}")
    for i, node in enumerate(nodes):
        check_node(i, node)
        data, count = 0, 0
        if node["op"] != "null":
            data, count = OPERATORS[node["op"]].inputs(node.get("attrs", {}))
        check_inputs(i, nodes, data, count)
    if graph["arg_nodes"] != variables:
        raise DamagedFile(f"arg_nodes must be {variables}, got {graph['arg_nodes']!r}")


def check_node(number: int, node: dict[str, Any]) -> None:
    """Check one node of a symbol but for its inputs; number: its place.

    Raises:
        DamagedFile: an operator or attribute that is not allowed.
        KeyError, TypeError, AttributeError: it is not what a node of a symbol is.
    """
    operator, name = node["op"], node["name"]
    if not re.fullmatch(r"[\w.-]{1,100}", name) or set(node) - {"op", "name", "attrs", "inputs"}:
        raise DamagedFile(f"node {number}, {name!r}, has the keys {sorted(node)}")
    if operator != "null" and operator not in OPERATORS:
        raise DamagedFile(f"{name} is of the operator {operator}, which no network may have")
    patterns = PATTERNS[operator]
    for key, value in node.get("attrs", {}).items():
        if key not in patterns or not re.fullmatch(patterns[key], value):
            raise DamagedFile(f"{name}, of the operator {operator}, has {key}={value!r}")


def check_inputs(number: int, nodes: list[dict[str, Any]], data: int, count: int) -> None:
    """Check that a node computes with outputs of earlier ones, and after these with parameters.

    number: its place; data, count: how many inputs of the former kind, and in all.

    Raises:
        DamagedFile: there are other inputs.
        KeyError, TypeError: they are not what the inputs of a node are.
    """
    operator, inputs = nodes[number]["op"], nodes[number]["inputs"]
    fits = len(inputs) == count and all(
        [type(value) for value in entry] == [int, int, int]
        and 0 <= entry[0] < number
        and entry[1] == 0
        and entry[2] in (0, 1)
        and may_take(operator, nodes[entry[0]], place >= data)
        for place, entry in enumerate(inputs)
    )
    if not fits:
        raise DamagedFile(
            f"node {number}, {operator}, has the inputs {inputs!r}: data is for Cast, and "
            "softmax_label for SoftmaxOutput"
        )


def may_take(operator: str, source: dict[str, Any], is_parameter: bool) -> bool:
    """Tell whether an operator may take a node's output as data or as a parameter.

    All but Cast compute with float32: a division of uint8 by 0 ends the process.
    """
    if source["name"] == "data":
        return operator == "Cast"
    if source["name"] == "softmax_label":
        return is_parameter and operator == "SoftmaxOutput"
    return not is_parameter or (source["op"] == "null" and operator != "SoftmaxOutput")
