"""What each hyperparameter is, for those who set it: the steps that train carry none of it."""

import ast
import inspect
import itertools

from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters


def texts_below_fields(kind: type) -> dict[str, str]:
    """Return the fields of a class, each with the text below it in the source."""
    found = {}
    for pair in itertools.pairwise(ast.walk(ast.parse(inspect.getsource(kind)).body[0])):
        match pair:
            case ast.AnnAssign(ast.Name(name)), ast.Expr(ast.Constant(str(description))):
                found[name] = description
    return found


DESCRIPTIONS = texts_below_fields(Hyperparameters)
