"""The operators that a network may consist of, what each takes, and the values each may have.

What is not in OPERATORS is refused, before training and before a model is loaded. These operators
only compute: they call back no code and read no file. MXNet trusts a symbol, so that a stride of 0
ends the process if its pattern lets it through. What each is in ONNX: export/operators.py.

Source of what each takes: src/operator/ of MXNet 1.9.1.
"""

from collections.abc import Mapping
from typing import NamedTuple

# What the text of an attribute may be.
SIZE = r"[1-9]\d{0,3}"
PAIR = rf"\({SIZE}, {SIZE}\)"
PAD = r"\(\d{1,4}, \d{1,4}\)"
SMALL_PAD = r"\(\d\d?, \d\d?\)"  # so small that what is pooled is mostly image
COUNT = r"[1-9]\d{0,8}"
NUMBER = r"-?\d{1,20}(\.\d{1,20})?(e[+-]?\d{1,3})?"
FLAG = "True|False"


class Operator(NamedTuple):
    """What an operator takes.

    attributes: name to a pattern of what its text may be; data: how many inputs are computed, 0 for
    as many as the attribute num_args says; parameters: how many variables come after them, of which
    the attribute no_bias leaves out the last. The label of a loss is one of them.
    """

    attributes: Mapping[str, str] = {}
    data: int = 1
    parameters: int = 0

    def inputs(self, attributes: Mapping[str, str]) -> tuple[int, int]:
        """Return how many inputs a node with these attributes has: of data, in all.

        Raises:
            KeyError: it does not say how many.
        """
        data = self.data or int(attributes["num_args"])
        return data, data + self.parameters - (attributes.get("no_bias") == "True")


SCALAR = {"scalar": NUMBER}
OPERATORS: dict[str, Operator] = {
    "Cast": Operator({"dtype": "float32"}),
    "_plus_scalar": Operator(SCALAR),
    "_minus_scalar": Operator(SCALAR),
    "_mul_scalar": Operator(SCALAR),
    "_div_scalar": Operator(SCALAR),
    "elemwise_add": Operator(data=2),  # a + b
    "elemwise_mul": Operator(data=2),  # a * b
    "broadcast_add": Operator(data=2),
    "broadcast_mul": Operator(data=2),
    # So few that the channels of the largest layers together are a number of 31 bits.
    "Concat": Operator({"num_args": r"[1-9]|[12]\d", "dim": "1"}, data=0),
    "Convolution": Operator(
        {
            "kernel": PAIR,
            "num_filter": COUNT,
            "stride": PAIR,
            "dilate": PAIR,
            "pad": PAD,
            "num_group": SIZE,
            "no_bias": FLAG,
        },
        parameters=2,
    ),
    "BatchNorm": Operator(
        {"eps": NUMBER, "momentum": NUMBER, "fix_gamma": FLAG, "use_global_stats": FLAG},
        parameters=4,
    ),
    "Pooling": Operator(
        {
            "kernel": PAIR,
            "pool_type": "max|avg",
            "stride": PAIR,
            "pad": SMALL_PAD,
            "global_pool": FLAG,
            "pooling_convention": "valid",
            "count_include_pad": FLAG,
        },
    ),
    "Activation": Operator({"act_type": "relu|sigmoid|softrelu|softsign|tanh"}),
    "LeakyReLU": Operator({"act_type": "leaky|elu", "slope": NUMBER}),
    "Dropout": Operator({"p": NUMBER}),
    "Flatten": Operator(),
    "FullyConnected": Operator({"num_hidden": COUNT, "no_bias": FLAG}, parameters=2),
    "SoftmaxOutput": Operator({"smooth_alpha": NUMBER}, parameters=1),
}
