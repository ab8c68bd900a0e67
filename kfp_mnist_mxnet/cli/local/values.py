"""Numbers and parameters as a person reads them: one notation on every page and terminal."""

import json
from collections.abc import Mapping
from typing import Any

from kfp_mnist_mxnet import notation
from kfp_mnist_mxnet.evaluation.comparison import show_value
from kfp_mnist_mxnet.model.hyperparameters import UNSET

SHARES = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "calibration_error")
NOTHING: tuple[Any, ...] = ("", [], {}, None)


def number(value: Any) -> str:
    """Return a metric as a person reads it, anything else as `text` does."""
    if isinstance(value, float) and not value.is_integer():
        size = abs(value)
        return f"{value:,.{1 if size >= 100 else 4}f}" if size >= 0.01 else f"{value:.3g}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:,.0f}"
    return text(value)


def is_share(name: str) -> bool:
    """Tell whether a metric of this name is a share, 0 to 1, which is shown in per cent."""
    return name.endswith(SHARES)


def metric(value: Any, name: str) -> str:
    """Return a metric of this name as a person reads it: a share in per cent, seconds short."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if is_share(name):
            return percent(value)
        if name.endswith("seconds"):
            return f"{value:,.1f}"
    return number(value)


def percent(share: float) -> str:
    """Return a share, 0 to 1, in per cent, with a space that a terminal shows."""
    return notation.percent(share).replace("\N{NO-BREAK SPACE}", " ")


def points(difference: float) -> str:
    """Return the difference of two shares in percentage points, with its sign."""
    return f"{100 * difference:+.2f}"


def text(value: Any) -> str:
    """Return a parameter's value as it is given after -p."""
    return value if isinstance(value, str) and value else json.dumps(value)


def parameter(value: Any, name: str, resolved: Mapping[str, Any]) -> str:
    """Return a parameter's value as a person reads it, never as the sign that it is not set.

    resolved: the hyperparameters with which the model was trained, empty if they are not known.
    """
    if name in UNSET and value == UNSET[name]:
        if name not in resolved:
            return "recipe default"
        return f"recipe default ({show_value(resolved, name)})"
    return "not set" if value in NOTHING else text(value)
