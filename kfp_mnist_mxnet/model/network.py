"""The network, as an MXNet symbol."""

from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters
from kfp_mnist_mxnet.runtime.engine import mx

HALVE = {"kernel": (2, 2), "stride": (2, 2)}


def build_network(chosen: Hyperparameters) -> mx.sym.Symbol:
    """Return the symbol: uint8 or float32 (N, C, H, W), 0 to 255, to probabilities float32.

    Every convolution is followed by max pooling (2 x 2, stride 2) and batch normalisation, both
    if wanted, and the activation; pooling before it gives the same values, as the activations are
    monotonic, for a quarter of the work. Dropout is before the last layer. The last of
    hidden_units is the number of classes. Label smoothing changes the gradient only: Szegedy et
    al., https://arxiv.org/abs/1512.00567.
    """
    with mx.name.NameManager():  # same names, so same bytes, at every call
        x = mx.sym.Cast(mx.sym.Variable("data"), dtype="float32") / 255
        for i, (kernel, num_filter, pad, pool) in enumerate(chosen.convolutions()):
            size = {"kernel": (kernel, kernel), "pad": (pad, pad), "num_filter": num_filter}
            x = mx.sym.Convolution(x, **size, name=f"conv{i}")
            if pool:
                x = mx.sym.Pooling(x, pool_type="max", **HALVE, name=f"pool{i}")
            if chosen.batch_norm:
                x = mx.sym.BatchNorm(x, fix_gamma=False, momentum=0.9, eps=1e-5, name=f"norm{i}")
            x = mx.sym.Activation(x, act_type=chosen.activation, name=f"act{i}")
        x = mx.sym.Flatten(x, name="flatten")
        *hidden, num_classes = chosen.hidden_units
        for i, units in enumerate(hidden):
            x = mx.sym.FullyConnected(x, num_hidden=units, name=f"dense{i}")
            x = mx.sym.Activation(x, act_type=chosen.activation, name=f"dense_act{i}")
        if chosen.dropout:
            x = mx.sym.Dropout(x, p=chosen.dropout, name="dropout")
        x = mx.sym.FullyConnected(x, num_hidden=num_classes, name="output")
        smooth = {"smooth_alpha": chosen.label_smoothing} if chosen.label_smoothing else {}
        return mx.sym.SoftmaxOutput(x, **smooth, name="softmax")
